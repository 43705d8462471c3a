/** The most different warnings of one verifier: names of queues can come from outside. */
const MAX_WARNINGS = 1_000

/** Process warnings, each given once: a flood of bad messages must not become a flood of lines. */
export class Warnings {
  readonly #given = new Set<string>()

  /** Whether this is the first time that something is to be said. */
  first(key: string): boolean {
    if (this.#given.has(key) || this.#given.size >= MAX_WARNINGS) return false
    this.#given.add(key)
    return true
  }

  once(key: string, text: string): void {
    if (this.first(key)) process.emitWarning(text, { type: 'QueueKeyAuthWarning' })
  }
}
