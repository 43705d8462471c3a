/** What a {@link SharedRoom} keeps, and what it notes on it. */
export abstract class Kept {
  readonly key: string
  /** when it is of no use any more, monotonic ms */
  until: number = Number.NEGATIVE_INFINITY
  /** undefined: it is not kept */
  holder: Holder | undefined
  weight = 0
  /** when it was kept last, monotonic ms */
  keptAt = 0
  /** when it was put in line last, counted in what its holder put there */
  turn = 0
  /** how many of its turns in line are none any more */
  pastTurns = 0

  constructor(key: string) {
    this.key = key
  }
}

/** What one sender has in the room, oldest first. */
class Holder {
  readonly name: string
  size = 0
  turns = 0
  #line: (Kept | undefined)[] = []
  #head = 0

  constructor(name: string) {
    this.name = name
  }

  get length(): number {
    return this.#line.length - this.#head
  }

  /** the oldest, or undefined */
  get first(): Kept | undefined {
    return this.#line[this.#head]
  }

  push(kept: Kept): void {
    kept.turn = ++this.turns
    this.#line.push(kept)
  }

  shift(): void {
    this.#line[this.#head++] = undefined
    if (this.#head < 1_024 || this.#head * 2 < this.#line.length) return
    this.#line = this.#line.slice(this.#head)
    this.#head = 0
  }
}

/** Of the whole room, what is given up at a time: the largest holder is looked for that often. */
const STEPS = 128

/**
 * Keeps what was kept last, in room that senders share: when it is full, the one that holds most gives up its oldest. So
 * nobody loses anything to another as long as he holds less than an equal part.
 */
export class SharedRoom<Value extends Kept> {
  readonly #room: number
  readonly #onTurn: (now: number) => void
  readonly #byKey = new Map<string, Value>()
  readonly #holders = new Map<string, Holder>()
  #size = 0
  #evictedEarly = 0
  #reachesBackTo: number
  #largest = ''
  #untilTurn: number

  /**
   * @param room how many entries are kept at most, 2 or more
   * @param onTurn is called each time that as much was kept as half of the room takes, and when something was given up
   */
  constructor(room: number, now: number, onTurn: (now: number) => void) {
    this.#room = room
    this.#onTurn = onTurn
    this.#reachesBackTo = now
    this.#untilTurn = Math.floor(room / 2)
  }

  /** how many entries there are */
  get size(): number {
    return this.#size
  }

  /** how many entries were given up while they were still of use */
  get evictedEarly(): number {
    return this.#evictedEarly
  }

  /** monotonic ms: whatever was kept since then, and is still of use, is known */
  get reachesBackTo(): number {
    return this.#reachesBackTo
  }

  /** who held most when something was given up last */
  get largest(): string {
    return this.#largest
  }

  get(key: string): Value | undefined {
    return this.#byKey.get(key)
  }

  /** @param weight how many entries it counts for, an equal part of the room at most */
  keep(value: Value, sender: string, now: number, weight = 1): void {
    const known = this.#byKey.get(value.key)
    if (known === value) {
      this.#keepLonger(value, now)
      return
    }
    if (known !== undefined) this.#remove(known)
    const holder = this.#holderOf(sender)
    this.#dropPast(holder, now)
    // What is heavier than an equal part counts for that, or it would push out what others have in theirs.
    const counted = Math.min(weight, Math.max(1, Math.floor(this.#room / this.#holdersWith(holder))))
    if (this.#size + counted > this.#room) this.#makeRoom(counted, holder, now)
    value.holder = holder
    value.weight = counted
    value.keptAt = now
    // A holder that lost its last entry meanwhile is no holder any more.
    if (holder.size === 0) this.#holders.set(sender, holder)
    holder.push(value)
    holder.size += counted
    this.#size += counted
    this.#byKey.set(value.key, value)
    if (--this.#untilTurn <= 0) this.#turn(now)
  }

  /** What is among the last half anyway stays where it is: messages of a batch are kept one after the other. */
  #keepLonger(value: Value, now: number): void {
    const holder = value.holder as Holder
    value.keptAt = now
    if ((holder.turns - value.turn) * 2 <= holder.length) return
    value.pastTurns++
    holder.push(value)
  }

  #turn(now: number): void {
    this.#untilTurn = Math.floor(this.#room / 2)
    for (const holder of this.#holders.values()) this.#dropPast(holder, now)
    this.#onTurn(now)
  }

  #holderOf(sender: string): Holder {
    return this.#holders.get(sender) ?? new Holder(sender)
  }

  /** Of what came first, what is of no use any more. */
  #dropPast(holder: Holder, now: number): void {
    for (let first = holder.first; first !== undefined; first = holder.first) {
      if (first.holder === holder && first.pastTurns === 0 && first.until > now) return
      this.#shift(holder, first)
    }
  }

  #makeRoom(weight: number, wanting: Holder, now: number): void {
    const step = Math.max(weight, Math.floor(this.#room / STEPS))
    const before = this.#evictedEarly
    while (this.#size > 0 && this.#size + weight > this.#room) {
      const holder = this.#findLargest(wanting, weight)
      this.#largest = holder.name
      // To another it gives up nothing of its equal part, unless all have no more than that.
      const part = holder === wanting ? 0 : Math.floor(this.#room / this.#holdersWith(wanting))
      const least = Math.min(holder.size - 1, Math.max(part, holder.size - step))
      for (let first = holder.first; first !== undefined && holder.size > least; first = holder.first) {
        const isEarly = first.holder === holder && first.pastTurns === 0 && first.until > now
        this.#shift(holder, first)
        if (!isEarly) continue
        this.#evictedEarly += first.weight
        if (first.keptAt > this.#reachesBackTo) this.#reachesBackTo = first.keptAt
      }
    }
    if (this.#evictedEarly !== before) this.#onTurn(now)
  }

  #holdersWith(wanting: Holder): number {
    return this.#holders.size + (wanting.size === 0 ? 1 : 0)
  }

  /** Of several, the one that wants more, which counts with what it wants. */
  #findLargest(wanting: Holder, weight: number): Holder {
    let largest = wanting
    let most = wanting.size === 0 ? 0 : wanting.size + weight
    for (const holder of this.#holders.values()) {
      if (holder.size <= most || holder === wanting) continue
      largest = holder
      most = holder.size
    }
    return largest
  }

  /** Takes what is first in line out of it, and out of the room unless it stands there again or has left. */
  #shift(holder: Holder, first: Kept): void {
    holder.shift()
    if (first.holder !== holder) return
    if (first.pastTurns > 0) first.pastTurns--
    else this.#remove(first)
  }

  #remove(kept: Kept): void {
    const { holder, key, weight } = kept
    if (holder === undefined) return
    kept.holder = undefined
    this.#byKey.delete(key)
    this.#size -= weight
    holder.size -= weight
    if (holder.size === 0) this.#holders.delete(holder.name)
  }
}
