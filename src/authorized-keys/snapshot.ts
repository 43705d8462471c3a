import type { SourcePosition } from '../errors.ts'
import type { Algorithm } from '../keys/algorithms.ts'
import type { PublicKey } from '../keys/public-key.ts'
import type { PolicyRule } from '../policy.ts'
import { LineIndex, MIN_INDEXED_LINES } from './line-index.ts'
import type { QueuePatterns } from './patterns.ts'

/** What one line allows. It is tested as a whole: service and queue and window and algorithm, nothing across lines. */
export interface AuthorizedLine {
  /** the services that may sign with the key */
  readonly services: readonly string[]
  /** the queues, topics or streams it is good for */
  readonly queues: QueuePatterns
  /** the one algorithm that is accepted */
  readonly algorithm: Algorithm
  /** epoch seconds: a message signed earlier is not accepted */
  readonly validAfter: number | undefined
  /** epoch seconds: a message signed then or later is not accepted */
  readonly validBefore: number | undefined
  /** where the line stands, for people */
  readonly position: SourcePosition
}

/** A key and every line that names it. */
export interface AuthorizedKey extends PublicKey {
  readonly lines: readonly AuthorizedLine[]
  /** of these lines; only where there are many */
  readonly index?: LineIndex | undefined
  readonly usage: KeyUsage
}

/** The one thing about a key that changes. Generations of keys share it, and writing it costs a verifier nothing. */
export interface KeyUsage {
  /** when a message signed with it was last accepted, milliseconds since 1970 */
  lastUsedAt: number | undefined
}

/** One generation of keys. It never changes: a newer one takes its place, and verifications in flight keep theirs. */
export interface KeySnapshot {
  /** by key id, the RFC 7638 thumbprint */
  readonly keys: ReadonlyMap<string, AuthorizedKey>
  /** Whether the key is named by a revocation. Revoked means compromised: refused whatever else is said about it. */
  isRevoked(key: PublicKey): boolean
  /** what a queue_policy file says; the same list as before when that file did not change */
  readonly policies?: readonly PolicyRule[]
}

/** Where a verifier gets its keys from. */
export interface KeySource {
  /** The keys as of now; undefined while no trustworthy set is at hand, and messages are then deferred. */
  readonly snapshot: KeySnapshot | undefined
  /**
   * True while the set is so old that a key missing from it may well exist: such a message is then deferred
   * (`keys-unavailable`), not rejected (`key-unknown`). Absent: never.
   */
  readonly stale?: boolean
  /**
   * A key id was seen that the snapshot lacks: look again, and settle when {@link snapshot} is as new as can be had. The
   * source limits how often it really looks. It never rejects. Absent: there is nowhere to look.
   */
  refresh?(): Promise<void>
}

/** A public key with one line that allows it. */
export interface Allow {
  readonly key: PublicKey
  readonly line: AuthorizedLine
}

/** What a snapshot takes along besides keys. */
export interface SnapshotExtras {
  readonly policies?: readonly PolicyRule[] | undefined
  /** the generation before, which knows when keys were used */
  readonly previous?: KeySnapshot | undefined
}

const KEY_ID = 'kid:'

/**
 * @param allows in the order of the lines
 * @param revocations `SHA256:…` fingerprints and `kid:…` thumbprints
 */
export function createSnapshot(
  allows: Iterable<Allow>,
  revocations: ReadonlySet<string>,
  { policies, previous }: SnapshotExtras = {},
): KeySnapshot {
  const linesOf = new Map<string, { key: PublicKey; lines: AuthorizedLine[] }>()
  for (const { key, line } of allows) {
    const entry = linesOf.get(key.keyId)
    if (entry === undefined) linesOf.set(key.keyId, { key, lines: [line] })
    else entry.lines.push(line)
  }
  const keys = new Map<string, AuthorizedKey>()
  for (const [keyId, { key, lines }] of linesOf) {
    const usage = previous?.keys.get(keyId)?.usage ?? { lastUsedAt: undefined }
    const index = lines.length < MIN_INDEXED_LINES ? undefined : new LineIndex(lines)
    keys.set(keyId, Object.freeze({ ...key, lines: Object.freeze(lines), index, usage }))
  }
  const revoked = [...revocations]
  const fingerprints = new Set(revoked.filter((revocation) => !revocation.startsWith(KEY_ID)))
  const keyIds = new Set(revoked.filter((each) => each.startsWith(KEY_ID)).map((each) => each.slice(KEY_ID.length)))
  return Object.freeze({
    keys,
    isRevoked: ({ fingerprint, keyId }: PublicKey) => fingerprints.has(fingerprint) || keyIds.has(keyId),
    ...(policies !== undefined && { policies }),
  })
}
