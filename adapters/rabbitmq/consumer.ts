import { randomUUID } from 'node:crypto'
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'
import { backOff } from '../../src/back-off.ts'
import { publish } from '../../src/events.ts'
import type { Admission } from '../../src/guard.ts'
import { quote } from '../../src/text.ts'
import type { GuardedChannel } from './channel.ts'
import { type AmqpMessage, type ConsumeOptions, invoke, type OnMessage } from './client.ts'
import { ConsumedDelivery } from './consumed-delivery.ts'
import type { AmqpDelivery } from './delivery.ts'
import { controller, Holds } from './holds.ts'
import { consumersOf, typeOf } from './inspection.ts'
import { LEAVES, PAUSE_OF_STREAM, type Pause, pauseFor, STAYS } from './pause.ts'
import type { ReadQueue } from './queue.ts'
import { QueueKeeper } from './queue-keeper.ts'
import { namesOffset, offsetOf, StreamReader } from './stream-reader.ts'

/** One `consume`: guards its deliveries, keeps those that cannot be judged now, and gives them back before it is too late. */
export class GuardedConsumer {
  readonly consumerTag: string
  readonly #channel: GuardedChannel
  readonly #from: ReadQueue
  readonly #onMessage: OnMessage
  readonly #options: ConsumeOptions
  /** the user's */
  readonly #ownTag: string | undefined
  /** the channel's prefetch when it began, which is this consumer's for good */
  readonly #prefetch: number
  readonly #holds: Holds
  /** deliveries that are neither handed over nor settled, and since when (monotonic milliseconds) */
  readonly #kept = new Map<AmqpMessage, number>()
  readonly #letGo: AmqpMessage[] = []
  /** whether the queue is a stream; undefined while nothing says so */
  #isStream: boolean | undefined
  #reader: StreamReader | undefined
  /** deliveries behind the one that has the broker asked whether this is a stream */
  #behind: AmqpMessage[] | undefined
  #asking: Promise<void> | undefined
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
    this.#ownTag = options.consumerTag
    this.#prefetch = channel.prefetch
    this.#holds = new Holds(channel.verifier, channel.options, channel.gone)
    // Only a stream takes an offset, and none does without acknowledgements. Otherwise the first delivery raises the question.
    if (from.noAck) this.#isStream = false
    else if (namesOffset(options)) this.#readsStream()
  }

  /** @throws what the client throws at once, in the callback API */
  consume(): Promise<unknown> {
    return this.#consume(this.#options)
  }

  #consume(options: ConsumeOptions): Promise<unknown> {
    return invoke(this.#channel.original.consume, this.#from.queue, this.onDelivery, options)
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
    if (this.#behind !== undefined) this.#behind.push(raw)
    else if (this.#isStream === undefined && offsetOf(raw) !== undefined) this.#askFor(raw)
    else this.#receive(raw)
  }

  #receive(raw: AmqpMessage): void {
    const { noAck } = this.#from
    if (this.#reader?.takes(raw) === false) {
      this.#channel.settlements.settle('ack', raw)
      return
    }
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

  /** A message seems to come from a stream. Whether it does is for the broker to say, once a consumer. */
  #askFor(raw: AmqpMessage): void {
    this.#behind = [raw]
    this.#asking = this.#ask()
    this.#channel.track(this.#asking)
  }

  async #ask(): Promise<void> {
    const type = await this.#untilAnswered(() => typeOf(this.#channel.native, this.#from.queue))
    if (type === 'stream') this.#readsStream()
    else this.#isStream = false
    const behind = this.#behind ?? []
    this.#behind = undefined
    this.#asking = undefined
    for (const raw of behind) {
      try {
        if (this.#stopping.signal.aborted) this.#giveBack(raw)
        else this.#receive(raw)
      } catch (error) {
        this.#channel.userThrew(error)
      }
    }
  }

  /** Tries again until there is an answer, or the consumer ends. */
  async #untilAnswered<Answer>(question: () => Promise<Answer>): Promise<Answer | undefined> {
    for (let attempt = 0; !this.#stopping.signal.aborted; attempt++) {
      try {
        return await question()
      } catch {
        // No channel could be opened: deliveries wait for the next try, or end with this channel.
        if (!(await this.#sleep(backOff(attempt)))) break
      }
    }
    return undefined
  }

  #readsStream(): void {
    this.#isStream = true
    const { queue, routes } = this.#from
    this.#reader = new StreamReader(this.#channel.verifier, queue, this.#ownTag)
    routes.reader = this.#reader.name
  }

  /** The user cancels: deliveries go on until the broker agreed, but a pause does not end in consuming again. */
  cancelling(): void {
    this.#resumes = false
  }

  /** The broker agreed: hands over what waited for its turn, and gives back what is held. */
  async cancelled(): Promise<void> {
    await this.#asking
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
    this.#reader?.end()
    clearTimeout(this.#timer)
  }

  /** Null goes behind the deliveries before it; nothing may come after it. */
  #cancelledByBroker(): void {
    const tell = (): void => {
      this.#stop()
      this.#channel.forget(this)
      this.#onMessage(null)
    }
    const before = this.#asking?.then(() => this.#holds.guard.turn) ?? this.#holds.guard.turn
    if (before === undefined) tell()
    else void before.then(tell).catch((error) => this.#channel.userThrew(error))
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
    if (this.#from.noAck || this.#channel.closing) return
    this.#reader?.gaveBack(raw)
    // A stream takes nothing back, and RabbitMQ 3.10 ends the connection that tries.
    this.#channel.settlements.settle(this.#reader === undefined ? 'requeue' : 'ack', raw)
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
   * Gives back what is held, so that another consumer can have it and the broker does not lose patience. A consumer that may
   * go away does so until messages can be judged again, and comes back under the same tag.
   */
  async #pause(): Promise<void> {
    this.#paused = true
    const { queue } = this.#from
    const pause =
      this.#reader === undefined ? await pauseFor(this.#channel.native, queue, this.#options) : PAUSE_OF_STREAM
    if (this.#stopping.signal.aborted) return
    this.#say('consumer-paused', pause.stays ? STAYS : LEAVES)
    const goesOn = pause.stays ? await this.#stay(pause) : await this.#leave(pause)
    if (!goesOn) return
    this.#paused = false
    if (this.#kept.size > 0) this.#timer ??= this.#checkAfter(this.#channel.maxHoldMs)
    this.#say('consumer-resumed', 'messages can be judged again')
  }

  /** What is given back comes again at once, and counts as delivered anew for the broker's timeout. */
  async #stay(pause: Pause): Promise<boolean> {
    for (;;) {
      this.#requeueHeld()
      const judgeable = await this.#untilJudgeable(pause, performance.now() + this.#channel.maxHoldMs)
      if (judgeable === 'later') continue
      // Once more, so that they are judged now, in their order.
      if (judgeable) this.#requeueHeld()
      return judgeable
    }
  }

  #requeueHeld(): void {
    this.#holds.letGo()
    this.#holds.holdAgain()
  }

  /** A requeue counts as a delivery on some quorum queues, so it happens once an outage, not once a try. */
  async #leave(pause: Pause): Promise<boolean> {
    await invoke(this.#channel.original.cancel, this.consumerTag)
    this.#holds.letGo()
    const keeper = pause.needsConsumer ? new QueueKeeper(this.#channel.native, this.#from.queue) : undefined
    const judgeable = await this.#untilJudgeable(pause, Number.POSITIVE_INFINITY, keeper)
    await keeper?.close()
    if (judgeable !== true || (this.#options.exclusive && !(await this.#untilFree(pause)))) return false
    this.#holds.holdAgain()
    const options = this.#reader?.goingOn(this.#options) ?? this.#options
    await this.#channel.withPrefetch(this.#prefetch, () => this.#consume(options))
    return true
  }

  /** False: the consumer was cancelled, or its channel closed. */
  async #untilJudgeable(
    { stays, keepAliveMs }: Pause,
    deadline: number,
    keeper?: QueueKeeper,
  ): Promise<boolean | 'later'> {
    for (let attempt = 0; performance.now() < deadline; attempt++) {
      const until = Math.min(performance.now() + backOff(attempt), deadline)
      for (let left = until - performance.now(); left > 0; left = until - performance.now()) {
        if (!(await this.#sleep(stays ? left : Math.min(left, keepAliveMs)))) return false
        if (!stays && !(await this.#look((consumers) => keeper?.look(consumers)))) return false
      }
      if (await this.#channel.verifier.probe()) return this.#resumes && !this.#stopping.signal.aborted
    }
    return 'later'
  }

  /** Another that took the exclusive place meanwhile would make the broker close the channel of who asks for it. */
  async #untilFree({ keepAliveMs }: Pause): Promise<boolean> {
    for (let free = false; !free; ) {
      const there = await this.#look((consumers) => {
        free = consumers === 0
      })
      if (!there || (!free && !(await this.#sleep(keepAliveMs)))) return false
    }
    return this.#resumes && !this.#stopping.signal.aborted
  }

  /** A queue that is deleted tells its consumers. One that is away meanwhile is told here, as its user would have been. */
  async #look(found: (consumers: number) => void | Promise<void>): Promise<boolean> {
    let consumers: number | undefined = Number.NaN
    try {
      consumers = await consumersOf(this.#channel.native, this.#from.queue)
    } catch {
      // It cannot be asked now: that does not mean that it is gone.
    }
    if (consumers !== undefined) await found(consumers)
    else if (!this.#stopping.signal.aborted) this.#cancelledByBroker()
    return consumers !== undefined
  }

  /** False: the consumer ended meanwhile. */
  async #sleep(milliseconds: number): Promise<boolean> {
    try {
      await sleep(milliseconds, undefined, { signal: this.#stopping.signal })
      return true
    } catch {
      return false
    }
  }

  #say(notice: 'consumer-paused' | 'consumer-resumed', detail: string): void {
    const { name } = this.#from
    if (publish('queue-key-auth:notice', () => ({ queue: name, notice, detail }))) return
    this.#channel.verifier.warnings.once(`${name} ${notice}`, `queue ${quote(name)}: ${detail}`)
  }
}
