import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { backOff } from '../../src/back-off.ts'
import { publish } from '../../src/events.ts'
import { type Admission, type Delivery, Guard } from '../../src/guard.ts'
import { mark } from '../../src/verdict.ts'
import type { GuardedChannel } from './channel.ts'
import { type AmqpMessage, type ConsumeOptions, invoke, type OnMessage } from './client.ts'
import { toReceived, toView } from './message.ts'

/** amqplib ends a channel with this code when a callback throws. */
const INTERNAL_ERROR = 541

/** What a guarded consumer was started with. */
export interface Consumption {
  /** the queue that is consumed */
  readonly queue: string
  /** what policies call it */
  readonly name: string
  readonly noAck: boolean
  readonly onMessage: OnMessage
  readonly options: ConsumeOptions
}

/** One `consume`: guards its deliveries, keeps those that cannot be judged now, and gives them back before it is too late. */
export class GuardedConsumer {
  readonly #channel: GuardedChannel
  readonly #consumption: Consumption
  /** deliveries that are neither handed over nor settled, and since when (monotonic milliseconds) */
  readonly #kept = new Map<AmqpMessage, number>()
  #abort = new AbortController()
  #guard: Guard<AmqpMessage>
  #timer: NodeJS.Timeout | undefined
  #ended = false

  constructor(channel: GuardedChannel, consumption: Consumption) {
    this.#channel = channel
    this.#consumption = consumption
    this.#guard = this.#newGuard()
  }

  /** What the client calls with each delivery. Null: the broker cancelled; that goes behind the deliveries before it. */
  readonly onDelivery = (raw: AmqpMessage | null): void => {
    if (raw === null) {
      const { turn } = this.#guard
      const tell = (): unknown => this.#consumption.onMessage(null)
      if (turn === undefined) tell()
      else void turn.then(tell).catch((error) => this.#channel.userThrew(error))
      return
    }
    if (this.#channel.closing || this.#ended) return
    const outcome = this.#guard.receive(this.#delivery(raw))
    if (!(outcome instanceof Promise)) return
    this.#keep(raw)
    const done = outcome.then(
      (how) => {
        this.#kept.delete(raw)
        if (how === 'let-go') this.#giveBack(raw)
      },
      (error) => {
        this.#kept.delete(raw)
        this.#channel.userThrew(error)
      },
    )
    this.#channel.track(done)
  }

  /** Gives back what is held and takes nothing more: the consumer was cancelled, or its channel closes. */
  end(): void {
    this.#ended = true
    clearTimeout(this.#timer)
    this.#abort.abort()
    this.#guard.close()
  }

  #newGuard(): Guard<AmqpMessage> {
    const { verifier, options } = this.#channel
    // Every message that is held listens to it.
    setMaxListeners(0, this.#abort.signal)
    return new Guard(verifier, { ...options, signal: this.#abort.signal })
  }

  #delivery(raw: AmqpMessage): Delivery<AmqpMessage> {
    const { queue, name, noAck } = this.#consumption
    const channel = this.#channel
    return {
      received: toReceived(raw, queue, name),
      native: raw,
      handle: (admission) => this.#handle(raw, admission),
      // Without acknowledgements the broker has forgotten the message already.
      acknowledge: () => (noAck ? undefined : channel.settle('ack', raw, false)),
      ...(!noAck && { reject: () => channel.settle('reject', raw, false) }),
      deadLetter: (letter) => channel.storeDeadLetter(queue, letter),
    }
  }

  #handle(raw: AmqpMessage, admission: Admission): void {
    this.#kept.delete(raw)
    const { onMessage, noAck } = this.#consumption
    const view = viewOf(raw, admission)
    if (noAck) {
      onMessage(view)
      const committed = admission.commit()
      if (committed instanceof Promise) this.#channel.track(committed)
      return
    }
    this.#channel.handOver(raw, admission)
    onMessage(view)
  }

  /** A message that is held too long runs into the broker's consumer timeout: then everything held is given back. */
  #keep(raw: AmqpMessage): void {
    this.#kept.set(raw, performance.now())
    this.#timer ??= setTimeout(() => this.#checkKept(), this.#channel.maxHoldMs).unref()
  }

  #checkKept(): void {
    this.#timer = undefined
    const [oldest] = this.#kept.values()
    if (oldest === undefined || this.#ended) return
    const left = oldest + this.#channel.maxHoldMs - performance.now()
    if (left > 0) this.#timer = setTimeout(() => this.#checkKept(), left).unref()
    else this.#channel.track(this.#pause())
  }

  /**
   * Stops consuming, gives back what is held, waits until messages can be judged again, and consumes again under the same
   * tag. A requeue counts as a delivery on quorum queues, so it happens once an outage, not once a try.
   */
  async #pause(): Promise<void> {
    const { queue, options } = this.#consumption
    const { original, verifier } = this.#channel
    const consumerTag = options.consumerTag
    if (consumerTag === undefined) return
    publish('queue-key-auth:notice', () => ({
      queue: this.#consumption.name,
      notice: 'consumer-paused',
      detail: 'messages could not be judged for long: they were given back, and consuming stops until they can be',
    }))
    try {
      await invoke(original.cancel, consumerTag)
      this.#abort.abort()
      for (let attempt = 0; !this.#ended; attempt++) {
        await sleep(backOff(attempt), undefined, { ref: false })
        if (await verifier.probe()) break
      }
      if (this.#ended || this.#channel.closing) return
      this.#abort = new AbortController()
      this.#guard = this.#newGuard()
      await invoke(original.consume, queue, this.onDelivery, options)
    } catch (error) {
      // The channel is gone: the broker has requeued everything, and whoever opens the next one consumes again.
      if (!this.#channel.closing) throw error
      return
    }
    publish('queue-key-auth:notice', () => ({
      queue: this.#consumption.name,
      notice: 'consumer-resumed',
      detail: 'messages can be judged again',
    }))
  }

  #giveBack(raw: AmqpMessage): void {
    if (this.#consumption.noAck || this.#channel.closing) return
    this.#channel.settle('nack', raw, true)
  }

  /** What ends a channel in the client must end it here too, when the handler threw after a wait of ours. */
  static readonly internalError: number = INTERNAL_ERROR
}

/** The message for the handler: stripped to what was signed, or as it is where the policy lets it pass unverified. */
export function viewOf(raw: AmqpMessage, { verdict, verified, release }: Admission): AmqpMessage {
  if (verified !== undefined) return toView(raw, verified, { verdict, release })
  mark(raw, { verdict, unsignedHeaders: {}, release })
  return raw
}
