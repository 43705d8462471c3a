import { hash } from 'node:crypto'
import type { AuthorizedKey, AuthorizedLine } from './authorized-keys/snapshot.ts'
import { leafOf } from './batch/leaf.ts'
import type { MerkleHasher } from './batch/merkle.ts'
import type { ProvenTree } from './batch/proven-tree.ts'
import { MAX_HEADERS, type PartsDigester } from './covered-parts.ts'
import { SetupError } from './errors.ts'
import type { Algorithm } from './keys/algorithms.ts'
import { isReservedHeader, type ReceivedMessage } from './message.ts'
import type { ResolvedPolicy } from './policy.ts'
import type { RejectCode } from './reasons.ts'
import { quote } from './text.ts'
import type { BatchToken, Claims, CommonClaims } from './token.ts'
import type { Deferred, Rejected } from './verdict.ts'

export { algorithmOf } from './keys/algorithms.ts'

/** The checks of a message by themselves. The order they run in is written in verifier.ts. */

/** Check 8. Three different times: how old, not from the future, and the producer's own deadline. */
export function checkTime(
  claims: CommonClaims,
  policy: ResolvedPolicy,
  clockSkewSeconds: number,
  now: number,
): Rejected | undefined {
  const age = now / 1000 - claims.iat
  if (-age > clockSkewSeconds) {
    return rejected(
      'issued-in-future',
      `it was signed ${Math.round(-age)} s in the future; at most ${clockSkewSeconds} s are allowed (clockSkewSeconds)`,
    )
  }
  if (age > policy.maxAgeSeconds) {
    return rejected(
      'age-exceeded',
      `it was signed ${Math.round(age)} s ago; at most ${policy.maxAgeSeconds} s are allowed (maxAgeSeconds)`,
    )
  }
  if (claims.exp !== undefined && now > claims.exp * 1000) {
    return rejected('message-expired', expiredDetail(claims.exp * 1000))
  }
  return undefined
}

/**
 * A line allows the message as a whole or not at all: nothing is mixed across lines. Of several lines, the one that got
 * furthest gives the reason.
 */
export function matchLines(
  key: AuthorizedKey,
  queue: string,
  claims: CommonClaims,
  algorithm: Algorithm,
  policy: ResolvedPolicy,
  now: number | undefined,
): Rejected | undefined {
  if (key.index === undefined) {
    let furthest = -1
    let best: AuthorizedLine | undefined
    for (const line of key.lines) {
      const progress = progressOf(line, queue, claims, algorithm, policy, now)
      if (progress === ALLOWED) return undefined
      if (progress <= furthest) continue
      furthest = progress
      best = line
    }
    return refusalBy(best, furthest, key, queue, claims, policy, now)
  }
  const own = key.index.of(claims.iss)
  if (own === undefined) return refusalBy(key.lines[0], SERVICE, key, queue, claims, policy, now)
  let furthest = QUEUE
  let best = own.lines[0]
  for (const line of own.for(queue)) {
    const progress = progressInTime(line, claims, algorithm, policy, now)
    if (progress === ALLOWED) return undefined
    if (progress <= furthest) continue
    furthest = progress
    best = line
  }
  return refusalBy(best, furthest, key, queue, claims, policy, now)
}

/** How far a message gets with a line: to the check that fails. */
const SERVICE = 0
const QUEUE = 1
const WINDOW = 2
const ALGORITHM = 3
const ALLOWED = 4

function progressOf(
  line: AuthorizedLine,
  queue: string,
  claims: CommonClaims,
  algorithm: Algorithm,
  policy: ResolvedPolicy,
  now: number | undefined,
): number {
  if (!line.services.includes(claims.iss)) return SERVICE
  if (!line.queues.matches(queue)) return QUEUE
  return progressInTime(line, claims, algorithm, policy, now)
}

/** The same with a line that names the service and matches the queue. */
function progressInTime(
  line: AuthorizedLine,
  { iat }: CommonClaims,
  algorithm: Algorithm,
  policy: ResolvedPolicy,
  now: number | undefined,
): number {
  const { validAfter, validBefore } = line
  if (validAfter !== undefined && iat < validAfter) return WINDOW
  if (validBefore !== undefined && (iat >= validBefore || isOver(validBefore, policy, now))) return WINDOW
  return line.algorithm === algorithm ? ALLOWED : ALGORITHM
}

/** Nothing that was signed in time can still be young enough. */
function isOver(validBefore: number, { maxAgeSeconds }: ResolvedPolicy, now: number | undefined): boolean {
  return now !== undefined && now / 1000 > validBefore + maxAgeSeconds
}

/** What is wrong is put into words for the one line that gives the reason: a key may have many. */
function refusalBy(
  line: AuthorizedLine | undefined,
  progress: number,
  { fingerprint }: AuthorizedKey,
  queue: string,
  claims: CommonClaims,
  policy: ResolvedPolicy,
  now: number | undefined,
): Rejected {
  const { iss } = claims
  // The name in the token is the signer's own word until a line of the key has it.
  if (line === undefined || progress === SERVICE) {
    const owner = quote(line?.services.join(',') ?? '')
    return { ...rejected('service-mismatch', `signed as ${quote(iss)}, but the key belongs to ${owner}`), fingerprint }
  }
  const refusal =
    progress === QUEUE
      ? rejected('queue-not-authorized', `${quote(iss)} may not publish to queue ${quote(queue)}`)
      : progress === WINDOW
        ? untimely(line, claims, policy, now)
        : rejected(
            'alg-not-allowed',
            `the line of ${quote(iss)} for queue ${quote(queue)} allows ${line.algorithm} only`,
          )
  return { ...refusal, fingerprint, service: iss }
}

