import { setTimeout as sleep } from 'node:timers/promises'
import { Admission } from './admission.ts'
import { backOff } from './back-off.ts'
import type { ConsumerOptions } from './consumer-options.ts'
import { createDeadLetter, type DeadLetter, isParked, type Returned, UnstorableError } from './dead-letter.ts'
import { publish } from './events.ts'
import { type Lease, Leases, NO_LEASE } from './leases.ts'
import type { ReceivedMessage } from './message.ts'
import { ReplayClaims } from './replay/claims.ts'
import type { BeginResult, ReplayClaim } from './replay/replay-store.ts'
import { Reporter } from './reporter.ts'
import { isThenable } from './thenable.ts'
import { Authorized, type Deferred, type Refused, type Rejected, type Skipped } from './verdict.ts'
import type { Verified } from './verified.ts'
import type { CheckResult, Verifier } from './verifier.ts'

/**
 * The only control flow for consumers: verify, then the replay store, then the handler, or else settle the message. The
 * transport is behind {@link Delivery}.
 */

/** One delivery of a message, as a transport hands it to the guard. */
export interface Delivery<Native = unknown> {
  readonly received: ReceivedMessage
  /** the client's own message, for callbacks */
  readonly native: Native
  /**
   * Hands the message to the user's code. Called at most once, in the order of deliveries, synchronously where keys and
   * replay state are in memory. What it throws or rejects with is the user's own and passes through.
   */
  handle(admission: Admission): void | Promise<void>
  /** Settles the message without handling it; its dead letter, if any, is stored by then. */
  acknowledge(): void | Promise<void>
  /** Leaves the message to the broker's own dead-lettering. Undefined: the transport has none. */
  readonly reject?: (() => void | Promise<void>) | undefined
  /**
   * Stores a dead letter and resolves when the transport confirmed it. Rejecting means: not stored, try again; with
   * {@link UnstorableError}: it can never be stored.
   */
  deadLetter(letter: DeadLetter<Native>): Promise<void>
  /** the message was a dead letter and came back, as it says itself */
  readonly returned?: Returned | undefined
  /** Hears each time that the message has to wait: for transports that hand messages over in batches. */
  held?(): void
}

export { Admission } from './admission.ts'

export interface GuardOptions<Native = unknown> extends ConsumerOptions<Native> {
  /** when it aborts, held messages are let go: they stay unsettled, for the transport to give back */
  readonly signal?: AbortSignal
  /**
   * when it aborts, leases are not renewed any more, and commits that the replay store has not taken are given up; default:
   * commits are given up with `signal`, and leases are renewed until {@link Guard.close}
   */
  readonly leaseSignal?: AbortSignal
}

/** How a delivery ended. `let-go`: it is unsettled and was not handled. */
export type Outcome = 'handled' | 'settled' | 'let-go'

/** A delivery on its way through the guard. */
class Arrival<Native> {
  readonly delivery: Delivery<Native>
  /** unique and the same for every try, so that asking the replay store again is harmless */
  readonly owner: string
  /** how often it was held */
  attempt = 0

  constructor(delivery: Delivery<Native>, owner: string) {
    this.delivery = delivery
    this.owner = owner
  }
}

type Decision = Admission | { readonly refused: Refused; readonly refreshed?: Promise<void> | undefined }

/** A dead letter that cannot be written is tried again at this pace, in case a limit was raised. */
const PARKED_DELAY_MS = 60_000

const STORE_UNAVAILABLE: Decision = {
  refused: { outcome: 'deferred', code: 'store-unavailable', detail: 'the replay store cannot be reached' },
}
const IN_PROGRESS: Decision = {
  refused: { outcome: 'deferred', code: 'in-progress', detail: 'a copy of it is being handled' },
}

/** Guards the deliveries of one consumer. */
export class Guard<Native = unknown> {
  readonly #verifier: Verifier
  readonly #options: GuardOptions<Native>
  readonly #leases: Leases | undefined
  readonly #reporter: Reporter<Native>
  readonly #claims: ReplayClaims
  /** settles when every earlier delivery was handed over or turned down; undefined while none waits for that */
  #turn: Promise<void> | undefined

  constructor(verifier: Verifier, options: GuardOptions<Native> = {}) {
    const { replay, leaseSeconds } = verifier
    const { signal, leaseSignal } = options
    this.#verifier = verifier
    this.#options = options
    this.#claims = new ReplayClaims(leaseSeconds, options.reprocess === true)
    this.#leases =
      replay === undefined
        ? undefined
        : new Leases(replay, leaseSeconds, verifier, { givenUp: leaseSignal ?? signal, over: leaseSignal })
    this.#reporter = new Reporter(verifier, options.onVerdict)
  }

