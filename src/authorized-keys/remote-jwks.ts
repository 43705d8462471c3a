import { createRemoteJWKSet, customFetch, type FetchImplementation, type RemoteJWKSet } from 'jose'
import { SetupError } from '../errors.ts'
import { milliseconds } from '../files/durations.ts'
import { keyError } from '../keys/key-error.ts'
import { expiringLines, faultOf, type KeyHealth, keyStatuses } from './health.ts'
import { allowsOfJwks, type JwksOptions } from './jwks.ts'
import type { Policy } from './policy.ts'
import { RevocationFile, revocationsOf } from './revocations.ts'
import { type Allow, createSnapshot, type KeySnapshot, type KeySource } from './snapshot.ts'
import { MAX_FILE_LENGTH } from './syntax.ts'

const DAY_SECONDS = 86_400

/** how often a file of revocations is read without a reason, beside watching it */
const FILE_POLL_MS = 30_000

export interface RemoteJwksOptions extends JwksOptions {
  /**
   * A revoked_keys file, which is watched: a revocation takes effect within 2 s of its change, whatever the URL says. While
   * it is broken, every revocation of before and since is in force; after `staleAfterSeconds` of that messages are deferred.
   */
  readonly revokedKeysFile?: string
  /** whether a `revokedKeysFile` that others can write to is an error (`key-file-permissions`): true */
  readonly strictModes?: boolean
  /** how often the set is fetched anew without a reason: 300 */
  readonly pollSeconds?: number
  /** the least time between two fetches, however many unknown key ids are seen: 5 */
  readonly cooldownSeconds?: number
  /** after so long without a fetch that worked, an unknown key id is deferred and not rejected: 900 */
  readonly staleAfterSeconds?: number
  /**
   * after so long without a fetch that worked, every message is deferred (`keys-unavailable`) until one works again: 86400,
   * at most 604800. Whoever keeps the URL unreachable keeps a key in force that was taken out, but no longer than that.
   */
  readonly deferAfterSeconds?: number
  /** A fetch failed, or what it brought cannot be used. By default one process warning a message. */
  readonly onError?: (error: SetupError) => void
}

/** A JWK Set behind a URL. Known keys go on working while it cannot be fetched, for a while. */
export class RemoteJwks implements KeySource {
  readonly #label: string
  readonly #remote: RemoteJWKSet
  readonly #policy: Policy
  readonly #options: RemoteJwksOptions
  readonly #cooldown: number
  readonly #staleAfter: number
  readonly #deferAfter: number
  readonly #revoked: ReadonlySet<string>
  #file: RevocationFile | undefined
  #allows: readonly Allow[] = []
  #snapshot: KeySnapshot | undefined
  #error: SetupError | undefined
  /** No look at the clock for every message: a timer says when the keys are too old. */
  #deferTimer: NodeJS.Timeout | undefined
  #fileTimer: NodeJS.Timeout | undefined
  #tooOld = false
  #fileTooOld = false
  #loading: Promise<void> | undefined
  #poll: NodeJS.Timeout | undefined
  /** when the keys in force came */
  #loadedDate = new Date()
  /** of the monotonic clock, in milliseconds, as all times here */
  #loadedAt = 0
  #triedAt = 0
  #warnedOf = ''
  #closed = false

  private constructor(url: URL, policy: Policy, options: RemoteJwksOptions) {
    this.#label = `${url.origin}${url.pathname}`
    this.#policy = policy
    this.#options = options
    this.#cooldown = milliseconds('cooldownSeconds', options.cooldownSeconds ?? 5)
    this.#staleAfter = milliseconds('staleAfterSeconds', options.staleAfterSeconds ?? 900)
    this.#deferAfter = milliseconds('deferAfterSeconds', options.deferAfterSeconds ?? DAY_SECONDS, 7 * DAY_SECONDS)
    if (this.#deferAfter < this.#staleAfter) {
      throw new SetupError('option-invalid', 'deferAfterSeconds must not be less than staleAfterSeconds')
    }
    this.#revoked = revocationsOf(options)
    this.#remote = createRemoteJWKSet(url, { [customFetch]: fetchLimited })
  }

