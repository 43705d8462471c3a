import { hash } from 'node:crypto'
import { acrossBuilds } from '../across-builds.ts'
import { SetupError } from '../errors.ts'
import { above0, checkOptions, type OptionRules, TEXT } from '../option-check.ts'
import { DEFAULT_MAX_AGE_SECONDS } from '../policy.ts'
import { BEGIN, COMMIT, RELEASE, RENEW, type Script } from './redis-replay-scripts.ts'
import type { BeginResult, CommitResult, ReplayClaim, ReplayStore } from './replay-store.ts'

/** What is used of a client of Redis: a `Redis` or a `Cluster` of ioredis. */
export interface RedisLike {
  call(command: string, ...args: (string | number)[]): Promise<unknown>
}

export interface RedisReplayStoreOptions {
  /** what keys begin with; default `queueauth:replay:` */
  readonly keyPrefix?: string
  /** how many messages a second are expected, for the forecast of memory; default: it is given for one */
  readonly messagesPerSecond?: number
  /** for the same forecast, the verifier's `maxAgeSeconds`; default 604,800 (7 days) */
  readonly maxAgeSeconds?: number
  /** how long to wait for an answer before the message is deferred, in seconds; default 2 */
  readonly timeoutSeconds?: number
}

const RULES: OptionRules<RedisReplayStoreOptions> = {
  keyPrefix: TEXT,
  messagesPerSecond: above0('', Number.POSITIVE_INFINITY),
  maxAgeSeconds: above0('seconds', Number.POSITIVE_INFINITY),
  timeoutSeconds: above0('seconds', 60),
}

/** Measured on Redis 7 with keys and entries of usual length. */
const BYTES_AN_ENTRY = 250

/**
 * Remembers handled tokens in Redis, for all processes that share it, over restarts. While it cannot be reached messages
 * are deferred. What it keeps must not be evicted: set `maxmemory-policy noeviction`.
 *
 * Says at construction, as a process warning, what memory it will take.
 */
export class RedisReplayStore implements ReplayStore {
  static {
    acrossBuilds(RedisReplayStore, 'RedisReplayStore')
  }

  readonly #redis: RedisLike
  readonly #keyPrefix: string
  readonly #timeoutMs: number

  /** @throws SetupError `option-invalid` */
  constructor(redis: RedisLike, options: RedisReplayStoreOptions = {}) {
    const checked = checkOptions('new RedisReplayStore', options, RULES)
    const { keyPrefix = 'queueauth:replay:', messagesPerSecond, timeoutSeconds = 2 } = checked
    const { maxAgeSeconds = DEFAULT_MAX_AGE_SECONDS } = checked
    if (typeof redis?.call !== 'function') {
      throw new SetupError('option-invalid', 'RedisReplayStore needs a client of ioredis: new RedisReplayStore(redis)')
    }
    this.#redis = redis
    this.#keyPrefix = keyPrefix
    this.#timeoutMs = timeoutSeconds * 1000
    process.emitWarning(forecast(messagesPerSecond, maxAgeSeconds), { type: 'QueueKeyAuthWarning' })
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

function forecast(messagesPerSecond: number | undefined, maxAgeSeconds: number): string {
  const rate = messagesPerSecond ?? 1
  const megabytes = (rate * maxAgeSeconds * BYTES_AN_ENTRY) / 1e6
  const amount = Number.isFinite(megabytes) ? `about ${Math.ceil(megabytes).toLocaleString('en')} MB` : 'no end of'
  const what = messagesPerSecond === undefined ? 'for each message a second' : `at ${rate} messages a second`
  return `RedisReplayStore: ${what} and a maximum age of ${maxAgeSeconds} s, Redis will need ${amount} memory; maxAgeSeconds lowers it`
}