  /**
   * Takes a delivery through the checks. Synchronous all the way into `handle` where keys and replay state are in memory
   * and no earlier delivery waits; what `handle` throws is then thrown here.
   *
   * Decisions are made side by side and carried out in order. A delivery's turn ends when its handler was called, not
   * when it is through; one that is held or dead-lettered lets the others pass.
   */
  receive(delivery: Delivery<Native>): Outcome | Promise<Outcome> {
    const arrival = new Arrival(delivery, this.#verifier.newOwner())
    const decision = this.#decide(arrival)
    if (this.#turn === undefined && !(decision instanceof Promise)) return this.#carryOut(arrival, decision)
    const started = Promise.all([decision, this.#turn]).then(([made]) => ({
      outcome: this.#carryOutLate(arrival, made),
    }))
    const turn = started.then(nothing, nothing).then(() => {
      if (this.#turn === turn) this.#turn = undefined
    })
    this.#turn = turn
    return started.then(({ outcome }) => outcome)
  }

  /** Settles when every delivery so far was handed over or turned down; undefined when none waits for that. */
  get turn(): Promise<void> | undefined {
    return this.#turn
  }

  /** Stops renewing leases, for a transport whose channel is gone. What is in hand can still be committed. */
  close(): void {
    this.#leases?.close()
  }

  #decide(arrival: Arrival<Native>): Decision | Promise<Decision> {
    const { received } = arrival.delivery
    const result = this.#verifier.check(received)
    const unknown = 'code' in result && result.code === 'key-unknown' ? result : undefined
    const refreshed = unknown && this.#verifier.refreshKeys()?.catch(nothing)
    if (this.#verifier.policyOf(received.queue).rollout === 'observe') {
      // Nothing waits here, but the next message under a new key is counted right.
      return new Admission('outcome' in result ? result : new Authorized(result.sender))
    }
    if (unknown !== undefined) return { refused: unknown, refreshed }
    return this.#begin(arrival, result)
  }

  #begin(arrival: Arrival<Native>, result: CheckResult): Decision | Promise<Decision> {
    if ('outcome' in result) {
      return result.outcome === 'unsigned' ? new Admission(result) : { refused: result }
    }
    const store = this.#verifier.replay
    if (store === undefined) return new Admission(new Authorized(result.sender), result)
    const claim = this.#claims.of(arrival.delivery.received, result, arrival.owner)
    try {
      const answer = store.begin(claim)
      if (typeof answer === 'string') return begun(result, claim, answer)
      return Promise.resolve(answer).then(
        (answered) => begun(result, claim, answered),
        () => STORE_UNAVAILABLE,
      )
    } catch {
      return STORE_UNAVAILABLE
    }
  }

  /**
   * What waited for the store or for its turn and passes unverified is looked at again: the policy may be another by now.
   * What is verified has a last look of its own.
   */
  #carryOutLate(arrival: Arrival<Native>, decision: Decision): Outcome | Promise<Outcome> {
    const isVerified = 'refused' in decision || decision.verified !== undefined
    const passes = isVerified || this.#verifier.policyOf(arrival.delivery.received.queue).rollout === 'observe'
    const again = passes ? decision : this.#decide(arrival)
    if (!(again instanceof Promise)) return this.#carryOut(arrival, again)
    return again.then((decided) => this.#carryOut(arrival, decided))
  }

  #carryOut(arrival: Arrival<Native>, decision: Decision): Outcome | Promise<Outcome> {
    if ('refused' in decision) {
      const { refused, refreshed } = decision
      return refreshed === undefined ? this.#turnDown(arrival, refused) : this.#lookAgain(arrival, refreshed)
    }
    const { delivery } = arrival
    const { verdict, verified } = decision
    const lease = this.#hold(delivery.received, decision.claim)
    decision.lease = lease
    // The last look, right before the handler: the message may have waited for the store or for its turn.
    const late = verified === undefined ? undefined : this.#verifier.recheck(verified, delivery.received)
    if (late !== undefined) {
      const released = lease.release()
      if (!(released instanceof Promise)) return this.#turnDown(arrival, late)
      return released.then(() => this.#turnDown(arrival, late))
    }
    this.#reporter.verdict(delivery, verdict)
    const handled = delivery.handle(decision)
    return handled instanceof Promise ? handled.then(() => 'handled') : 'handled'
  }

  #hold(received: ReceivedMessage, claim: ReplayClaim | undefined): Lease {
    if (claim === undefined || this.#leases === undefined) return NO_LEASE
    return this.#leases.hold(claim, received, this.#verifier.retentionSeconds(received.queue))
  }

