import { randomBytes } from 'node:crypto'
import { acrossBuilds } from './across-builds.ts'
import type { AuthorizedKey, KeySource } from './authorized-keys/snapshot.ts'
import { MerkleHasher } from './batch/merkle.ts'
import { RootCache } from './batch/root-cache.ts'
import {
  checkContent,
  checkDestination,
  checkLeaf,
  checkTime,
  clockUnreliable,
  deferred,
  matchLines,
  rejected,
} from './checks.ts'
import { type Clock, ClockWatch, SYSTEM_CLOCK } from './clock.ts'
import { Counters } from './counters.ts'
import { PartsDigester } from './covered-parts.ts'
import { RejectedError, SetupError } from './errors.ts'
import { algorithmOf } from './keys/algorithms.ts'
import type { PublicKey } from './keys/public-key.ts'
import { verifyData } from './keys/signatures.ts'
import type { ReceivedMessage } from './message.ts'
import { above0, checkOptions, either, having, type OptionRule, type OptionRules, oneOf } from './option-check.ts'
import { POLICY_RULES, Policies, type PolicyRule, type QueuePolicy, type ResolvedPolicy } from './policy.ts'
import { Readers } from './readers.ts'
import { MemoryReplayStore } from './replay/memory-replay-store.ts'
import type { ReplayStore } from './replay/replay-store.ts'
import { type CommonClaims, isFault, TokenReader } from './token.ts'
import type { AcceptedUnsigned, Deferred, Rejected } from './verdict.ts'
import { Verified } from './verified.ts'
import { Warnings } from './warnings.ts'

/** The default policy and everything else a verifier needs. */
export interface VerifierOptions extends QueuePolicy {
  /** who may publish where */
  readonly keys: KeySource
  /**
   * policies by queue name or pattern, over the defaults beside them; what a queue_policy file beside the keys says goes
   * before both
   */
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

/** Members of a replay store. One will do, so that a test can bring a part of one. */
const STORE_MEMBERS = ['begin', 'commit', 'release', 'renew', 'retentionSeconds'] as const

const STORE: OptionRule = {
  must: 'a store such as new RedisReplayStore(redis)',
  fits: (value) => typeof value === 'object' && value !== null && STORE_MEMBERS.some((name) => name in value),
}

const VERIFIER_RULES: OptionRules<VerifierOptions> = {
  ...POLICY_RULES,
  keys: {
    must: 'the authorized keys, such as AuthorizedKeys.parse(text)',
    fits: (value) => typeof value === 'object' && value !== null && 'snapshot' in value,
  },
  queues: {
    must: "an object of policies by queue, such as { 'orders.*': { maxAgeSeconds: 60 } }",
    fits: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  },
  replay: either(oneOf('off'), STORE),
  clockSkewSeconds: {
    must: 'a number of seconds, 0 or more',
    fits: (value) => typeof value === 'number' && value >= 0 && Number.isFinite(value),
  },
  leaseSeconds: above0('seconds', 86_400),
  clock: having('a clock with now() and monotonic()', 'now', 'monotonic'),
}

/** What the checks before the replay store can say. */
export type CheckResult = Verified | AcceptedUnsigned | Rejected | Deferred

/**
 * Judges messages: the keys, the policies and the order of the checks. One verifier serves any number of consumers; the
 * replay state belongs to it.
 */
export class Verifier {
  static {
    acrossBuilds(Verifier, 'Verifier')
  }

