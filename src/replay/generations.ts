interface Generation<Value> {
  readonly values: Map<string, Value>
  /** monotonic ms: when its first value could be kept */
  readonly since: number
  /** monotonic ms: when the last of its values is of no use any more */
  until: number
  /** how many entries its values count for */
  size: number
}

/**
 * Keeps what was kept last: between half of the room and all of it. There are two generations, and the older one is
 * dropped whole; looking for the oldest entry of one large Map costs 100 times as much.
 */
export class Generations<Value> {
  readonly #halfRoom: number
  readonly #onDrop: (now: number) => void
  #young: Generation<Value>
  #old: Generation<Value>
  #evictedEarly = 0
  #reachesBackTo: number

  /**
   * @param room how many entries are kept at most, 2 or more
   * @param onDrop hears when a generation was dropped
   */
  constructor(room: number, now: number, onDrop: (now: number) => void) {
    this.#halfRoom = Math.floor(room / 2)
    this.#onDrop = onDrop
    this.#reachesBackTo = now
    this.#young = emptyGeneration(now)
    this.#old = emptyGeneration(now)
  }

  /** how many entries there are */
  get size(): number {
    return this.#young.size + this.#old.size
  }

  /** how many entries were dropped while some of their generation were still of use */
  get evictedEarly(): number {
    return this.#evictedEarly
  }

  /** monotonic ms: whatever was kept since then, and is still of use, is known */
  get reachesBackTo(): number {
    return this.#reachesBackTo
  }

  get(key: string): Value | undefined {
    return this.#young.values.get(key) ?? this.#old.values.get(key)
  }

  /**
   * @param until when it is of no use any more, monotonic ms
   * @param weight how many entries it counts for
   */
  keep(key: string, value: Value, until: number, now: number, weight = 1): void {
    if (this.#young.values.get(key) !== value) {
      if (this.#young.size > 0 && this.#young.size + weight > this.#halfRoom) this.#dropOld(now)
      if (!this.#young.values.has(key)) this.#young.size += weight
      this.#young.values.set(key, value)
    }
    if (until > this.#young.until) this.#young.until = until
  }

  #dropOld(now: number): void {
    if (this.#old.until > now) {
      this.#evictedEarly += this.#old.size
      this.#reachesBackTo = this.#young.since
    }
    this.#old = this.#young
    this.#young = emptyGeneration(now)
    this.#onDrop(now)
  }
}

function emptyGeneration<Value>(since: number): Generation<Value> {
  return { values: new Map(), since, until: Number.NEGATIVE_INFINITY, size: 0 }
}
