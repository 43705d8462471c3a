import { type FSWatcher, watch } from 'node:fs'
import { lstat, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'

/** A burst of changes is looked at once, when it is over. */
const DEBOUNCE_MS = 250
/** But no later than this after its beginning: a directory that never rests must still be read. */
const LONGEST_BURST_MS = 1_000
/** How often to look while something is wrong, or nothing can be watched. */
const IMPATIENT_MS = 1_000
/** How often to glance: a watch does not see through links, nor that a directory above was replaced. */
const GLANCE_MS = 1_000

export interface FollowerOptions {
  /** the directory whose entries are watched */
  readonly directory: string
  /** whether an entry of that name matters; default: all do */
  readonly matters?: (name: string) => boolean
  /** how often to look without a reason: a watch can miss changes (network file systems, full inotify tables) */
  readonly pollMs: number
  /**
   * What can be seen of the files from outside, through whatever links lead to them: another text after a change. It costs
   * a few calls of stat(2), and never rejects.
   */
  readonly glance: () => Promise<string>
  /**
   * Looks at the files and takes over what they say. It never rejects.
   *
   * @param polled nothing is known to have changed
   * @returns whether all is well; it is asked again soon where not
   */
  readonly look: (polled: boolean) => Promise<boolean>
}

/** Calls a function when files in a directory may have changed: watched, and polled as well. Keeps no process alive. */
export class Follower {
  readonly #options: FollowerOptions
  #watchers: readonly FSWatcher[] = []
  /** which directory is watched: it can be replaced by another of its name */
  #watched = ''
  #burst: NodeJS.Timeout | undefined
  #burstBegan = 0
  #poll: NodeJS.Timeout | undefined
  #glance: NodeJS.Timeout | undefined
  /** what the files looked like right before they were read last */
  #seen = ''
  #current: Promise<void> | undefined
  #next: Promise<void> | undefined
  #polled = true
  #closed = false

  constructor(options: FollowerOptions) {
    this.#options = options
  }

  /** Watches before it looks, so that nothing that changes in between is missed. */
  async start(): Promise<void> {
    await this.#watchAgain()
    await this.look()
  }

  /** Something has changed, and was not looked at yet. */
  get pending(): boolean {
    return this.#burst !== undefined
  }

  /** Looks from now on: one at a time, and calls that wait for their turn share it. */
  look(polled = false): Promise<void> {
    this.#polled &&= polled
    this.#next ??= (this.#current ?? Promise.resolve()).then(() => {
      this.#current = this.#next
      this.#next = undefined
      return this.#look()
    })
    return this.#next
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#burst)
    clearTimeout(this.#poll)
    clearTimeout(this.#glance)
    this.#burst = undefined
    this.#unwatch()
  }

  async #look(): Promise<void> {
    if (this.#closed) return
    const polled = this.#polled
    this.#polled = true
    clearTimeout(this.#burst)
    this.#burst = undefined
    clearTimeout(this.#poll)
    clearTimeout(this.#glance)
    this.#seen = await this.#options.glance()
    const isWell = await this.#options.look(polled)
    await this.#watchAgain()
    if (this.#closed) return
    this.#glanceLater()
    const isWatched = this.#watchers.length > 0
    const { pollMs } = this.#options
    const delay = isWell && isWatched ? pollMs : Math.min(pollMs, IMPATIENT_MS)
    this.#poll = setTimeout(() => void this.look(true), delay).unref()
  }

  #glanceLater(): void {
    clearTimeout(this.#glance)
    this.#glance = setTimeout(async () => {
      const now = await this.#options.glance()
      if (this.#closed) return
      if (now === this.#seen) this.#glanceLater()
      else void this.look()
    }, GLANCE_MS).unref()
  }

  #changed(): void {
    if (this.#closed) return
    const now = performance.now()
    if (this.#burst === undefined) this.#burstBegan = now
    clearTimeout(this.#burst)
    const delay = Math.min(DEBOUNCE_MS, Math.max(0, this.#burstBegan + LONGEST_BURST_MS - now))
    this.#burst = setTimeout(() => void this.look(), delay).unref()
  }

  /** The watch follows the inode; where the directory was replaced it has to be set up again. */
  async #watchAgain(): Promise<void> {
    const { directory } = this.#options
    const [identity, isLink] = await identify(directory)
    if (this.#closed || (identity === this.#watched && this.#watchers.length > 0)) return
    this.#unwatch()
    if (identity === '') return
    try {
      this.#watchers = [
        this.#watch(directory, this.#options.matters),
        // Re-pointing a link changes the directory that it lies in.
        ...(isLink ? [this.#watch(dirname(directory))] : []),
      ]
      this.#watched = identity
    } catch {
      // No watch to be had, as with a full inotify table: polling has to do.
      this.#unwatch()
    }
  }

  #watch(path: string, matters: (name: string) => boolean = () => true): FSWatcher {
    const watcher = watch(path, { persistent: false }, (_event, name) => {
      // A directory that is moved away itself is told by its own name.
      if (name === null || name === basename(path) || matters(name)) this.#changed()
    })
    watcher.on('error', () => {
      this.#unwatch()
      this.#changed()
    })
    return watcher
  }

  #unwatch(): void {
    for (const watcher of this.#watchers) watcher.close()
    this.#watchers = []
    this.#watched = ''
  }
}

/** Which directory a path leads to, empty for none, and whether through a link. */
async function identify(directory: string): Promise<readonly [identity: string, isLink: boolean]> {
  try {
    const [target, entry] = await Promise.all([stat(directory, { bigint: true }), lstat(directory)])
    return [`${target.dev}:${target.ino}`, entry.isSymbolicLink()]
  } catch {
    return ['', false]
  }
}
