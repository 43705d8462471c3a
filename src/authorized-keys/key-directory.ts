import { join } from 'node:path'
import { SetupError } from '../errors.ts'
import { milliseconds } from '../files/durations.ts'
import { fileState } from '../files/file-state.ts'
import { Follower } from '../files/follower.ts'
import type { DirectoryFiles } from '../files/read-directory.ts'
import { tellOfKeys } from '../files/tell.ts'
import { isOwnFile, soundsRevoking } from './file-names.ts'
import { type Generation, KnownKeys, lossesSince, parseGeneration, readKeyDirectory } from './generation.ts'
import { expiringLines, faultOf, type KeyHealth, keyStatuses } from './health.ts'
import { createSnapshot, type KeySnapshot, type KeySource } from './snapshot.ts'

export interface DirectoryOptions {
  /** how often the files are read without a reason, beside watching them: 30 */
  readonly pollSeconds?: number
  /** after so long without files that are in order, every message is deferred: 900 */
  readonly staleAfterSeconds?: number
  /** the least time between two reads because of unknown key ids: 5 */
  readonly cooldownSeconds?: number
  /** how long before its valid-before a line is listed in `health.expiring`: 14 */
  readonly expiryNoticeDays?: number
  /**
   * Whether files and directories that others can write to are an error (`key-file-permissions`), as with sshd: true. A
   * mounted Kubernetes volume is fine as it is.
   */
  readonly strictModes?: boolean
  /** The files cannot be used as they are. By default one process warning a message. */
  readonly onError?: (error: SetupError) => void
}

/** Keys from a directory that is watched. */
export class KeyDirectory implements KeySource {
  readonly #directory: string
  readonly #options: DirectoryOptions
  readonly #cooldownMs: number
  readonly #follower: Follower
  readonly #known = new KnownKeys()
  /** the last generation without a fault */
  #good: Generation | undefined
  /** every revocation that is in force */
  #revocations: ReadonlySet<string> = new Set()
  #snapshot: KeySnapshot | undefined
  /** what was found in the directory last, of ours or not */
  #paths: readonly string[] = []
  #faults: readonly SetupError[] = []
  /** of the files that were taken over last, faults or not */
  #digest: string | undefined
  #loadedAt = new Date()
  #staleTimer: NodeJS.Timeout | undefined
  #stale = false
  /** of the monotonic clock, in milliseconds */
  #goodAt = 0
  #refreshedAt = Number.NEGATIVE_INFINITY
  #refreshing: Promise<void> | undefined

  private constructor(directory: string, options: DirectoryOptions) {
    this.#directory = directory
    this.#options = options
    this.#cooldownMs = milliseconds('cooldownSeconds', options.cooldownSeconds ?? 5)
    const pollMs = milliseconds('pollSeconds', options.pollSeconds ?? 30)
    if (typeof (options.strictModes ?? true) !== 'boolean') {
      throw new SetupError('option-invalid', 'strictModes must be true or false')
    }
    const staleAfterMs = milliseconds('staleAfterSeconds', options.staleAfterSeconds ?? 900)
    if (staleAfterMs < 2 * pollMs) {
      throw new SetupError(
        'option-invalid',
        'staleAfterSeconds must be at least twice pollSeconds, or good keys grow stale',
      )
    }
    this.#follower = new Follower({ directory, pollMs, look: () => this.#look(), glance: () => this.#glance() })
    // A timer, and no look at the clock for every message.
    this.#staleTimer = setTimeout(() => this.#growStale(), staleAfterMs).unref()
  }

  /** @throws SetupError when there is anything wrong with the directory: one must not start half authorized */
  static async open(directory: string, options: DirectoryOptions): Promise<KeyDirectory> {
    const source = new KeyDirectory(directory, options)
    await source.#follower.start()
    const [fault] = source.#faults
    if (fault === undefined) return source
    source.close()
    throw fault
  }

  get snapshot(): KeySnapshot | undefined {
    return this.#stale ? undefined : this.#snapshot
  }

  get stale(): boolean {
    return this.#stale
  }

