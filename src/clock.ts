/** Where the time comes from; tests bring their own. */
export interface Clock {
  /** wall clock, milliseconds since 1970 */
  now(): number
  /** a clock that never jumps, milliseconds since any moment */
  monotonic(): number
}

export const SYSTEM_CLOCK: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
}

/** After a jump the wall clock must run evenly for this long before it is trusted again. */
const SETTLING_MS = 30_000

/**
 * Watches the wall clock against the monotonic one. A clock that jumps would make fresh messages look too old, or old
 * ones fresh: messages wait until it has run evenly for a while. Slow drift, as time servers cause it, is no jump.
 */
export class ClockWatch {
  readonly #clock: Clock
  readonly #toleranceMs: number
  #wall: number
  #monotonic: number
  #distrustedUntil = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, toleranceSeconds: number) {
    this.#clock = clock
    // Reading two clocks is not atomic, so even a strict skew leaves a second.
    this.#toleranceMs = Math.max(1, toleranceSeconds) * 1000
    this.#wall = clock.now()
    this.#monotonic = clock.monotonic()
  }

  /** The wall clock in milliseconds; undefined while it cannot be trusted. */
  read(): number | undefined {
    const wall = this.#clock.now()
    const monotonic = this.#clock.monotonic()
    const jump = wall - this.#wall - (monotonic - this.#monotonic)
    this.#wall = wall
    this.#monotonic = monotonic
    if (Math.abs(jump) > this.#toleranceMs) this.#distrustedUntil = monotonic + SETTLING_MS
    return monotonic < this.#distrustedUntil ? undefined : wall
  }
}
