/**
 * Why a message was not handed on: one closed set, shared by the error, the
 * dead-letter header, the events, the command line and docs/reasons.md.
 */

/** The message is not authorized: it goes to the dead letters. */
export const REJECT_CODES = [
  'token-missing',
  'token-duplicated',
  'token-oversize',
  'token-malformed',
  'version-unsupported',
  'key-unknown',
  'key-revoked',
  'key-not-yet-valid',
  'key-expired',
  'alg-not-allowed',
  'signature-invalid',
  'service-mismatch',
  'queue-not-authorized',
  'destination-mismatch',
  'body-mismatch',
  'headers-mismatch',
  'age-exceeded',
  'issued-in-future',
  'message-expired',
  'token-id-reused',
  'proof-invalid',
] as const

/** A fault on our side: the message is held and tried again, never dead-lettered. */
export const DEFER_CODES = ['keys-unavailable', 'store-unavailable', 'clock-unreliable', 'in-progress'] as const

/** Handled before: acknowledged without handling it again. */
export const SKIP_CODES = ['duplicate'] as const

export type RejectCode = (typeof REJECT_CODES)[number]
export type DeferCode = (typeof DEFER_CODES)[number]
export type SkipCode = (typeof SKIP_CODES)[number]
export type ReasonCode = RejectCode | DeferCode | SkipCode

/** What becomes of a message that is not handed on. */
export type Disposition = 'reject' | 'defer' | 'skip'

const DISPOSITIONS: ReadonlyMap<ReasonCode, Disposition> = new Map<ReasonCode, Disposition>([
  ...REJECT_CODES.map((code) => [code, 'reject'] as const),
  ...DEFER_CODES.map((code) => [code, 'defer'] as const),
  ...SKIP_CODES.map((code) => [code, 'skip'] as const),
])

/** The disposition of a reason code; undefined for a text that is none. */
export function dispositionOf(code: ReasonCode): Disposition
export function dispositionOf(code: string): Disposition | undefined
export function dispositionOf(code: string): Disposition | undefined {
  return DISPOSITIONS.get(code as ReasonCode)
}
