import { afterEach, beforeEach } from 'vitest'
import type { DeadLetter } from '../../src/dead-letter.ts'
import { type Events, subscribe } from '../../src/events.ts'
import type { Admission, Delivery } from '../../src/guard.ts'
import type { ReceivedMessage } from '../../src/message.ts'
import type { BeginResult, CommitResult, ReplayClaim, ReplayStore } from '../../src/replay/replay-store.ts'
import { receivedWith, tokenOf } from './helpers.ts'

/** What happened to the deliveries of a test, in order: `handle a`, `dead-letter b body-mismatch`, `acknowledge b`. */
export type Log = string[]

export interface DeliveryPlan {
  handle?(admission: Admission): void | Promise<void>
  deadLetter?(letter: DeadLetter): Promise<void>
  acknowledge?(): void | Promise<void>
  /** the transport has dead-lettering of its own */
  canReject?: boolean
}

/** A delivery that writes down what the guard does with it. */
export function deliveryOf(log: Log, name: string, received: ReceivedMessage, plan: DeliveryPlan = {}): Delivery {
  return {
    received,
    native: { name },
    handle(admission) {
      log.push(`handle ${name}`)
      return plan.handle?.(admission)
    },
    acknowledge() {
      log.push(`acknowledge ${name}`)
      return plan.acknowledge?.()
    },
    async deadLetter(letter) {
      log.push(`dead-letter ${name} ${letter.reason}`)
      await plan.deadLetter?.(letter)
      log.push(`stored ${name}`)
    },
    ...(plan.canReject === true && {
      reject: () => {
        log.push(`reject ${name}`)
      },
    }),
  }
}

/** A promise with its resolve and reject. */
export class Latch<T = void> {
  readonly promise: Promise<T>
  open!: (value: T) => void
  fail!: (error: unknown) => void

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.open = resolve
      this.fail = reject
    })
  }
}

/** A replay store that answers when and what a test says, and otherwise lets everything run. */
export class ScriptedStore implements ReplayStore {
  readonly calls: string[] = []
  readonly begins: ((claim: ReplayClaim) => BeginResult | Promise<BeginResult>)[] = []
  readonly commits: (() => CommitResult | Promise<CommitResult>)[] = []

  begin(claim: ReplayClaim): BeginResult | Promise<BeginResult> {
    this.calls.push('begin')
    return this.begins.shift()?.(claim) ?? 'run'
  }

  commit(): CommitResult | Promise<CommitResult> {
    this.calls.push('commit')
    return this.commits.shift()?.() ?? 'committed'
  }

  release(): void {
    this.calls.push('release')
  }

  renew(): void {
    this.calls.push('renew')
  }
}

export function failing(): never {
  throw new Error('unreachable')
}

let next = 0

/** A good message with an id of its own. */
export function fresh(overrides: Partial<ReceivedMessage> = {}): ReceivedMessage {
  return receivedWith(tokenOf({ claims: { jti: `test-message-${String(next++).padStart(6, '0')}` } }), overrides)
}

export function bad(): ReceivedMessage {
  return fresh({ payload: Buffer.from('forged') })
}

/** A handler that is through at once. */
export function commit(admission: Admission): void {
  void admission.commit()
}

const listeners: (() => void)[] = []

/** Has somebody listen to the verdicts of each test, so that rejecting warns nobody; and lets all listeners go after it. */
export function listenDuringEachTest(): void {
  beforeEach(() => {
    record('queue-key-auth:verdict')
  })
  afterEach(() => {
    for (const stop of listeners.splice(0)) stop()
  })
}

/** The events of the test from now on. */
export function record<Name extends keyof Events>(name: Name): Events[Name][] {
  const events: Events[Name][] = []
  listeners.push(subscribe(name, (event) => events.push(event)))
  return events
}

/** Resolves with the next event that fits. */
export function happened<Name extends keyof Events>(
  name: Name,
  fits: (event: Events[Name]) => boolean = () => true,
): Promise<void> {
  return new Promise((resolve) => {
    listeners.push(subscribe(name, (event) => fits(event) && resolve()))
  })
}
