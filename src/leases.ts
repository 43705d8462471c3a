import { setTimeout as sleep } from 'node:timers/promises'
import { backOff } from './back-off.ts'
import type { ReceivedMessage } from './message.ts'
import type { ReplayClaim, ReplayStore } from './replay/replay-store.ts'
import { isThenable } from './thenable.ts'

/** What has to be said when a handler is through. What is said first counts; a later call changes nothing. */
export interface Lease {
  /** The handler succeeded. True: the message may be acknowledged; false: the store was unreachable until the end. */
  commit(): boolean | Promise<boolean>
  /** The handler failed or let go. */
  release(): void | Promise<void>
  /**
   * The message is published again with its token. Released, if it comes back by that: its next delivery would be skipped
   * as a duplicate.
   *
   * @param queue the queue that the address names, where it names one
   */
  passOn(destination: string, queue?: string): void | Promise<void>
  /**
   * The transport has the message back, whatever becomes of its handler: the next delivery need not wait for it. A handler
   * that succeeds all the same can still commit.
   */
  lapse(): void | Promise<void>
}

/** For messages that no replay store knows. */
export const NO_LEASE: Lease = {
  commit: () => true,
  release: () => undefined,
  passOn: () => undefined,
  lapse: () => undefined,
}

/** Knows whether a message that is passed on by an address comes back to its queue. */
interface Ways {
  comesBack(received: ReceivedMessage, destination: string, queue: string | undefined): boolean
}

/** Keeps the messages in hand from being taken over by another consumer, for as long as their handlers run. */
export class Leases {
  readonly #store: ReplayStore
  readonly #leaseSeconds: number
  readonly #ways: Ways
  readonly #givenUp: AbortSignal | undefined
  readonly #over: AbortSignal | undefined
  /** in no order, each knowing its place: a Set that is filled and emptied again makes new tables all the time */
  readonly #held: HeldLease[] = []
  #timer: NodeJS.Timeout | undefined
  #closed = false

  /**
   * @param signals `givenUp`: what the store has not taken is not tried again; `over`: nothing is renewed any more
   */
  constructor(
    store: ReplayStore,
    leaseSeconds: number,
    ways: Ways,
    signals: { readonly givenUp?: AbortSignal | undefined; readonly over?: AbortSignal | undefined },
  ) {
    this.#store = store
    this.#leaseSeconds = leaseSeconds
    this.#ways = ways
    this.#givenUp = signals.givenUp
    this.#over = signals.over
  }

  /** @param retentionSeconds how long the message is remembered once it is committed */
  hold(claim: ReplayClaim, received: ReceivedMessage, retentionSeconds: number): Lease {
    const lease = new HeldLease(this, claim, received, retentionSeconds, this.#held.length)
    this.#held.push(lease)
    if (!this.#closed) this.#timer ??= setInterval(() => this.#renew(), (this.#leaseSeconds * 1000) / 3).unref()
    return lease
  }

  /** Renews nothing any more. What is in hand can still be committed or released. */
  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Of a lease that was not ended before. */
  commit(lease: HeldLease): boolean | Promise<boolean> {
    try {
      const result = this.#store.commit(lease.claim as ReplayClaim, lease.retentionSeconds)
      if (typeof result !== 'string') {
        return Promise.resolve(result).then(
          () => this.#committed(lease),
          () => this.#commitLater(lease),
        )
      }
    } catch {
      return this.#commitLater(lease)
    }
    return this.#committed(lease)
  }

  /** Of a lease that was not ended before. */
  release(lease: HeldLease): void | Promise<void> {
    const claim = lease.claim as ReplayClaim
    this.#forget(lease)
    return this.#giveBack(claim)
  }

  /** Of a lease that was not ended before. To the store it is one that ran out: it may be gone, and may be committed. */
  lapse(lease: HeldLease): void | Promise<void> {
    const claim = lease.claim as ReplayClaim
    this.#leave(lease)
    return this.#giveBack(claim)
  }

  #giveBack(claim: ReplayClaim): void | Promise<void> {
    let released: void | Promise<void>
    try {
      released = this.#store.release(claim)
    } catch {
      // The store is unreachable. The lease runs out by itself, and the message is taken over then.
      return
    }
    if (isThenable(released)) return this.#attempt(() => released)
  }

  /** Of a lease that was not ended before. */
  comesBack(lease: HeldLease, destination: string, queue: string | undefined): boolean {
    return lease.received !== undefined && this.#ways.comesBack(lease.received, destination, queue)
  }

  #forget(lease: HeldLease): void {
    lease.forget()
    this.#leave(lease)
  }

