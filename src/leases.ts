import { setTimeout as sleep } from 'node:timers/promises'
import { backOff } from './back-off.ts'
import type { ReplayClaim, ReplayStore } from './replay/replay-store.ts'

/** What has to be said when a handler is through. What is said first counts; a later call changes nothing. */
export interface Lease {
  /** The handler succeeded. True: the message may be acknowledged; false: the store was unreachable until the end. */
  commit(): boolean | Promise<boolean>
  /** The handler failed or let go. */
  release(): void | Promise<void>
}

/** For messages that no replay store knows. */
export const NO_LEASE: Lease = { commit: () => true, release: () => undefined }

/** Keeps the messages in hand from being taken over by another consumer, for as long as their handlers run. */
export class Leases {
  readonly #store: ReplayStore
  readonly #leaseSeconds: number
  readonly #givenUp: AbortSignal | undefined
  readonly #over: AbortSignal | undefined
  readonly #claims = new Set<ReplayClaim>()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  /** @param signals `givenUp`: what the store has not taken is not tried again; `over`: nothing is renewed any more */
  constructor(
    store: ReplayStore,
    leaseSeconds: number,
    signals: { readonly givenUp?: AbortSignal | undefined; readonly over?: AbortSignal | undefined },
  ) {
    this.#store = store
    this.#leaseSeconds = leaseSeconds
    this.#givenUp = signals.givenUp
    this.#over = signals.over
  }

  /** @param retentionSeconds how long the message is remembered once it is committed */
  hold(claim: ReplayClaim, retentionSeconds: number): Lease {
    let ended: boolean | Promise<boolean> | undefined
    this.#claims.add(claim)
    if (!this.#closed) this.#timer ??= setInterval(() => this.#renew(), (this.#leaseSeconds * 1000) / 3).unref()
    return {
      commit: () => {
        ended ??= this.#commit(claim, retentionSeconds)
        return ended
      },
      release: () => {
        if (ended !== undefined) return
        // Nothing is left to commit: whoever says so afterwards may acknowledge.
        ended = true
        this.#forget(claim)
        return this.#release(claim)
      },
    }
  }

  /** Renews nothing any more. What is in hand can still be committed or released. */
  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #forget(claim: ReplayClaim): void {
    this.#claims.delete(claim)
  }

  #commit(claim: ReplayClaim, retentionSeconds: number): boolean | Promise<boolean> {
    try {
      const result = this.#store.commit(claim, retentionSeconds)
      if (typeof result !== 'string') {
        return Promise.resolve(result).then(
          () => this.#committed(claim),
          () => this.#commitLater(claim, retentionSeconds),
        )
      }
    } catch {
      return this.#commitLater(claim, retentionSeconds)
    }
    return this.#committed(claim)
  }

  /** Lost to another owner or not: the effect has happened, so the message may be acknowledged. */
  #committed(claim: ReplayClaim): true {
    this.#forget(claim)
    return true
  }

  /** The effect has happened but is not written down: acknowledging now would let a copy through. */
  async #commitLater(claim: ReplayClaim, retentionSeconds: number): Promise<boolean> {
    for (let attempt = 0; ; attempt++) {
      try {
        await sleep(backOff(attempt), undefined, { ...(this.#givenUp && { signal: this.#givenUp }) })
      } catch {
        this.#forget(claim)
        return false
      }
      try {
        await this.#store.commit(claim, retentionSeconds)
        return this.#committed(claim)
      } catch {
        // Still unreachable: the loop waits longer and tries again.
      }
    }
  }

  async #attempt(action: () => void | Promise<void>): Promise<void> {
    try {
      await action()
    } catch {
      // The store is unreachable. The lease runs out by itself, and the message is taken over then.
    }
  }

  #release(claim: ReplayClaim): void | Promise<void> {
    let released: void | Promise<void>
    try {
      released = this.#store.release(claim)
    } catch {
      // As above: the lease runs out.
      return
    }
    if (released instanceof Promise) return this.#attempt(() => released)
  }

  /** The timer ends when there was nothing to do: winding it up for every message would cost more than all the rest. */
  #renew(): void {
    if (this.#over?.aborted) this.close()
    if (this.#closed) return
    if (this.#claims.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    for (const claim of this.#claims) void this.#attempt(() => this.#store.renew(claim))
  }
}
