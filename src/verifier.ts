import { hash } from 'node:crypto'
import type { AuthorizedKey, AuthorizedLine, KeySource } from './authorized-keys/snapshot.ts'
import { type Clock, ClockWatch, SYSTEM_CLOCK } from './clock.ts'
import { Counters } from './counters.ts'
import { digestParts } from './covered-parts.ts'
import { RejectedError, SetupError } from './errors.ts'
import { type Algorithm, isAlgorithm } from './keys/algorithms.ts'
import type { PublicKey } from './keys/public-key.ts'
import { verifyData } from './keys/signatures.ts'
import { isReservedHeader, type ReceivedMessage, type Sender } from './message.ts'
import { Policies, type QueuePolicy, type ResolvedPolicy } from './policy.ts'
import type { RejectCode } from './reasons.ts'
import { MemoryReplayStore } from './replay/memory-replay-store.ts'
import type { ReplayStore } from './replay/replay-store.ts'
import { quote } from './text.ts'
import { type Claims, isFault, parseToken } from './token.ts'
import type { AcceptedUnsigned, Deferred, Rejected } from './verdict.ts'
import { Warnings } from './warnings.ts'

/** The default policy and everything else a verifier needs. */
export interface VerifierOptions extends QueuePolicy {
  /** who may publish where */
  readonly keys: KeySource
  /** policies by queue name or pattern, over the defaults beside them */
  readonly queues?: Readonly<Record<string, QueuePolicy>>
  /** remembers which messages were handled, so that a copy has no second effect; default: in this process's memory */
  readonly replay?: ReplayStore | 'off'
  /** how far a producer's clock may be ahead of ours, in seconds; default 60 */
  readonly clockSkewSeconds?: number
  /** how long a handler may stay silent before another consumer may take its message over, in seconds; default 30 */
  readonly leaseSeconds?: number
  /** where the time comes from; default: the system's clocks */
  readonly clock?: Clock
}

/** A message that passed every check but the replay store. */
export interface Verified {
  readonly sender: Sender
  /** the key that signed */
  readonly key: PublicKey
  /** names of the headers that the signature covers */
  readonly coveredHeaders: readonly string[]
  /** the handler must see the signed address, because the address of the delivery was not compared with it */
  readonly addressFromToken: boolean
  /** when handling may start at the latest, milliseconds since 1970 */
  readonly expiresAt: number | undefined
  /** what the token was signed over, to tell a copy from another message under the same id */
  readonly digest: string
}

/** What the checks before the replay store can say. */
export type CheckResult = Verified | AcceptedUnsigned | Rejected | Deferred

/**
 * Judges messages: the keys, the policies and the order of the checks. One verifier serves any number of consumers; the
 * replay state belongs to it.
 */
export class Verifier {
  readonly replay: ReplayStore | undefined
  /** what was seen so far, by queue */
  readonly counters: Counters = new Counters()
  /** what was said already, whatever the consumer it was said of */
  readonly warnings: Warnings = new Warnings()
  readonly leaseSeconds: number
  readonly clockSkewSeconds: number
  readonly #keys: KeySource
  readonly #policies: Policies
  readonly #clock: ClockWatch

  /** @throws SetupError `option-invalid` */
  constructor(options: VerifierOptions) {
    const {
      keys,
      queues,
      replay,
      clockSkewSeconds = 60,
      leaseSeconds = 30,
      clock = SYSTEM_CLOCK,
      ...defaults
    } = options
    if (typeof keys !== 'object' || keys === null || !('snapshot' in keys)) {
      throw new SetupError('option-invalid', 'keys is missing; write { keys: AuthorizedKeys.parse(text) }')
    }
    if (!(clockSkewSeconds >= 0 && Number.isFinite(clockSkewSeconds))) {
      throw new SetupError('option-invalid', 'clockSkewSeconds must be a number of seconds, 0 or more')
    }
    if (!(leaseSeconds > 0 && leaseSeconds <= 86_400)) {
      throw new SetupError('option-invalid', 'leaseSeconds must be a number of seconds above 0 and at most 86,400')
    }
    this.#keys = keys
    this.#policies = new Policies(defaults, queues)
    this.#clock = new ClockWatch(clock, clockSkewSeconds)
    this.clockSkewSeconds = clockSkewSeconds
    this.leaseSeconds = leaseSeconds
    this.replay = replay === 'off' ? undefined : (replay ?? new MemoryReplayStore())
    this.#checkRetention()
  }