  /** It is renewed no more. */
  #leave(lease: HeldLease): void {
    const { place } = lease
    if (place === LEFT) return
    lease.place = LEFT
    const last = this.#held.pop() as HeldLease
    if (last === lease) return
    this.#held[place] = last
    last.place = place
  }

  /** Lost to another owner or not: the effect has happened, so the message may be acknowledged. */
  #committed(lease: HeldLease): true {
    this.#forget(lease)
    return true
  }

  /** The effect has happened but is not written down: acknowledging now would let a copy through. */
  async #commitLater(lease: HeldLease): Promise<boolean> {
    for (let attempt = 0; ; attempt++) {
      try {
        await sleep(backOff(attempt), undefined, { ...(this.#givenUp && { signal: this.#givenUp }) })
      } catch {
        this.#forget(lease)
        return false
      }
      try {
        await this.#store.commit(lease.claim as ReplayClaim, lease.retentionSeconds)
        return this.#committed(lease)
      } catch {
        // Still unreachable: the loop waits longer and tries again.
      }
    }
  }

  async #attempt(action: () => void | Promise<void>): Promise<void> {
    try {
      await action()
    } catch {
      // As above: the lease runs out.
    }
  }

  /** The timer ends when there was nothing to do: winding it up for every message would cost more than all the rest. */
  #renew(): void {
    if (this.#over?.aborted) this.close()
    if (this.#closed) return
    if (this.#held.length === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    for (const { claim } of [...this.#held]) void this.#attempt(() => this.#store.renew(claim as ReplayClaim))
  }
}

/** The place of a lease that is not renewed any more. */
const LEFT = -1

/** A message in hand. */
class HeldLease implements Lease {
  /** undefined once it has ended: whoever keeps the message keeps its lease */
  claim: ReplayClaim | undefined
  readonly retentionSeconds: number
  /** among all that are renewed */
  place: number
  readonly #leases: Leases
  /** private, so that printing a message does not print its token */
  #received: ReceivedMessage | undefined
  #ended: boolean | Promise<boolean> | undefined

  constructor(leases: Leases, claim: ReplayClaim, received: ReceivedMessage, retentionSeconds: number, place: number) {
    this.#leases = leases
    this.claim = claim
    this.#received = received
    this.retentionSeconds = retentionSeconds
    this.place = place
  }

  get received(): ReceivedMessage | undefined {
    return this.#received
  }

  forget(): void {
    this.claim = undefined
    this.#received = undefined
  }

  commit(): boolean | Promise<boolean> {
    this.#ended ??= this.#leases.commit(this)
    return this.#ended
  }

  release(): void | Promise<void> {
    if (this.#ended !== undefined) return
    // Nothing is left to commit: whoever says so afterwards may acknowledge.
    this.#ended = true
    return this.#leases.release(this)
  }

  lapse(): void | Promise<void> {
    if (this.#ended !== undefined || this.place === LEFT) return
    // A commit may overtake it, since what is committed is not released, or follow it, since what is gone is written anew.
    return this.#leases.lapse(this)
  }

  passOn(destination: string, queue?: string): void | Promise<void> {
    if (this.#ended === undefined && this.#leases.comesBack(this, destination, queue)) return this.release()
  }
}
