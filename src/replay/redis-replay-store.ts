import { hash } from 'node:crypto'
import { SetupError } from '../errors.ts'
import { isIoredis } from '../ioredis-client.ts'
import { DEFAULT_MAX_AGE_SECONDS } from '../policy.ts'
import { quote } from '../text.ts'
import { BEGIN, COMMIT, RELEASE, RENEW, type Script } from './redis-replay-scripts.ts'
import type { BeginResult, CommitResult, ReplayClaim, ReplayStore } from './replay-store.ts'

/** What is used of a `Redis` or a `Cluster` of ioredis 5 or 6. Another client that has such a method is refused. */
export interface RedisLike {
  call(command: string, ...args: (string | number)[]): Promise<unknown>
}

export interface RedisReplayStoreOptions {
  /** what keys begin with; default `queueauth:replay:` */
  readonly keyPrefix?: string
  /** how long to wait for an answer before the message is deferred, in seconds; default 2 */
  readonly timeoutSeconds?: number
}

/** What a forecast is made from. */
export interface RedisReplayLoad {
  readonly messagesPerSecond: number
  /** the verifier's `maxAgeSeconds`; default 604,800 (7 days). `Infinity`: there is no end of it */
  readonly maxAgeSeconds?: number
}

/** What Redis will hold when as many messages have come for as long as they are remembered. */
export interface RedisReplayForecast {
  readonly entries: number
  readonly bytes: number
}

const OPTIONS: ReadonlySet<string> = new Set(['keyPrefix', 'timeoutSeconds'])

/** Measured on Redis 7 with keys and entries of usual length. */
const BYTES_AN_ENTRY = 250

/**
 * Remembers handled tokens in Redis, for all processes that share it, over restarts. While it cannot be reached messages
 * are deferred. What it keeps must not be evicted: set `maxmemory-policy noeviction`.
 * {@link RedisReplayStore.forecast} says what memory they will take.
 *
 * ```ts
 * new Verifier({ keys, replay: new RedisReplayStore(new Redis('redis://localhost')) })
 * ```
 */
export class RedisReplayStore implements ReplayStore {
  readonly #redis: RedisLike
  readonly #keyPrefix: string
  readonly #timeoutMs: number

  /**
   * @param redis a `Redis` or a `Cluster` of ioredis 5 or 6
   * @throws SetupError `client-unsupported`, `option-invalid`
   */
  constructor(redis: RedisLike, options: RedisReplayStoreOptions = {}) {
    if (!isIoredis(redis)) {
      throw new SetupError(
        'client-unsupported',
        'RedisReplayStore takes a Redis or a Cluster of ioredis 5 or 6, and this is none; write new RedisReplayStore(new Redis(url)) with one of ioredis',
      )
    }
    const unknown = Object.keys(options).find((name) => !OPTIONS.has(name))
    if (unknown !== undefined) {
      throw new SetupError(
        'option-invalid',
        `RedisReplayStore: ${quote(unknown)} is no option; there are ${[...OPTIONS].join(', ')}. RedisReplayStore.forecast() takes messagesPerSecond and maxAgeSeconds`,
      )
    }
    const { keyPrefix = 'queueauth:replay:', timeoutSeconds = 2 } = options
    if (typeof keyPrefix !== 'string') throw new SetupError('option-invalid', 'keyPrefix must be text')
    if (!(timeoutSeconds > 0 && timeoutSeconds <= 60)) {
      throw new SetupError('option-invalid', 'timeoutSeconds must be a number of seconds above 0 and at most 60')
    }
    this.#redis = redis
    this.#keyPrefix = keyPrefix
    this.#timeoutMs = timeoutSeconds * 1000
  }

  /**
   * The memory that entries will take, by what was measured on Redis 7: `forecast({ messagesPerSecond: 100 })` is
   * `{ entries: 60480000, bytes: 15120000000 }`, and a lower maximum age makes it less.
   *
   * @throws SetupError `option-invalid`
   */
  static forecast(load: RedisReplayLoad): RedisReplayForecast {
    const { messagesPerSecond, maxAgeSeconds = DEFAULT_MAX_AGE_SECONDS } = load
    for (const [name, value] of Object.entries({ messagesPerSecond, maxAgeSeconds })) {
      if (typeof value !== 'number' || !(value > 0)) {
        throw new SetupError('option-invalid', `${name} must be a positive number`)
      }
    }
    const entries = Math.ceil(messagesPerSecond * maxAgeSeconds)
    return { entries, bytes: entries * BYTES_AN_ENTRY }
  }

  async begin(claim: ReplayClaim): Promise<BeginResult> {
    const key = this.#keyOf(claim)
    const entry = entryOf('p', claim)
    const lease = milliseconds(claim.leaseSeconds)
    // Nearly every message is new, and this is cheaper than a script. Nothing else says so: a client in a transaction answers QUEUED.
    if ((await this.#call('SET', key, entry, 'NX', 'PX', lease)) === 'OK') return 'run'
    const { owner, position = '' } = claim
    const again = claim.reprocess === true ? 1 : 0
    return (await this.#run(BEGIN, key, [entry, owner, digestOf(claim), position, lease, again])) as BeginResult
  }

  async commit(claim: ReplayClaim, retentionSeconds: number): Promise<CommitResult> {
    const { owner, position = '' } = claim
    const retention = Number.isFinite(retentionSeconds) ? milliseconds(retentionSeconds) : 0
    const args = [entryOf('d', claim), owner, position, retention]
    return (await this.#run(COMMIT, this.#keyOf(claim), args)) as CommitResult
  }

  async release(claim: ReplayClaim): Promise<void> {
    await this.#run(RELEASE, this.#keyOf(claim), [claim.owner])
  }

  async renew(claim: ReplayClaim): Promise<void> {
    await this.#run(RENEW, this.#keyOf(claim), [claim.owner, milliseconds(claim.leaseSeconds)])
  }

  #keyOf({ key }: ReplayClaim): string {
    return this.#keyPrefix + hash('sha256', key, 'base64url')
  }

  async #run({ text, sha }: Script, key: string, args: readonly (string | number)[]): Promise<string> {
    try {
      return String(await this.#call('EVALSHA', sha, 1, key, ...args))
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return String(await this.#call('EVAL', text, 1, key, ...args))
    }
  }

  /** A client that reconnects keeps a command for long; asking again is harmless, so nobody waits for that. */
  #call(command: string, ...args: (string | number)[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`the replay store did not answer within ${this.#timeoutMs} ms`)),
        this.#timeoutMs,
      )
      this.#redis
        .call(command, ...args)
        .then(resolve, reject)
        .finally(() => clearTimeout(timer))
    })
  }
}

function entryOf(state: 'p' | 'd', claim: ReplayClaim): string {
  return JSON.stringify([state, claim.owner, digestOf(claim), claim.position ?? ''])
}

/** Of one length, and short. */
function digestOf({ digest }: ReplayClaim): string {
  return hash('sha256', digest, 'base64url')
}

function milliseconds(seconds: number): number {
  return Math.max(1, Math.ceil(seconds * 1000))
}