  health(): KeyHealth {
    const snapshot = this.#snapshot
    const [fault] = this.#faults
    return {
      state: this.#state,
      ageSeconds: (performance.now() - this.#goodAt) / 1000,
      loadedAt: this.#loadedAt,
      error: fault === undefined ? undefined : faultOf(fault),
      expiring: snapshot === undefined ? [] : expiringLines(snapshot, this.#options.expiryNoticeDays ?? 14),
      keys: snapshot === undefined ? [] : keyStatuses(snapshot),
    }
  }

  /** Reads the files because a key id is unknown: at most once in a while, unless they are known to have changed. */
  refresh(): Promise<void> {
    const now = performance.now()
    if (now - this.#refreshedAt < this.#cooldownMs && !this.#follower.pending) {
      return this.#refreshing ?? Promise.resolve()
    }
    this.#refreshedAt = now
    const refreshing = this.#follower.look().then(() => {
      if (this.#refreshing === refreshing) this.#refreshing = undefined
    })
    this.#refreshing = refreshing
    return refreshing
  }

  close(): void {
    this.#follower.close()
    clearTimeout(this.#staleTimer)
    this.#staleTimer = undefined
  }

  get #state(): KeyHealth['state'] {
    if (this.#stale) return 'stale'
    return this.#faults.length > 0 ? 'broken' : 'ok'
  }

  /** The directory, where its link leads, and every file that matters, all through whatever links lead there. */
  async #glance(): Promise<string> {
    const paths = [this.#directory, join(this.#directory, '..data'), ...this.#paths]
    return (await Promise.all(paths.map(fileState))).join('\n')
  }

  async #look(): Promise<boolean> {
    try {
      const files = await readKeyDirectory(this.#directory, this.#options.strictModes ?? true)
      this.#paths = pathsIn(this.#directory, files)
      if (files.digest !== this.#digest) {
        this.#digest = files.digest
        this.#take(parseGeneration(files, this.#directory, this.#known.reader()))
      }
    } catch (error) {
      this.#digest = undefined
      this.#refuse([asSetupError(error)], new Set())
    }
    if (this.#faults.length > 0) return false
    this.#goodAt = performance.now()
    this.#staleTimer?.refresh()
    if (this.#stale) {
      this.#stale = false
      this.#tell()
    }
    return true
  }

  #take(generation: Generation): void {
    const good = this.#good
    const losses = good === undefined ? [] : lossesSince(good, generation, this.#revocations, this.#directory)
    const faults = [...generation.faults, ...losses]
    if (faults.length > 0) {
      this.#refuse(faults, generation.revocations)
      return
    }
    const isSamePolicy = good !== undefined && sameText(good, generation, 'queue_policy')
    this.#good = isSamePolicy ? { ...generation, policies: good.policies } : generation
    this.#known.keep()
    this.#revocations = generation.revocations
    this.#faults = []
    this.#loadedAt = new Date()
    this.#stale = false
    this.#swap()
    this.#tell()
  }

  /** A partial list of allows is dangerous and is not used; a partial list of revocations is safe and is. */
  #refuse(faults: readonly SetupError[], revocations: ReadonlySet<string>): void {
    const before = this.#faults
    this.#faults = faults
    const united = new Set([...this.#revocations, ...revocations])
    if (united.size > this.#revocations.size) {
      this.#revocations = united
      this.#swap()
    }
    // Before the first good generation, whoever opens the directory gets the error.
    if (this.#good !== undefined && before[0]?.message !== faults[0]?.message) this.#tell()
  }

  /** One reference is replaced; verifications in flight keep theirs. */
  #swap(): void {
    if (this.#good === undefined) return
    const { allows, policies } = this.#good
    this.#snapshot = createSnapshot(allows, this.#revocations, { policies, previous: this.#snapshot })
  }

  #growStale(): void {
    if (this.#good === undefined) return
    this.#stale = true
    this.#tell()
  }

  #tell(): void {
    const [error] = this.#faults
    tellOfKeys(
      { role: 'authorized-keys', source: this.#directory, state: this.#state, ...(error !== undefined && { error }) },
      this.#options.onError,
    )
  }
}

/** The most files to glance at every second; what else there is, the watch and the poll see. */
const MAX_GLANCES = 64

function pathsIn(directory: string, { files, beside = new Map() }: DirectoryFiles): string[] {
  const names = [...new Set([...files.keys(), ...beside.keys()])]
  const own = names.filter((name) => isOwnFile(name) || soundsRevoking(name))
  return own.slice(0, MAX_GLANCES).map((name) => join(directory, name))
}

function sameText(before: Generation, now: Generation, name: string): boolean {
  return before.texts.get(name) === now.texts.get(name)
}

function asSetupError(error: unknown): SetupError {
  if (error instanceof SetupError) return error
  return new SetupError('key-file-unreadable', 'the keys cannot be read', { cause: error })
}