  /** The policy that holds for a queue. */
  policyOf(queue: string): ResolvedPolicy {
    return this.#policies.of(queue)
  }

  /** How long the id of a handled message must be remembered: as long as the message could still be accepted. */
  retentionSeconds(queue: string): number {
    return retention(this.policyOf(queue).maxAgeSeconds, this.clockSkewSeconds)
  }

  /** Whether messages could be judged right now: keys at hand, an even clock, a replay store that answers. */
  async probe(): Promise<boolean> {
    if (this.#keys.snapshot === undefined || this.#keys.stale || this.#clock.read() === undefined) return false
    try {
      // Letting go of a claim that nobody has changes nothing.
      await this.replay?.release({ key: 'probe', digest: '', position: undefined, owner: 'probe', leaseSeconds: 1 })
      return true
    } catch {
      return false
    }
  }

  /** Asks the keys to look again, after a key nobody knows was seen; undefined where there is nowhere to look. */
  refreshKeys(): Promise<void> | undefined {
    return this.#keys.refresh?.()
  }

  /**
   * Checks a message, all but the replay store, which belongs to the handling of a delivery (see `guardHandler`).
   * A policy that only observes or still accepts unsigned messages does not matter here.
   *
   * @throws RejectedError with a reason code
   */
  verify(received: ReceivedMessage): Verified {
    const result = this.check(received)
    if (!('outcome' in result)) return result
    if (result.outcome === 'unsigned') throw new RejectedError('token-missing', 'the message has no header queueauth')
    throw new RejectedError(result.code, result.detail)
  }

  /** The same without throwing. This is the one place where the order of the checks is written. */
  check(received: ReceivedMessage): CheckResult {
    // 1, 2: one header, strict syntax, closed sets
    const token = parseToken(received.token)
    if (isFault(token)) {
      return (token.code === 'token-missing' && this.#unsigned(received.queue)) || rejected(token.code, token.detail)
    }
    const { claims } = token
    // 3: a key we know
    const snapshot = this.#keys.snapshot
    if (snapshot === undefined) return deferred('keys-unavailable', 'the authorized keys cannot be read')
    const key = snapshot.keys.get(token.kid)
    if (key === undefined) {
      if (this.#keys.stale)
        return deferred('keys-unavailable', 'the key is unknown, but the authorized keys are out of date')
      return rejected('key-unknown', `no authorized key has the id of the one that signed it as ${quote(claims.iss)}`)
    }
    // 4: not revoked, and an algorithm that its lines allow
    if (snapshot.isRevoked(key)) return rejected('key-revoked', `key ${key.fingerprint} is revoked`)
    const algorithm = algorithmOf(token.alg)
    if (algorithm === undefined || !key.lines.some((line) => line.algorithm === algorithm)) {
      return rejected('alg-not-allowed', `key ${key.fingerprint} may not be used with the algorithm of the token`)
    }
    // 5: the signature
    if (!verifyData(algorithm, key.keyObject, token.signingInput, token.signature)) {
      return rejected('signature-invalid', `the signature was not made by key ${key.fingerprint}`)
    }
    // 6: one line as a whole
    const now = this.#clock.read()
    const policy = this.policyOf(received.queue)
    const refusal = matchLines(key, received.queue, claims, algorithm, policy, now)
    if (refusal !== undefined) return refusal
    const signer = { fingerprint: key.fingerprint, service: claims.iss }
    // 7: the destination
    const elsewhere = checkDestination(received, claims, policy)
    if (elsewhere !== undefined) return { ...rejected('destination-mismatch', elsewhere), ...signer }
    // 8: the time
    if (now === undefined) return clockUnreliable()
    const untimely = this.#checkTime(claims, policy, now)
    if (untimely !== undefined) return { ...untimely, ...signer }
    // 9: the very bytes the handler will get
    const altered = checkContent(received, claims)
    if (altered !== undefined) return { ...altered, ...signer }
    return {
      sender: {
        service: claims.iss,
        keyId: key.keyId,
        fingerprint: key.fingerprint,
        tokenId: claims.jti,
        issuedAt: new Date(claims.iat * 1000),
        destination: claims.aud,
      },
      key,
      coveredHeaders: claims.hs ?? [],
      addressFromToken: !policy.delivered,
      expiresAt: claims.exp === undefined ? undefined : claims.exp * 1000,
      digest: `${claims.aud} ${claims.bh} ${claims.hh}`,
    }
  }

  /** What may have changed while a verified message waited: its key may be revoked by now, its deadline over. */
  recheck(verified: Verified): Rejected | Deferred | undefined {
    const { fingerprint, service } = verified.sender
    const snapshot = this.#keys.snapshot
    if (snapshot === undefined) return deferred('keys-unavailable', 'the authorized keys cannot be read')
    if (snapshot.isRevoked(verified.key)) {
      return {
        ...rejected('key-revoked', `key ${fingerprint} was revoked while the message waited`),
        fingerprint,
        service,
      }
    }
    if (verified.expiresAt === undefined) return undefined
    const now = this.#clock.read()
    if (now === undefined) return clockUnreliable()
    if (now <= verified.expiresAt) return undefined
    return { ...rejected('message-expired', expiredDetail(verified.expiresAt)), fingerprint, service }
  }

  /** What the policy says of a message without a token, where it says more than no. */
  #unsigned(queue: string): AcceptedUnsigned | Deferred | undefined {
    const { acceptUnsignedUntil } = this.policyOf(queue)
    if (acceptUnsignedUntil === undefined) return undefined
    const now = this.#clock.read()
    if (now === undefined) return clockUnreliable()
    return now < acceptUnsignedUntil ? { outcome: 'unsigned' } : undefined
  }

  #checkTime(claims: Claims, policy: ResolvedPolicy, now: number): Rejected | undefined {
    const age = now / 1000 - claims.iat
    if (-age > this.clockSkewSeconds) {
      return rejected(
        'issued-in-future',
        `it was signed ${Math.round(-age)} s in the future; at most ${this.clockSkewSeconds} s are allowed (clockSkewSeconds)`,
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

  #checkRetention(): void {
    const kept = this.replay?.retentionSeconds
    if (kept === undefined) return
    for (const { maxAgeSeconds } of this.#policies.all()) {
      const needed = retention(maxAgeSeconds, this.clockSkewSeconds)
      if (kept >= needed) continue
      throw new SetupError(
        'option-invalid',
        `the replay store forgets after ${kept} s, but a message may be accepted for ${needed} s; raise the store's retention or lower maxAgeSeconds`,
      )
    }
  }
}

/** Equal to maxAge alone, a copy would be accepted twice: once by a clock that is behind, once by one that is ahead. */
function retention(maxAgeSeconds: number, skewSeconds: number): number {
  return maxAgeSeconds + 2 * skewSeconds + 1
}

/** `EdDSA` means the same for an Ed25519 key (RFC 9864), and most stock libraries write only that. */
function algorithmOf(alg: string): Algorithm | undefined {
  if (alg === 'EdDSA') return 'Ed25519'
  return isAlgorithm(alg) ? alg : undefined
}

/**
 * A line allows the message as a whole or not at all: nothing is mixed across lines. Of several lines, the one that got
 * furthest gives the reason.
 */
function matchLines(
  key: AuthorizedKey,
  queue: string,
  claims: Claims,
  algorithm: Algorithm,
  policy: ResolvedPolicy,
  now: number | undefined,
): Rejected | undefined {
  let furthest = -1
  let refusal: Rejected | undefined
  for (const line of key.lines) {
    const [progress, code, detail] = matchLine(line, queue, claims, algorithm, policy, now)
    if (code === undefined) return undefined
    if (progress <= furthest) continue
    furthest = progress
    // The name in the token is the signer's own word until a line of the key has it.
    const service = progress > 0 ? { service: claims.iss } : {}
    refusal = { ...rejected(code, detail), fingerprint: key.fingerprint, ...service }
  }
  return refusal
}

type LineResult = readonly [progress: number, code: RejectCode | undefined, detail: string]

function matchLine(
  line: AuthorizedLine,
  queue: string,
  claims: Claims,
  algorithm: Algorithm,
  policy: ResolvedPolicy,
  now: number | undefined,
): LineResult {
  if (!line.services.includes(claims.iss)) {
    return [
      0,
      'service-mismatch',
      `signed as ${quote(claims.iss)}, but the key belongs to ${quote(line.services.join(','))}`,
    ]
  }
  if (!line.queues.matches(queue)) {
    return [1, 'queue-not-authorized', `${quote(claims.iss)} may not publish to queue ${quote(queue)}`]
  }
  if (line.validAfter !== undefined && claims.iat < line.validAfter) {
    return [2, 'key-not-yet-valid', `signed before the key's valid-after ${isoTime(line.validAfter * 1000)}`]
  }
  if (line.validBefore !== undefined) {
    if (claims.iat >= line.validBefore) {
      return [2, 'key-expired', `signed after the key's valid-before ${isoTime(line.validBefore * 1000)}`]
    }
    if (now !== undefined && now / 1000 > line.validBefore + policy.maxAgeSeconds) {
      return [
        2,
        'key-expired',
        `the key's valid-before ${isoTime(line.validBefore * 1000)} is over by more than maxAge`,
      ]
    }
  }
  if (line.algorithm !== algorithm) {
    return [
      3,
      'alg-not-allowed',
      `the line of ${quote(claims.iss)} for queue ${quote(queue)} allows ${line.algorithm} only`,
    ]
  }
  return [4, undefined, '']
}

function checkDestination(received: ReceivedMessage, claims: Claims, policy: ResolvedPolicy): string | undefined {
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

function checkContent(received: ReceivedMessage, claims: Claims): Rejected | undefined {
  const { payload, headers, properties } = received
  const bh = payload === null ? null : hash('sha256', payload, 'base64url')
  if (bh !== claims.bh) return rejected('body-mismatch', 'the body is not the one that was signed')
  if (headers !== undefined && Object.keys(headers).some(isReservedHeader)) {
    return rejected('headers-mismatch', 'it came with a header queueauth-*, which only dead letters have')
  }
  try {
    if (digestParts(properties, headers, claims.hs ?? []) === claims.hh) return undefined
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
  }
  return rejected('headers-mismatch', 'a signed header or property was changed, added or removed')
}

function expiredDetail(deadline: number): string {
  return `handling had to start by ${isoTime(deadline)}`
}

/** RFC 3339, for people. Times beyond what a Date can hold are given as they are. */
function isoTime(milliseconds: number): string {
  const date = new Date(milliseconds)
  return Number.isNaN(date.getTime()) ? `${milliseconds} ms` : date.toISOString()
}

function rejected(code: RejectCode, detail: string): Rejected {
  return { outcome: 'rejected', code, detail }
}

function clockUnreliable(): Deferred {
  return deferred('clock-unreliable', 'the system clock jumped; waiting until it runs evenly')
}

function deferred(code: Deferred['code'], detail: string): Deferred {
  return { outcome: 'deferred', code, detail }
}