  /**
   * An unknown key may be a new one, so the keys are read again. Others need not wait for that: whoever can write to the
   * queue can name keys that nobody knows.
   */
  async #lookAgain(arrival: Arrival<Native>, refreshed: Promise<void>): Promise<Outcome> {
    await refreshed
    return this.#carryOut(arrival, await this.#begin(arrival, this.#verifier.check(arrival.delivery.received)))
  }

  #turnDown(arrival: Arrival<Native>, refused: Refused): Outcome | Promise<Outcome> {
    const { delivery, attempt } = arrival
    if (refused.outcome !== 'deferred' || attempt === 0) this.#reporter.verdict(delivery, refused)
    switch (refused.outcome) {
      case 'deferred':
        return this.#wait(arrival, refused)
      case 'skipped':
        return this.#settle(delivery, refused, 'acknowledged')
      case 'rejected':
        return this.#reject(delivery, refused)
    }
  }

  async #wait(arrival: Arrival<Native>, refused: Deferred): Promise<Outcome> {
    const { delivery, attempt } = arrival
    publish('queue-key-auth:held', () => ({ queue: delivery.received.queue, code: refused.code, attempt }))
    delivery.held?.()
    if (!(await this.#pause(backOff(attempt)))) return 'let-go'
    arrival.attempt++
    return this.#carryOut(arrival, await this.#decide(arrival))
  }

  #reject(delivery: Delivery<Native>, rejected: Rejected): Outcome | Promise<Outcome> {
    const how = this.#reporter.choose(this.#options.onRejected, rejected, delivery.native)
    if (how === 'acknowledge') return this.#settle(delivery, rejected, 'acknowledged')
    if (how === 'reject' && delivery.reject !== undefined) return this.#settle(delivery, rejected, 'rejected')
    return this.#deadLetter(delivery, rejected)
  }

  /** Nothing is settled before the dead letter is confirmed. */
  async #deadLetter(delivery: Delivery<Native>, rejected: Rejected): Promise<Outcome> {
    const letter = createDeadLetter(rejected, delivery.received, delivery.native, delivery.returned)
    for (let attempt = 0; ; attempt++) {
      try {
        const { deadLetter } = this.#options
        await (deadLetter === undefined ? delivery.deadLetter(letter) : deadLetter(letter))
        break
      } catch (error) {
        const permanent = error instanceof UnstorableError
        this.#reporter.deadLetterFailed(letter, permanent, error)
        delivery.held?.()
        if (!(await this.#pause(permanent ? PARKED_DELAY_MS : backOff(attempt)))) return 'let-go'
      }
    }
    if (this.#options.deadLetter === undefined && isParked(letter)) this.#reporter.parked(letter)
    return await this.#settle(delivery, rejected, 'dead-lettered')
  }

  #settle(
    delivery: Delivery<Native>,
    refused: Rejected | Skipped,
    how: 'dead-lettered' | 'rejected' | 'acknowledged',
  ): Outcome | Promise<Outcome> {
    const settled = (): Outcome => {
      const { queue, position } = delivery.received
      publish('queue-key-auth:settled', () => ({ queue, code: refused.code, how, ...(position && { position }) }))
      return 'settled'
    }
    try {
      const settling = how === 'rejected' ? delivery.reject?.() : delivery.acknowledge()
      // Where settling fails the channel is gone: the message is unsettled and comes again.
      return isThenable(settling) ? Promise.resolve(settling).then(settled, letGo) : settled()
    } catch {
      return letGo()
    }
  }

  /** False: the consumer let go meanwhile. */
  async #pause(milliseconds: number): Promise<boolean> {
    const { signal } = this.#options
    try {
      await sleep(milliseconds, undefined, signal === undefined ? {} : { signal })
      return true
    } catch {
      return false
    }
  }
}

function begun(verified: Verified, claim: ReplayClaim, answer: BeginResult): Decision {
  const { fingerprint, service } = verified.sender
  const signer = { fingerprint, service }
  switch (answer) {
    case 'run':
      return new Admission(new Authorized(verified.sender), verified, claim)
    case 'in-progress':
      return IN_PROGRESS
    case 'duplicate':
      return { refused: { outcome: 'skipped', code: 'duplicate', detail: 'it was handled before', ...signer } }
    case 'reused': {
      const detail = 'another message was signed under the same token id'
      return { refused: { outcome: 'rejected', code: 'token-id-reused', detail, ...signer } }
    }
    default:
      // An application's own store that says anything else has not said that the handler may run.
      return STORE_UNAVAILABLE
  }
}

function nothing(): undefined {
  return undefined
}

function letGo(): 'let-go' {
  return 'let-go'
}
