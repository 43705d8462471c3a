import type { DeadLetter } from '../../src/dead-letter.ts'
import { SetupError } from '../../src/errors.ts'
import { type Admission, Guard } from '../../src/guard.ts'
import { quote } from '../../src/text.ts'
import type { Verifier } from '../../src/verifier.ts'
import { override } from '../../src/wrapping.ts'
import { type AmqpMessage, type Callback, type ChannelLike, type ConsumeOptions, invoke } from './client.ts'
import { type Consumption, GuardedConsumer, viewOf } from './consumer.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import type { RabbitmqConsumerOptions } from './index.ts'
import { DIRECT_REPLY_TO, toReceived } from './message.ts'
import { Settlements } from './settlements.ts'

/** How many rejected messages one `get` settles before it says that the queue has nothing for it. */
const MAX_REJECTED_BY_GET = 1_000

/** How long `close` waits for dead letters and commits that are under way. */
const CLOSE_PATIENCE_MS = 5_000

const DEFAULT_MAX_HOLD_SECONDS = 900

/** The methods of a channel as they were before it was guarded. */
type Originals = Pick<ChannelLike, 'consume' | 'cancel' | 'get' | 'ack' | 'nack' | 'reject' | 'close'>

/** A channel whose consumers get authorized messages only. */
export class GuardedChannel {
  readonly verifier: Verifier
  readonly options: RabbitmqConsumerOptions
  readonly original: Originals
  readonly maxHoldMs: number
  closing = false
  readonly #channel: ChannelLike
  readonly #sink: DeadLetterSink
  readonly #settlements: Settlements
  readonly #consumers = new Map<string, GuardedConsumer>()
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #loops: ReadonlySet<string>

