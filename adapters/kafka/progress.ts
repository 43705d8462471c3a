/** A part of a partition that the consumer asked for again. */
export interface Again {
  /** the lowest offset of it that was not handled again yet */
  next: number
  readonly last: number
  /** a record of it has arrived, so the client is through with the seek */
  isThere: boolean
}

/** Both clients' word for the beginning of a partition. */
const EARLIEST = -2

/**
 * How far a consumer has come in a partition, and what it asked for again by its own seek: from the offset sought up to
 * the highest one that it had reached, or without an end where it had reached none since it was given the partition. That
 * is handled again; whatever else comes back (offsets that somebody moved, a rebalance, a crash before the offset was
 * committed) was asked for by nobody here. Offsets as numbers, which are exact up to 2^53.
 */
export class Progress {
  #highest = -1
  #again: Again | undefined

  /** The user's own seek. It may come before the partition is this consumer's, and counts when the partition is. */
  seek(offset: number): void {
    const next = offset === EARLIEST ? 0 : offset
    const last = this.#highest < 0 ? Number.POSITIVE_INFINITY : Math.max(this.#highest, this.#again?.last ?? -1)
    // The other negative numbers mean the end, and there is nothing that was handled.
    this.#again = next >= 0 ? { next, last, isThere: false } : undefined
  }

  /** A record arrives. Gives what it belongs to, when it was asked for again. */
  arrive(offset: number): Again | undefined {
    if (offset > this.#highest) this.#highest = offset
    const again = this.#again
    if (again === undefined) return undefined
    again.isThere = true
    return offset >= again.next && offset <= again.last ? again : undefined
  }

  /**
   * The group was joined anew, and reading goes on at an offset that was committed, by whomever. A seek that the client has
   * not come to is still to come.
   */
  rejoin(): void {
    this.#highest = -1
    if (this.#again?.isThere) this.#again = undefined
  }

  /** The consumer has ended, and forgets where it was to go. */
  end(): void {
    this.#highest = -1
    this.#again = undefined
  }
}

/** A record that was asked for again was handled: when it comes once more, nobody asked for that. */
export function handledAgain(again: Again, offset: number): void {
  if (offset >= again.next) again.next = offset + 1
}
