import { randomUUID } from 'node:crypto'
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'
import { backOff } from '../../src/back-off.ts'
import { publish } from '../../src/events.ts'
import type { Admission } from '../../src/guard.ts'
import { quote } from '../../src/text.ts'
import type { GuardedChannel } from './channel.ts'
import { type AmqpMessage, type ConsumeOptions, invoke, type OnMessage } from './client.ts'
import { AmqpDelivery } from './delivery.ts'
import { controller, Holds } from './holds.ts'
import type { ReadQueue } from './queue.ts'

/** What a consumer was sent. */
class ConsumedDelivery extends AmqpDelivery {
  readonly #consumer: GuardedConsumer

  constructor(channel: GuardedChannel, from: ReadQueue, raw: AmqpMessage, consumer: GuardedConsumer) {
    super(channel, from, raw)
    this.#consumer = consumer
  }

  handle(admission: Admission): void | Promise<void> {
    return this.#consumer.handle(this, admission)
  }
}

/** One `consume`: guards its deliveries, keeps those that cannot be judged now, and gives them back before it is too late. */
export class GuardedConsumer {
  readonly consumerTag: string
  readonly #channel: GuardedChannel
  readonly #from: ReadQueue
  readonly #onMessage: OnMessage
  readonly #options: ConsumeOptions
  /** the channel's prefetch when it began, which is this consumer's for good */
  readonly #prefetch: number
  readonly #holds: Holds
  /** deliveries that are neither handed over nor settled, and since when (monotonic milliseconds) */
  readonly #kept = new Map<AmqpMessage, number>()
  readonly #letGo: AmqpMessage[] = []
  readonly #stopping: AbortController = controller()
  #givingBack: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #paused = false
  #resumes = true

  constructor(channel: GuardedChannel, from: ReadQueue, onMessage: OnMessage, options: ConsumeOptions) {
    this.#channel = channel
    this.#from = from
    this.#onMessage = onMessage
    // A tag of our own choosing makes it possible to stop and to start again unseen.
    this.consumerTag = options.consumerTag || `queueauth-${randomUUID()}`
    this.#options = options.consumerTag ? options : { ...options, consumerTag: this.consumerTag }
    this.#prefetch = channel.prefetch
    this.#holds = new Holds(channel.verifier, channel.options, channel.gone)
  }

