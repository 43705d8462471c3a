/** The offset must not pass this record: it was let go before it was settled, and the client fetches it again. */
export class LetGoError extends Error {
  override readonly name = 'LetGoError'

  constructor() {
    super('a record was held and let go; it is fetched again')
  }
}

/** kafkajs sends a heartbeat only when one is due, so asking often costs nothing. */
const HEARTBEAT_MS = 500

/**
 * Waits for what keeps a record back and keeps the client in its group meanwhile. No heartbeats are sent for the user's
 * handler: that is the user's to do.
 */
export class Hold {
  readonly #heartbeat: () => Promise<void>
  readonly #letGo: () => void
  /** heartbeats until it is let go */
  #left: number
  #paused = 0
  #beating = false
  #failure: { readonly error: unknown } | undefined

  /**
   * @param letGo ends the wait
   * @param seconds the longest wait, the user's own code not counted; undefined: as long as it takes
   */
  constructor(heartbeat: () => Promise<void>, letGo: () => void, seconds: number | undefined) {
    this.#heartbeat = heartbeat
    this.#letGo = letGo
    this.#left = seconds === undefined ? Number.POSITIVE_INFINITY : (seconds * 1000) / HEARTBEAT_MS
  }

  /** What the client said when it was no longer in its group. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure
  }

  /** The user's code runs from now on. */
  pause(): void {
    this.#paused++
  }

  resume(): void {
    this.#paused--
  }

  async wait<Result>(work: Promise<Result>): Promise<Result> {
    const timer = setInterval(() => void this.#beat(), HEARTBEAT_MS)
    try {
      return await work
    } finally {
      clearInterval(timer)
    }
  }

  async #beat(): Promise<void> {
    if (this.#paused > 0 || this.#beating) return
    this.#beating = true
    try {
      await this.#heartbeat()
    } catch (error) {
      this.#failure = { error }
    }
    this.#beating = false
    this.#left--
    if (this.#failure !== undefined || this.#left <= 0) this.#letGo()
  }
}