  readonly replay: ReplayStore | undefined
  /** what was seen so far, by queue */
  readonly counters: Counters = new Counters()
  /** what was said already, whatever the consumer it was said of */
  readonly warnings: Warnings = new Warnings()
  /** of streams, in this process */
  readonly readers: Readers = new Readers()
  readonly leaseSeconds: number
  readonly clockSkewSeconds: number
  readonly #id = randomBytes(12).toString('base64url')
  #owners = 0
  readonly #keys: KeySource
  readonly #policies: Policies
  #rules: readonly PolicyRule[] | undefined
  readonly #clock: ClockWatch
  readonly #roots = new RootCache()
  readonly #leaves = new MerkleHasher()
  readonly #tokens = new TokenReader(this.#roots.known)
  readonly #parts = new PartsDigester('base64url')
  readonly #batchedParts = new PartsDigester('binary')

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
    } = checkOptions('new Verifier', options, VERIFIER_RULES)
    if (keys === undefined) {
      throw new SetupError('option-invalid', 'keys is missing; write { keys: AuthorizedKeys.parse(text) }')
    }
    this.#keys = keys
    this.#clock = new ClockWatch(clock, clockSkewSeconds)
    this.clockSkewSeconds = clockSkewSeconds
    this.leaseSeconds = leaseSeconds
    this.replay = replay === 'off' ? undefined : (replay ?? new MemoryReplayStore())
    // A file that changes at run time cannot be refused for asking more than the store remembers: it gets what there is.
    const kept = this.replay?.retentionSeconds ?? Number.POSITIVE_INFINITY
    this.#policies = new Policies(defaults, queues, kept - retention(0, clockSkewSeconds))
    this.#checkRetention()
  }

  /** The policy that holds for a queue now. */
  policyOf(queue: string): ResolvedPolicy {
    // While there are no keys at all, the rules that came with the last ones still hold.
    const snapshot = this.#keys.snapshot
    if (snapshot !== undefined) this.#rules = snapshot.policies
    return this.#policies.of(queue, this.#rules)
  }

  /** How long the id of a handled message must be remembered: as long as the message could still be accepted. */
  retentionSeconds(queue: string): number {
    return retention(this.policyOf(queue).maxAgeSeconds, this.clockSkewSeconds)
  }

  /**
   * Whether a message that is passed on with its token comes back to the queue it came from: it goes to that queue, by the
   * address it was delivered by, or to a place that the queue's policy names for retries.
   *
   * @param queue the queue that the address names, where it names one
   */
  comesBack(received: ReceivedMessage, destination: string, queue: string | undefined): boolean {
    if (queue === received.queue || received.deliveredBy.includes(destination)) return true
    return this.policyOf(received.queue).retryDestinations?.matches(destination) ?? false
  }

  /**
   * Whether messages could be judged right now: keys at hand, an even clock, a replay store that answers. Keys that are out
   * of date still judge the messages of known keys.
   */
  async probe(): Promise<boolean> {
    if (this.#keys.snapshot === undefined || this.#clock.read() === undefined) return false
    try {
      // Letting go of a claim that nobody has changes nothing.
      await this.replay?.release({ key: 'probe', digest: '', position: undefined, owner: 'probe', leaseSeconds: 1 })
      return true
    } catch {
      return false
    }
  }

  /** A name for one delivery that no other has, in any process: who has a message in hand, for the replay store. */
  newOwner(): string {
    return `${this.#id}.${++this.#owners}`
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
    const token = this.#tokens.read(received.token)
    if (isFault(token)) {
      return (token.code === 'token-missing' && this.#unsigned(received.queue)) || rejected(token.code, token.detail)
    }
    const { signed, place } = token
    const { claims } = signed
    // 3: a key we know
    const snapshot = this.#keys.snapshot
    if (snapshot === undefined) return deferred('keys-unavailable', 'the authorized keys cannot be read')
    const key = snapshot.keys.get(signed.kid)
    if (key === undefined) {
      if (this.#keys.stale)
        return deferred('keys-unavailable', 'the key is unknown, but the authorized keys are out of date')
      // Not even the service is named: the one who made the token up chose it.
      return rejected('key-unknown', 'no authorized key has the id that the token names')
    }
    // 4: not revoked, and an algorithm that its lines allow
    if (snapshot.isRevoked(key)) return rejected('key-revoked', `key ${key.fingerprint} is revoked`)
    const algorithm = algorithmOf(signed.alg)
    if (algorithm === undefined || !key.lines.some((line) => line.algorithm === algorithm)) {
      return rejected('alg-not-allowed', `key ${key.fingerprint} may not be used with the algorithm of the token`)
    }
    // 5: the signature; of a batch it is looked at once
    const proven = place === undefined ? undefined : this.#roots.get(token.signed, snapshot)
    if (proven === undefined && !verifyData(algorithm, key.keyObject, signed.signingInput, signed.signature)) {
      return rejected('signature-invalid', `the signature was not made by key ${key.fingerprint}`)
    }
    // 6: one line as a whole
    const now = this.#clock.read()
    const policy = this.policyOf(received.queue)
    const refusal = matchLines(key, received.queue, claims, algorithm, policy, now)
    if (refusal !== undefined) return refusal
    // 7: the destination
    const elsewhere = checkDestination(received, claims, policy)
    if (elsewhere !== undefined) return signedBy(key, claims, rejected('destination-mismatch', elsewhere))
    // 8: the time
    if (now === undefined) return clockUnreliable()
    const untimely = checkTime(claims, policy, this.clockSkewSeconds, now)
    if (untimely !== undefined) return signedBy(key, claims, untimely)
    // 9: the very bytes the handler will get
    const altered =
      token.place === undefined
        ? checkContent(received, token.signed.claims, this.#parts)
        : checkLeaf(received, token, proven ?? this.#roots.add(token.signed), this.#leaves, this.#batchedParts)
    if (altered !== undefined) return signedBy(key, claims, altered)
    key.usage.lastUsedAt = now
    return new Verified(token, key, snapshot, algorithm, !policy.delivered, policy.maxAgeSeconds)
  }

  /**
   * What may have changed while a verified message waited: its key may be revoked or gone by now, its line withdrawn for
   * the queue or narrowed, the queue's policy another, its time over.
   */
  recheck(verified: Verified, received: ReceivedMessage): Rejected | Deferred | undefined {
    const { fingerprint, service } = verified.sender
    const snapshot = this.#keys.snapshot
    if (snapshot === undefined) return deferred('keys-unavailable', 'the authorized keys cannot be read')
    if (snapshot.isRevoked(verified.key)) {
      const detail = `key ${fingerprint} was revoked while the message waited`
      return { ...rejected('key-revoked', detail), fingerprint, service }
    }
    const key = snapshot.keys.get(verified.key.keyId)
    if (key === undefined) {
      // Where there is no list of revocations, as in a JWK Set, this is how a key is taken back.
      const detail = `key ${fingerprint} was taken out of the authorized keys while the message waited`
      return { ...rejected('key-unknown', detail), fingerprint, service }
    }
    if (!Verified.isBy(verified, snapshot)) return this.#checkAnew(verified, received, key)
    if (verified.deadline === undefined) return undefined
    const now = this.#clock.read()
    if (now === undefined) return clockUnreliable()
    return now <= verified.deadline ? undefined : this.#checkAnew(verified, received, key, now)
  }

  /** All of the checks that do not look at the message's content. */
  #checkAnew(
    verified: Verified,
    received: ReceivedMessage,
    key: AuthorizedKey,
    now: number | undefined = this.#clock.read(),
  ): Rejected | Deferred | undefined {
    const [claims, algorithm] = Verified.basisOf(verified)
    const policy = this.policyOf(received.queue)
    const refusal = matchLines(key, received.queue, claims, algorithm, policy, now)
    if (refusal !== undefined) return refusal
    const elsewhere = checkDestination(received, claims, policy)
    if (elsewhere !== undefined) return signedBy(key, claims, rejected('destination-mismatch', elsewhere))
    if (now === undefined) return clockUnreliable()
    const untimely = checkTime(claims, policy, this.clockSkewSeconds, now)
    return untimely && signedBy(key, claims, untimely)
  }

  /** What the policy says of a message without a token, where it says more than no. */
  #unsigned(queue: string): AcceptedUnsigned | Deferred | undefined {
    const { acceptUnsignedUntil } = this.policyOf(queue)
    if (acceptUnsignedUntil === undefined) return undefined
    const now = this.#clock.read()
    if (now === undefined) return clockUnreliable()
    return now < acceptUnsignedUntil ? { outcome: 'unsigned' } : undefined
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

/** A refusal of a message whose signature is good. */
function signedBy({ fingerprint }: PublicKey, { iss }: CommonClaims, refusal: Rejected): Rejected {
  return { ...refusal, fingerprint, service: iss }
}

/** Equal to maxAge alone, a copy would be accepted twice: once by a clock that is behind, once by one that is ahead. */
function retention(maxAgeSeconds: number, skewSeconds: number): number {
  return maxAgeSeconds + 2 * skewSeconds + 1
}