  /** @param loops names of queues that dead-letter into an exchange, so that messages may come back to them */
  constructor(
    channel: ChannelLike,
    verifier: Verifier,
    options: RabbitmqConsumerOptions,
    sink: DeadLetterSink,
    loops: Set<string>,
  ) {
    if ((channel.consumers?.size ?? 0) > 0) {
      throw new SetupError(
        'already-consuming',
        'the channel consumes already, so those messages would stay unchecked; call wrapConsumer before consume',
      )
    }
    this.#channel = channel
    this.verifier = verifier
    this.options = options
    this.maxHoldMs = (options.maxHoldSeconds ?? DEFAULT_MAX_HOLD_SECONDS) * 1000
    this.#sink = sink
    this.#loops = loops
    this.original = {
      consume: channel.consume.bind(channel),
      cancel: channel.cancel.bind(channel),
      get: channel.get.bind(channel),
      ack: channel.ack.bind(channel),
      nack: channel.nack.bind(channel),
      reject: channel.reject.bind(channel),
      close: channel.close.bind(channel),
    }
    this.#settlements = new Settlements(channel, this.original, (pending) => this.track(pending))
    this.#install(loops)
    channel.on('close', () => this.#end())
  }

  handOver(raw: AmqpMessage, admission: Admission): void {
    this.#settlements.handOver(raw, admission)
  }

  /** Settles a message that the user never saw. */
  settle(how: 'ack' | 'nack' | 'reject', raw: AmqpMessage, requeue: boolean): void {
    if (how === 'ack') this.original.ack(raw)
    else if (how === 'reject') this.original.reject(raw, requeue)
    else this.original.nack(raw, false, requeue)
  }

  storeDeadLetter(queue: string, letter: DeadLetter<AmqpMessage>): Promise<void> {
    return this.#sink.store(this.#deadLetterName(queue), letter)
  }

  /** Something `close` should wait for. */
  track(pending: Promise<unknown>): void {
    this.#underWay.add(pending)
    void pending.catch(() => undefined).finally(() => this.#underWay.delete(pending))
  }

  /** What amqplib does when a callback throws: the channel ends with the user's error. */
  userThrew(error: unknown): void {
    const thrown = error instanceof Error ? error : new Error(String(error))
    const { closeWithError } = this.#channel
    if (closeWithError === undefined) throw thrown
    closeWithError.call(
      this.#channel,
      undefined,
      'Error while processing message',
      GuardedConsumer.internalError,
      thrown,
    )
  }

  /** Lets go of what is held and waits for what is under way. */
  async drain(): Promise<void> {
    this.#end()
    if (this.#underWay.size === 0) return
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_PATIENCE_MS)
    })
    await Promise.race([Promise.allSettled(this.#underWay), patience])
    clearTimeout(timer)
  }

  /** The same for a connection that closes: its farewell can overtake the last acknowledgements, the channel's own cannot. */
  async finish(): Promise<void> {
    await this.drain()
    try {
      await invoke(this.original.close)
    } catch {
      // It was closed meanwhile.
    }
  }

  get busy(): boolean {
    return this.#underWay.size > 0
  }

  #end(): void {
    this.closing = true
    for (const consumer of this.#consumers.values()) consumer.end()
  }

  #install(loops: Set<string>): void {
    const channel = this.#channel
    override(channel, 'consume', (queue, onMessage, options, callback) =>
      answer(this.#consume(queue, onMessage, options ?? {}), callback),
    )
    override(channel, 'get', (queue, options, callback) => answer(this.#get(queue, options ?? {}), callback))
    override(channel, 'cancel', (consumerTag, callback) => {
      this.#consumers.get(consumerTag)?.end()
      this.#consumers.delete(consumerTag)
      return this.original.cancel(consumerTag, callback)
    })
    override(channel, 'close', (callback) => {
      if (!this.busy) return this.original.close(callback)
      const closed = this.drain().then(() => invoke(this.original.close))
      return callback === undefined ? closed : answer(closed, callback)
    })
    const assertQueue = channel.assertQueue
    override(channel, 'assertQueue', (queue, options, callback) => {
      if (typeof queue === 'string' && hasDeadLetterExchange(options)) loops.add(queue)
      return assertQueue.call(channel, queue, options, callback)
    })
  }

  async #consume(queue: unknown, onMessage: OnMessageGiven, options: ConsumeOptions): Promise<unknown> {
    const name = this.#policyName(queue)
    const noAck = this.#checkNoAck(name.queue, options)
    this.#checkPolicy(name)
    // A tag of our own choosing makes it possible to stop and to start again unseen.
    const consumerTag =
      options.consumerTag || `queueauth-${Math.random().toString(36).slice(2)}${Date.now().toString(36)}`
    const consumption: Consumption = { ...name, noAck, onMessage, options: { ...options, consumerTag } }
    const consumer = new GuardedConsumer(this, consumption)
    this.#consumers.set(consumerTag, consumer)
    try {
      // Sent at once, as the plain client does, so that the order of calls on the channel stays what the caller wrote.
      const consuming = invoke(this.original.consume, name.queue, consumer.onDelivery, consumption.options)
      const prepared = this.#prepareDeadLetters(name.queue)
      const [consumed, ready] = await Promise.allSettled([consuming, prepared])
      if (consumed.status === 'rejected') throw consumed.reason
      if (ready.status === 'fulfilled') return consumed.value
      await invoke(this.original.cancel, consumerTag)
      throw ready.reason
    } catch (error) {
      consumer.end()
      this.#consumers.delete(consumerTag)
      throw error
    }
  }

  async #get(queue: unknown, options: ConsumeOptions): Promise<AmqpMessage | false> {
    const name = this.#policyName(queue)
    const noAck = this.#checkNoAck(name.queue, options)
    this.#checkPolicy(name)
    await this.#prepareDeadLetters(name.queue)
    const abort = new AbortController()
    const guard = new Guard<AmqpMessage>(this.verifier, { ...this.options, signal: abort.signal })
    for (let rejected = 0; rejected < MAX_REJECTED_BY_GET; rejected++) {
      const raw = await invoke<AmqpMessage | false>(this.original.get, name.queue, options)
      if (raw === false) return false
      let view: AmqpMessage | undefined
      const outcome = guard.receive({
        received: toReceived(raw, name.queue, name.name),
        native: raw,
        handle: (admission) => {
          view = viewOf(raw, admission)
          if (noAck) return void admission.commit()
          this.handOver(raw, admission)
        },
        acknowledge: () => (noAck ? undefined : this.settle('ack', raw, false)),
        ...(!noAck && { reject: () => this.settle('reject', raw, false) }),
        deadLetter: (letter) => this.storeDeadLetter(name.queue, letter),
      })
      if (outcome instanceof Promise) this.track(outcome)
      await outcome
      if (view !== undefined) return view
    }
    return false
  }

  #policyName(queue: unknown): { queue: string; name: string } {
    if (typeof queue !== 'string' || queue === '') {
      throw new SetupError(
        'destination-invalid',
        'consume and get need the name of the queue, because policies match it; pass the name that assertQueue returned',
      )
    }
    return { queue, name: this.options.queueName?.(queue) ?? queue }
  }

  #checkNoAck(queue: string, options: ConsumeOptions): boolean {
    if (!options.noAck) return false
    // Direct reply-to works without acknowledgements only.
    if (queue.startsWith(DIRECT_REPLY_TO) || this.options.noAck === 'drop') return true
    throw new SetupError(
      'no-ack-refused',
      `queue ${quote(queue)}: with noAck the broker forgets a message before it is checked, so a crash loses it; consume with acknowledgements, or pass noAck: 'drop' to wrapConsumer to accept that`,
    )
  }

  #checkPolicy({ queue, name }: { queue: string; name: string }): void {
    const policy = this.verifier.policyOf(name)
    if (policy.maxAgeSeconds === Number.POSITIVE_INFINITY && this.verifier.replay !== undefined) {
      throw new SetupError(
        'option-invalid',
        `queue ${quote(name)}: maxAgeSeconds Infinity would keep every message id for ever, since RabbitMQ has no positions; set a number of seconds, or replay: 'off'`,
      )
    }
    if (!this.#loops.has(queue) || !policy.delivered || policy.destinations !== undefined) return
    process.emitWarning(
      `queue ${quote(queue)} has a dead-letter exchange: a message that comes back through it arrives by another address than it was signed for and is rejected as destination-mismatch. If such messages shall be handled, write queues: { ${JSON.stringify(name)}: { destinations: ['amqp:<exchange>/<routing key>'] } } with the address they are first published to`,
      { type: 'QueueKeyAuthWarning' },
    )
  }

  async #prepareDeadLetters(queue: string): Promise<void> {
    const { onRejected = 'dead-letter', deadLetter } = this.options
    const needed = deadLetter === undefined && (onRejected === 'dead-letter' || typeof onRejected === 'function')
    if (needed) await this.#sink.prepare(this.#deadLetterName(queue))
  }

  #deadLetterName(queue: string): string {
    return this.options.deadLetterName?.(queue) ?? `${queue}.dlq`
  }
}

type OnMessageGiven = Consumption['onMessage']

/** Gives a result the way the called API does: through the callback, or as a promise. */
function answer(result: Promise<unknown>, callback: Callback | undefined): unknown {
  if (callback === undefined) return result
  void result.then(
    (value) => callback(null, value),
    (error) => callback(error),
  )
  return undefined
}

function hasDeadLetterExchange(options: unknown): boolean {
  const { deadLetterExchange, arguments: table } = (options ?? {}) as {
    deadLetterExchange?: unknown
    arguments?: Record<string, unknown>
  }
  return deadLetterExchange !== undefined || table?.['x-dead-letter-exchange'] !== undefined
}