  /** @throws what the client throws at once, in the callback API */
  consume(): Promise<unknown> {
    return invoke(this.#channel.original.consume, this.#from.queue, this.onDelivery, this.#options)
  }

  /** What the client calls with each delivery, and with null when the broker cancels. */
  readonly onDelivery = (raw: AmqpMessage | null): void => {
    if (raw === null) {
      this.#cancelledByBroker()
      return
    }
    const { noAck } = this.#from
    this.#channel.acknowledgements.delivered(raw.fields.deliveryTag, noAck)
    // The broker takes it back when the channel is closed.
    if (this.#channel.closing) return
    if (!noAck) this.#channel.settlements.withhold(raw)
    const outcome = this.#holds.guard.receive(new ConsumedDelivery(this.#channel, this.#from, raw, this))
    if (!(outcome instanceof Promise)) return
    if (!noAck) this.#keep(raw)
    this.#channel.track(
      outcome
        .then((how) => (how === 'let-go' ? this.#giveBackInOrder(raw) : undefined))
        .catch((error) => this.#channel.userThrew(error))
        .finally(() => this.#kept.delete(raw)),
    )
  }

  /** The user cancels: deliveries go on until the broker agreed, but a pause does not end in consuming again. */
  cancelling(): void {
    this.#resumes = false
  }

  /** The broker agreed: hands over what waited for its turn, and gives back what is held. */
  async cancelled(): Promise<void> {
    await this.#holds.guard.turn
    this.#stop()
  }

  /** The channel closes, or is gone. */
  end(): void {
    this.#stop()
  }

  #stop(): void {
    this.#stopping.abort()
    this.#holds.letGo()
    clearTimeout(this.#timer)
  }

  /** Null goes behind the deliveries before it; nothing may come after it. */
  #cancelledByBroker(): void {
    const tell = (): void => {
      this.#stop()
      this.#channel.forget(this)
      this.#onMessage(null)
    }
    const { turn } = this.#holds.guard
    if (turn === undefined) tell()
    else void turn.then(tell).catch((error) => this.#channel.userThrew(error))
  }

  /** The guard admits a delivery. */
  handle(delivery: AmqpDelivery, admission: Admission): void | Promise<void> {
    const raw = delivery.native
    if (this.#kept.size > 0) this.#kept.delete(raw)
    const { noAck } = this.#from
    if (!noAck && this.#stopping.signal.aborted) return this.#decline(raw, admission)
    // It comes again: the broker has it back, or is about to.
    if (!noAck && !this.#channel.settlements.handOver(raw, admission)) return admission.release()
    try {
      this.#onMessage(delivery.view(admission))
    } catch (error) {
      void admission.release()
      throw error
    }
    if (!noAck) return
    const committed = admission.commit()
    if (committed instanceof Promise) this.#channel.track(committed)
  }

  /** It was still being judged when the consumer ended. */
  async #decline(raw: AmqpMessage, admission: Admission): Promise<void> {
    await admission.release()
    await this.#giveBackInOrder(raw)
  }

  /** Holds end in any order, all in one go; a quorum queue has messages again in the order they came back. */
  #giveBackInOrder(raw: AmqpMessage): Promise<void> {
    this.#letGo.push(raw)
    this.#givingBack ??= immediate().then(() => {
      this.#givingBack = undefined
      const inOrder = this.#letGo.splice(0).sort((a, b) => a.fields.deliveryTag - b.fields.deliveryTag)
      for (const message of inOrder) this.#giveBack(message)
    })
    return this.#givingBack
  }

  #giveBack(raw: AmqpMessage): void {
    if (!this.#from.noAck && !this.#channel.closing) this.#channel.settlements.settle('requeue', raw)
  }

  /** A message that is held too long runs into the broker's consumer timeout: then everything held is given back. */
  #keep(raw: AmqpMessage): void {
    this.#kept.set(raw, performance.now())
    this.#timer ??= this.#checkAfter(this.#channel.maxHoldMs)
  }

  #checkAfter(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#timer = undefined
      const [oldest] = this.#kept.values()
      if (oldest === undefined || this.#paused || this.#stopping.signal.aborted) return
      const left = oldest + this.#channel.maxHoldMs - performance.now()
      if (left > 0) this.#timer = this.#checkAfter(left)
      else this.#channel.track(this.#pause())
    }, milliseconds).unref()
  }

  /**
   * Stops consuming, gives back what is held, waits until messages can be judged again, and consumes again under the same
   * tag. A requeue counts as a delivery on quorum queues, so it happens once an outage, not once a try.
   */
  async #pause(): Promise<void> {
    this.#paused = true
    this.#say(
      'consumer-paused',
      'messages could not be judged for long: they are given back, and consuming stops until they can be',
    )
    await invoke(this.#channel.original.cancel, this.consumerTag)
    this.#holds.letGo()
    if (!(await this.#untilJudgeable())) return
    this.#holds.holdAgain()
    this.#paused = false
    // The queue may be gone meanwhile: then the broker closes the channel, and its users hear of that.
    await this.#channel.withPrefetch(this.#prefetch, () => this.consume())
    this.#say('consumer-resumed', 'messages can be judged again')
  }

  /** False: the consumer was cancelled or its channel closed meanwhile. */
  async #untilJudgeable(): Promise<boolean> {
    const { signal } = this.#stopping
    for (let attempt = 0; ; attempt++) {
      try {
        await sleep(backOff(attempt), undefined, { signal })
      } catch {
        return false
      }
      if (await this.#channel.verifier.probe()) return this.#resumes && !signal.aborted
    }
  }

  #say(notice: 'consumer-paused' | 'consumer-resumed', detail: string): void {
    const { name } = this.#from
    if (publish('queue-key-auth:notice', () => ({ queue: name, notice, detail }))) return
    this.#channel.verifier.warnings.once(`${name} ${notice}`, `queue ${quote(name)}: ${detail}`)
  }
}