  /** @throws SetupError when the first fetch fails or brings a set that cannot be used */
  static async open(url: URL | string, policy: Policy, options: RemoteJwksOptions): Promise<RemoteJwks> {
    const remote = new RemoteJwks(checkedUrl(url), policy, options)
    const pollInterval = milliseconds('pollSeconds', options.pollSeconds ?? 300)
    const { revokedKeysFile, strictModes = true } = options
    if (revokedKeysFile !== undefined) {
      const follow = { pollMs: FILE_POLL_MS, strictModes, changed: () => remote.#fileChanged() }
      remote.#file = await RevocationFile.open(revokedKeysFile, follow)
    }
    try {
      const missing = await remote.#load()
      if (missing !== undefined) throw missing
    } catch (error) {
      remote.close()
      throw error
    }
    remote.#poll = setInterval(() => void remote.#reload(), pollInterval).unref()
    return remote
  }

  get snapshot(): KeySnapshot | undefined {
    return this.#tooOld || this.#fileTooOld ? undefined : this.#snapshot
  }

  get stale(): boolean {
    return this.#tooOld || this.#fileTooOld || performance.now() - this.#loadedAt > this.#staleAfter
  }

  health(): KeyHealth {
    const snapshot = this.#snapshot
    const error = this.#file?.fault ?? this.#error
    const goodAt = Math.min(this.#loadedAt, this.#file?.goodAt ?? this.#loadedAt)
    return {
      state: this.stale ? 'stale' : error === undefined ? 'ok' : 'broken',
      ageSeconds: (performance.now() - goodAt) / 1000,
      loadedAt: this.#loadedDate,
      error: error === undefined ? undefined : faultOf(error),
      expiring: snapshot === undefined ? [] : expiringLines(snapshot, 14),
      keys: snapshot === undefined ? [] : keyStatuses(snapshot),
    }
  }

  async refresh(): Promise<void> {
    if (this.#loading === undefined && performance.now() - this.#triedAt < this.#cooldown) return
    await this.#reload()
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#poll)
    clearTimeout(this.#deferTimer)
    clearTimeout(this.#fileTimer)
    this.#file?.close()
  }

  /** Single flight; never rejects. */
  #reload(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#loading ??= this.#load()
      .then(
        // a key that was taken out must stop working, so the new set counts although a service lacks its key
        (missing) => this.#failed(missing),
        (error: unknown) => this.#failed(asSetupError(error)),
      )
      .finally(() => {
        this.#loading = undefined
      })
    return this.#loading
  }

  async #load(): Promise<SetupError | undefined> {
    const set = await this.#fetch()
    const { allows, missing } = allowsOfJwks(set, this.#policy, this.#options, this.#label)
    this.#allows = allows
    this.#swap()
    this.#loadedAt = performance.now()
    this.#loadedDate = new Date()
    this.#tooOld = false
    clearTimeout(this.#deferTimer)
    if (!this.#closed) {
      this.#deferTimer = setTimeout(() => {
        this.#tooOld = true
        this.#report(this.#tooOldError())
      }, this.#deferAfter).unref()
    }
    return missing
  }

  #tooOldError(): SetupError {
    const seconds = this.#deferAfter / 1000
    const what = `no fetch has worked for ${seconds} s (deferAfterSeconds): every message is deferred until one does`
    return keyError('key-file-unreadable', what, { file: this.#label })
  }

  #swap(): void {
    const revocations = new Set([...this.#revoked, ...(this.#file?.revocations ?? [])])
    this.#snapshot = createSnapshot(this.#allows, revocations, { previous: this.#snapshot })
  }

  #fileChanged(): void {
    // The first look comes before the first keys.
    if (this.#snapshot === undefined || this.#file === undefined || this.#closed) return
    this.#swap()
    const { fault } = this.#file
    if (fault !== undefined) {
      this.#fileTimer ??= setTimeout(() => {
        this.#fileTooOld = true
      }, this.#staleAfter).unref()
    } else {
      clearTimeout(this.#fileTimer)
      this.#fileTimer = undefined
      this.#fileTooOld = false
    }
    this.#report(fault)
  }

  async #fetch(): Promise<NonNullable<ReturnType<RemoteJWKSet['jwks']>>> {
    try {
      await this.#remote.reload()
      return this.#remote.jwks() ?? { keys: [] }
    } catch (error) {
      // without the cause: what is no JSON is quoted there
      const { code, message, cause } = error as { code?: unknown; message: string; cause?: { code?: unknown } }
      const advice = `${cause?.code ?? message}; it must answer 200 with a JWK Set of at most 8 MiB within 5 seconds, without a redirect`
      throw keyError(code === 'ERR_JWKS_INVALID' ? 'key-malformed' : 'key-file-unreadable', advice, {
        file: this.#label,
      })
    } finally {
      this.#triedAt = performance.now()
    }
  }

  #failed(error: SetupError | undefined): void {
    this.#error = error
    this.#report(error)
  }

  #report(error: SetupError | undefined): void {
    if (this.#closed) return
    const message = error?.message ?? ''
    const isNews = message !== this.#warnedOf
    this.#warnedOf = message
    if (error === undefined) return
    const { onError } = this.#options
    // apart from here, so that what it throws is not lost in a promise that never rejects
    if (onError !== undefined) queueMicrotask(() => onError(error))
    else if (isNews) process.emitWarning(message, { type: 'QueueKeyAuthWarning', code: error.code })
  }
}

/** Whoever answers must not fill the memory. */
const fetchLimited: FetchImplementation = async (url, options) => {
  const response = await fetch(url, options)
  let octets = 0
  const limited = response.body?.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        octets += chunk.length
        if (octets <= MAX_FILE_LENGTH) controller.enqueue(chunk)
        else controller.error(Object.assign(new Error('too long'), { code: 'ERR_TOO_LONG' }))
      },
    }),
  )
  // A redirect that was not followed has no status that a response could be made with.
  return response.ok && limited !== undefined ? new Response(limited, { status: response.status }) : response
}

function asSetupError(error: unknown): SetupError {
  return error instanceof SetupError
    ? error
    : new SetupError('option-invalid', 'serviceOf has thrown', { cause: error })
}

function checkedUrl(url: URL | string): URL {
  const parsed = URL.canParse(String(url)) ? new URL(url) : undefined
  if (parsed === undefined)
    throw new SetupError('option-invalid', 'a JWKS URL must be absolute, such as https://keys.example/jwks.json')
  const isLoopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(parsed.hostname)
  if (parsed.protocol !== 'https:' && !(parsed.protocol === 'http:' && isLoopback)) {
    throw new SetupError(
      'option-invalid',
      'a JWKS URL must begin with https: (http: is for 127.0.0.1, ::1 and localhost)',
    )
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new SetupError('option-invalid', 'a JWKS URL must not hold a user name or password: public keys need none')
  }
  return parsed
}
