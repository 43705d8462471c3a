import type { ReasonCode } from '../../reasons.ts'
import type { CheckResult } from '../../verifier.ts'

/** The checks in the order of docs/spec.md, and the codes that each can give. The verifier does them; this only names them. */
export const STEPS: readonly { readonly what: string; readonly codes: readonly ReasonCode[] }[] = [
  { what: 'one token header', codes: ['token-missing', 'token-duplicated', 'token-oversize'] },
  { what: 'a token of this version', codes: ['token-malformed', 'version-unsupported'] },
  { what: 'a key that is known', codes: ['key-unknown', 'keys-unavailable'] },
  { what: 'not revoked, algorithm', codes: ['key-revoked', 'alg-not-allowed'] },
  { what: 'signature', codes: ['signature-invalid', 'proof-invalid'] },
  {
    what: 'one line: service, queue, window',
    codes: ['service-mismatch', 'queue-not-authorized', 'key-not-yet-valid', 'key-expired'],
  },
  { what: 'destination', codes: ['destination-mismatch'] },
  { what: 'time', codes: ['clock-unreliable', 'issued-in-future', 'age-exceeded', 'message-expired'] },
  { what: 'body, headers and properties', codes: ['body-mismatch', 'headers-mismatch'] },
  { what: 'replay store', codes: ['token-id-reused', 'in-progress', 'duplicate', 'store-unavailable'] },
]

/** The last one belongs to a running consumer. */
const LAST_CHECKED = STEPS.length - 1

/** How each check ended, from the one that failed: those before it passed, those behind it were not reached. */
export function outcomes(result: CheckResult, token: unknown): ('ok' | 'failed' | 'not looked at')[] {
  const failed = failedStep(result, token)
  return STEPS.map((_, index) => {
    if (index === LAST_CHECKED || index > failed) return 'not looked at'
    return index === failed ? 'failed' : 'ok'
  })
}

function failedStep(result: CheckResult, token: unknown): number {
  if (!('outcome' in result)) return LAST_CHECKED
  // A missing token passes for now; there is nothing to look at behind it.
  if (result.outcome === 'unsigned') return 0
  const { code } = result
  // Neither text nor octets, so there is nothing to parse.
  if (code === 'token-malformed' && typeof token !== 'string') return 0
  // Only a signature that is valid says who signed: the line's algorithm comes after it.
  if (code === 'alg-not-allowed' && 'fingerprint' in result) return 5
  return STEPS.findIndex(({ codes }) => codes.includes(code))
}