function untimely(
  { validAfter, validBefore = 0 }: AuthorizedLine,
  { iat }: CommonClaims,
  policy: ResolvedPolicy,
  now: number | undefined,
): Rejected {
  if (validAfter !== undefined && iat < validAfter) {
    return rejected('key-not-yet-valid', `signed before the key's valid-after ${isoTime(validAfter * 1000)}`)
  }
  const end = isoTime(validBefore * 1000)
  const isGone = iat < validBefore && isOver(validBefore, policy, now)
  return rejected(
    'key-expired',
    isGone ? `the key's valid-before ${end} is over by more than maxAge` : `signed after the key's valid-before ${end}`,
  )
}

export function checkDestination(
  received: ReceivedMessage,
  claims: CommonClaims,
  policy: ResolvedPolicy,
): string | undefined {
  const { aud } = claims
  if (policy.delivered) {
    const other = received.deliveredBy.find((address) => address !== aud)
    if (other !== undefined) return `signed for ${quote(aud, 120)}, delivered by ${quote(other, 120)}`
    if (received.deliveredBy.length === 0) return `signed for ${quote(aud, 120)}, delivered by no known address`
  }
  if (policy.destinations !== undefined && !policy.destinations.matches(aud)) {
    return `signed for ${quote(aud, 120)}, which the destinations of queue ${quote(received.queue)} do not list`
  }
  return undefined
}

const NO_NAMES: readonly string[] = []

/** Check 9 for the token of one message. */
export function checkContent(received: ReceivedMessage, claims: Claims, digester: PartsDigester): Rejected | undefined {
  const { payload } = received
  const bh = payload === null ? null : hash('sha256', payload, 'base64url')
  if (bh !== claims.bh) return rejected('body-mismatch', 'the body is not the one that was signed')
  const unfit = checkNames(received)
  if (unfit !== undefined) return unfit
  const parts = partsOf(received, claims, digester)
  if (typeof parts !== 'string') return parts
  return parts === claims.hh
    ? undefined
    : rejected('headers-mismatch', 'a signed header or property was changed, added or removed')
}

/** Check 9 for a message of a batch: it is the leaf, so what differs cannot be told. */
export function checkLeaf(
  received: ReceivedMessage,
  { signed, place }: BatchToken,
  tree: ProvenTree,
  hasher: MerkleHasher,
  digester: PartsDigester,
): Rejected | undefined {
  const { payload } = received
  const unfit = checkNames(received)
  if (unfit !== undefined) return unfit
  const parts = partsOf(received, signed.claims, digester)
  if (typeof parts !== 'string') return parts
  const body = payload === null ? undefined : hash('sha256', payload, 'binary')
  const leaf = hasher.leaf(leafOf(place.salt, body, parts))
  return tree.includes(leaf, place.index, place.path, place.siblings)
    ? undefined
    : rejected('proof-invalid', 'the message is not the one that was signed at its place in the batch')
}

/** What no signed message has: a header of ours, or more headers than anybody may send. */
function checkNames({ headers }: ReceivedMessage): Rejected | undefined {
  let count = 0
  // Not Object.keys(), which would look at every header before the first is counted.
  for (const name in headers) {
    if (!Object.hasOwn(headers, name)) continue
    if (++count > MAX_HEADERS) return rejected('headers-mismatch', `it came with more than ${MAX_HEADERS} headers`)
    if (isReservedHeader(name)) {
      return rejected('headers-mismatch', 'it came with a header queueauth-*, which only dead letters have')
    }
  }
  return undefined
}

/**
 * The digest of the covered parts. A header of a kind or size that no signature covers cannot be the one that was signed:
 * reading stops where that is seen.
 */
function partsOf(
  { properties, headers }: ReceivedMessage,
  { hs = NO_NAMES }: CommonClaims,
  digester: PartsDigester,
): string | Rejected {
  try {
    return digester.digest(properties, headers, hs)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    return rejected(
      'headers-mismatch',
      'a signed header or property has a value of a kind or size that cannot be signed',
    )
  }
}

export function expiredDetail(deadline: number): string {
  return `handling had to start by ${isoTime(deadline)}`
}

/** RFC 3339, for people. Times beyond what a Date can hold are given as they are. */
function isoTime(milliseconds: number): string {
  const date = new Date(milliseconds)
  return Number.isNaN(date.getTime()) ? `${milliseconds} ms` : date.toISOString()
}

export function rejected(code: RejectCode, detail: string): Rejected {
  return { outcome: 'rejected', code, detail }
}

export function clockUnreliable(): Deferred {
  return deferred('clock-unreliable', 'the system clock jumped; waiting until it runs evenly')
}

export function deferred(code: Deferred['code'], detail: string): Deferred {
  return { outcome: 'deferred', code, detail }
}
