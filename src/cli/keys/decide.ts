import { QueuePatterns } from '../../authorized-keys/patterns.ts'
import type { AuthorizedKey, AuthorizedLine, KeySnapshot } from '../../authorized-keys/snapshot.ts'
import { matchLines } from '../../checks.ts'
import type { PublicKey } from '../../keys/public-key.ts'
import { DEFAULT_MAX_AGE_SECONDS } from '../../policy.ts'
import type { RejectCode } from '../../reasons.ts'
import { quote, visible } from '../../text.ts'

/** What a line says of a message that is signed now. */
export interface Decision {
  readonly key: PublicKey
  readonly line: AuthorizedLine
  /** undefined: it allows the message */
  readonly code: RejectCode | undefined
  readonly detail: string
}

/** How far a line that says no got: the one that got furthest says most. */
const PROGRESS: readonly (RejectCode | undefined)[] = [
  'service-mismatch',
  'queue-not-authorized',
  'key-revoked',
  'key-expired',
  'key-not-yet-valid',
  undefined,
]

/** The line that decides whether a service may publish to a queue; undefined when there are no lines at all. */
export function decide(snapshot: KeySnapshot, service: string, queue: string, now: number): Decision | undefined {
  let best: Decision | undefined
  for (const key of snapshot.keys.values()) {
    for (const line of key.lines) {
      const decision = decideLine(snapshot, key, line, service, queue, now)
      if (best === undefined || PROGRESS.indexOf(decision.code) > PROGRESS.indexOf(best.code)) best = decision
    }
  }
  return best
}

function decideLine(
  snapshot: KeySnapshot,
  key: AuthorizedKey,
  line: AuthorizedLine,
  service: string,
  queue: string,
  now: number,
): Decision {
  const claims = { iss: service, iat: now, aud: '', jti: '', bh: null, hh: '' }
  const policy = { maxAgeSeconds: DEFAULT_MAX_AGE_SECONDS, rollout: 'enforce', delivered: true } as const
  const unlimited = { ...policy, acceptUnsignedUntil: undefined, destinations: undefined }
  // The verifier's own check, on a message that the line's key signs as it should.
  const refusal = matchLines(
    { ...key, lines: [line], index: undefined },
    queue,
    claims,
    line.algorithm,
    unlimited,
    now * 1000,
  )
  const { code, detail = '' } = refusal ?? {}
  if ((code === undefined || code.startsWith('key-')) && snapshot.isRevoked(key)) {
    return { key, line, code: 'key-revoked', detail: `key ${key.fingerprint} is revoked` }
  }
  const veto = code === 'queue-not-authorized' ? vetoOf(line.queues, queue) : undefined
  return { key, line, code, detail: veto === undefined ? detail : `${detail}: ${quote(veto)} vetoes it` }
}

/** The veto but for which the list would match the queue. */
function vetoOf({ patterns }: QueuePatterns, queue: string): string | undefined {
  const allowed = patterns.filter((pattern) => !pattern.startsWith('!'))
  if (!QueuePatterns.parse(allowed).matches(queue)) return undefined
  return patterns.find((pattern) => pattern.startsWith('!') && QueuePatterns.parse([pattern.slice(1)]).matches(queue))
}

/** Where a line stands: `keys/authorized_keys:3`. */
export function placeOf({ position }: AuthorizedLine): string {
  return visible([position.file, position.line].filter((part) => part !== undefined).join(':'))
}

/** A line's window: `2026-09-01T00:00Z to 2026-12-01T00:00Z`. */
export function windowOf({ validAfter, validBefore }: AuthorizedLine, format: (seconds: number) => string): string {
  if (validAfter === undefined && validBefore === undefined) return 'always'
  if (validAfter === undefined) return `until ${format(validBefore ?? 0)}`
  return validBefore === undefined ? `from ${format(validAfter)}` : `${format(validAfter)} to ${format(validBefore)}`
}
