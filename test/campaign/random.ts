/** The seed of a campaign: a run with the same seed chooses the same victims, pauses and forgeries. */
export const seed: number = Number(process.env.FAULTS_SEED ?? Date.now() % 1_000_000)

/** Random numbers that a seed repeats (mulberry32). */
export class Random {
  #state: number

  constructor(scenario: string) {
    this.#state = seed
    for (const character of scenario) this.#state = (Math.imul(this.#state, 31) + character.charCodeAt(0)) >>> 0
  }

  /** From 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item
  }
}
