import type { BeginResult, CommitResult, ReplayClaim } from './replay-store.ts'
import { Kept } from './shared-room.ts'

class InHand {
  owner: string
  position: string | undefined
  /** when its lease is over, monotonic ms */
  until: number

  constructor(owner: string, position: string | undefined, until: number) {
    this.owner = owner
    this.position = position
    this.until = until
  }
}

/** What is known of a message: nothing; who has it in hand; or that it was committed, and where, '' for nowhere. */
type Slot = undefined | InHand | string

/** What is known of the messages of one batch: a slot for each, which is an eighth of an entry in a Map. */
export class BatchRecord extends Kept {
  readonly digest: string
  /** how many of its messages are in hand */
  inHand = 0
  readonly #slots: Slot[]

  constructor(key: string, digest: string, size: number) {
    super(key)
    this.digest = digest
    this.#slots = new Array<Slot>(size).fill(undefined)
  }

  /** Whether it says nothing any more. */
  isOver(now: number): boolean {
    return this.inHand === 0 && this.until <= now
  }

  begin({ owner, position, leaseSeconds, reprocess }: ReplayClaim, index: number, now: number): BeginResult {
    const slot = this.#slots[index]
    const until = now + leaseSeconds * 1000
    if (typeof slot === 'string' && this.until > now) {
      return reprocess === true && isSame(slot, position) ? 'run' : 'duplicate'
    }
    if (slot === undefined || typeof slot === 'string') {
      this.#slots[index] = new InHand(owner, position, until)
      this.inHand++
      return 'run'
    }
    if (slot.owner !== owner && slot.until > now && !isSame(slot.position, position)) return 'in-progress'
    slot.owner = owner
    slot.position = position
    slot.until = until
    return 'run'
  }

  commit({ owner, position }: ReplayClaim, index: number, until: number, now: number): CommitResult {
    const slot = this.#slots[index]
    if (typeof slot === 'string') {
      if (this.until > now && !isSame(slot, position)) return 'lost'
    } else if (slot !== undefined) {
      if (slot.owner !== owner && slot.until > now) return 'lost'
      this.inHand--
    }
    this.#slots[index] = position ?? ''
    if (until > this.until) this.until = until
    return 'committed'
  }

  release({ owner }: ReplayClaim, index: number): void {
    if (this.#inHandOf(owner, index) === undefined) return
    this.#slots[index] = undefined
    this.inHand--
  }

  renew({ owner, leaseSeconds }: ReplayClaim, index: number, now: number): void {
    const slot = this.#inHandOf(owner, index)
    if (slot !== undefined) slot.until = now + leaseSeconds * 1000
  }

  /** What no handler renewed, committed or released stands as if it were none: its time to go. */
  dropAbandoned(now: number): void {
    for (const [index, slot] of this.#slots.entries()) {
      if (slot === undefined || typeof slot === 'string' || slot.until > now) continue
      this.#slots[index] = undefined
      this.inHand--
    }
  }

  #inHandOf(owner: string, index: number): InHand | undefined {
    const slot = this.#slots[index]
    return typeof slot === 'object' && slot.owner === owner ? slot : undefined
  }
}

function isSame(one: string | undefined, other: string | undefined): boolean {
  return one !== undefined && one !== '' && one === other
}
