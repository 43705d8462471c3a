import { SetupError } from '../../src/errors.ts'
import type { Verifier } from '../../src/verifier.ts'
import { override } from '../../src/wrapping.ts'
import { Acknowledgements } from './acknowledgements.ts'
import {
  type Callback,
  type ChannelLike,
  type ConsumeOptions,
  invoke,
  type OnMessage,
  takesCallbacks,
} from './client.ts'
import { GuardedConsumer } from './consumer.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import { GuardedGets } from './getter.ts'
import { controller } from './holds.ts'
import { DEFAULT_MAX_HOLD_SECONDS, type RabbitmqConsumerOptions } from './options.ts'
import { checkPolicy, type ReadQueue, readQueue } from './queue.ts'
import { Settlements } from './settlements.ts'
import { endAsThrown, endWith } from './thrown.ts'

/** How long `close` waits for dead letters and commits that are under way. */
const CLOSE_PATIENCE_MS = 5_000

/** The methods of a channel as they were before it was guarded. */
type Originals = Pick<
  ChannelLike,
  'consume' | 'cancel' | 'get' | 'ack' | 'nack' | 'reject' | 'close' | 'prefetch' | 'recover'
>

/** A channel whose consumers get authorized messages only. */
export class GuardedChannel {
  /** the client's own */
  readonly native: ChannelLike
  readonly verifier: Verifier
  readonly options: RabbitmqConsumerOptions
  readonly sink: DeadLetterSink
  readonly original: Originals
  readonly settlements: Settlements
  readonly acknowledgements: Acknowledgements
  readonly maxHoldMs: number
  /** no delivery is taken any more */
  closing = false
  /** what a consumer that begins now gets at a time; 0: no limit */
  prefetch = 0
  readonly #gone: AbortController = controller()
  readonly #consumers = new Map<string, GuardedConsumer>()
  readonly #gets: GuardedGets
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #loops: Set<string>

  /** @param loops names of queues that dead-letter into an exchange, so that messages may come back to them */
  constructor(
    channel: ChannelLike,
    verifier: Verifier,
    options: RabbitmqConsumerOptions,
    sink: DeadLetterSink,
    loops: Set<string>,
  ) {
    this.native = channel
    this.verifier = verifier
    this.options = options
    this.maxHoldMs = (options.maxHoldSeconds ?? DEFAULT_MAX_HOLD_SECONDS) * 1000
    this.sink = sink
    this.#loops = loops
    this.original = {
      consume: channel.consume.bind(channel),
      cancel: channel.cancel.bind(channel),
      get: channel.get.bind(channel),
      ack: channel.ack.bind(channel),
      nack: channel.nack.bind(channel),
      reject: channel.reject.bind(channel),
      close: channel.close.bind(channel),
      prefetch: channel.prefetch.bind(channel),
      recover: channel.recover.bind(channel),
    }
    this.#gets = new GuardedGets(this)
    this.acknowledgements = new Acknowledgements(channel, this.gone)
    this.settlements = new Settlements(
      channel,
      this.original,
      (pending) => this.track(pending),
      () => this.acknowledgements.checkOpen(),
      this.gone,
    )
    this.#install()
    // First of all: who opens another channel when this one closes finds everything given back.
    channel.prependListener('close', () => this.#end(true))
  }

  /** Aborts when the channel is gone. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  /** A connection's farewell can overtake the last settlements, the channel's own cannot: it has to close first. */
  get closesFirst(): boolean {
    return this.#busy || this.settlements.used
  }

  /** Whether `close` would have to wait. */
  get #busy(): boolean {
    return this.#underWay.size > 0
  }

  /** Something `close` should wait for. */
  track(pending: Promise<unknown>): void {
    this.#underWay.add(pending)
    const ended = (): boolean => this.#underWay.delete(pending)
    // It fails when the channel is gone: the broker has the message back then.
    pending.then(ended, ended)
  }

  userThrew(error: unknown): void {
    endAsThrown(this.native, error)
  }

  forget({ consumerTag }: GuardedConsumer): void {
    this.#consumers.delete(consumerTag)
  }

  async prepareDeadLetters({ deadLetters }: ReadQueue): Promise<void> {
    const { onRejected = 'dead-letter', deadLetter } = this.options
    const needed = deadLetter === undefined && (onRejected === 'dead-letter' || typeof onRejected === 'function')
    if (needed) await this.sink.prepare(deadLetters)
  }

  /** A consumer's prefetch is the channel's when it begins. All is sent at once, so nobody's call comes in between. */
  async withPrefetch(count: number, begin: () => Promise<unknown>): Promise<void> {
    const now = this.prefetch
    const calls = now === count ? [begin()] : [this.#setPrefetch(count), begin(), this.#setPrefetch(now)]
    await Promise.all(calls)
  }

  /** Lets go of what is held and waits for what is under way. */
  async drain(): Promise<void> {
    this.#end(false)
    if (this.#underWay.size === 0) return
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_PATIENCE_MS)
    })
    await Promise.race([Promise.allSettled(this.#underWay), patience])
    clearTimeout(timer)
  }

  /** The same, and closes, for a connection that closes. */
  async finish(): Promise<void> {
    try {
      await this.#close()
    } catch {
      // It was closed meanwhile.
    }
  }

  /** From the moment it closes nothing can be settled, and the replay store knows that before its caller goes on. */
  async #close(): Promise<unknown> {
    await this.drain()
    const closed = invoke(this.original.close)
    await Promise.allSettled([this.settlements.lapse(), closed])
    return await closed
  }

  #setPrefetch(count: number): Promise<unknown> {
    return invoke(this.original.prefetch, count, false)
  }

  #end(gone: boolean): void {
    this.closing = true
    for (const consumer of this.#consumers.values()) consumer.end()
    this.#gets.end()
    if (!gone) return
    this.#gone.abort()
    void this.settlements.lapse()
  }

  #install(): void {
    const channel = this.native
    override(channel, 'consume', (queue, onMessage, options, callback) =>
      this.#answer(() => this.#consume(queue, onMessage, options ?? {}), callback),
    )
    override(channel, 'get', (queue, options, callback) =>
      this.#answer(() => this.#gets.get(this.#read(queue, options ?? {}), options ?? {}), callback),
    )
    override(channel, 'cancel', (consumerTag, callback) => this.#answer(() => this.#cancel(consumerTag), callback))
    override(channel, 'recover', (callback) =>
      this.#answer(() => this.settlements.takeBack(() => invoke(this.original.recover)), callback),
    )
    override(channel, 'prefetch', (count, global, callback) => {
      if (!global) this.prefetch = count
      return this.original.prefetch(count, global, callback)
    })
    override(channel, 'close', (callback) => {
      if (this.gone.aborted || !(this.#busy || this.settlements.isHolding)) return this.original.close(callback)
      return this.#answer(() => this.#close(), callback)
    })
    const { assertQueue } = channel
    override(channel, 'assertQueue', (queue, options, callback) => {
      if (typeof queue === 'string' && hasDeadLetterExchange(options)) this.#loops.add(queue)
      return assertQueue.call(channel, queue, options, callback)
    })
    this.#refuseStrangers()
  }

  /** A `consume` that was on its way when the channel was wrapped would go unchecked: the channel ends instead. */
  #refuseStrangers(): void {
    const channel = this.native
    const register = channel.registerConsumer
    if (register === undefined) return
    override(channel, 'registerConsumer', (consumerTag: string, onMessage: OnMessage) => {
      if (this.#consumers.has(consumerTag)) return register.call(channel, consumerTag, onMessage)
      register.call(channel, consumerTag, () => undefined)
      endWith(channel, alreadyConsuming())
    })
  }

  #read(queue: unknown, options: ConsumeOptions): ReadQueue {
    const from = readQueue(queue, options, this.options)
    checkPolicy(from, this.verifier, this.#loops.has(from.queue))
    return from
  }

  #consume(queue: unknown, onMessage: OnMessage, options: ConsumeOptions): Promise<unknown> {
    const from = this.#read(queue, options)
    const consumer = new GuardedConsumer(this, from, onMessage, options)
    // Sent at once, as the plain client does, so that the order of calls on the channel stays what the caller wrote.
    const consuming = consumer.consume()
    this.#consumers.set(consumer.consumerTag, consumer)
    const started = this.#started(consumer, consuming, this.prepareDeadLetters(from))
    // A handler may close the channel before the dead-letter queue is there.
    this.track(started)
    return started
  }

  async #started(consumer: GuardedConsumer, consuming: Promise<unknown>, preparing: Promise<void>): Promise<unknown> {
    const [consumed, prepared] = await Promise.allSettled([consuming, preparing])
    if (consumed.status === 'fulfilled' && prepared.status === 'fulfilled') return consumed.value
    if (consumed.status === 'fulfilled') await this.#cancel(consumer.consumerTag)
    consumer.end()
    this.forget(consumer)
    throw consumed.status === 'rejected' ? consumed.reason : (prepared as PromiseRejectedResult).reason
  }

  /** Until the broker agreed, deliveries go on, as in the plain client. */
  async #cancel(consumerTag: string): Promise<unknown> {
    const consumer = this.#consumers.get(consumerTag)
    consumer?.cancelling()
    const cancelled = await invoke(this.original.cancel, consumerTag)
    await consumer?.cancelled()
    if (this.#consumers.get(consumerTag) === consumer) this.#consumers.delete(consumerTag)
    return cancelled
  }

  /** Gives a result the way the channel's API does: as a promise, or through the callback. */
  #answer<Result>(work: () => Promise<Result>, callback: Callback | undefined): unknown {
    if (!takesCallbacks(this.native)) return (async () => await work())()
    work().then(
      (value) => callback?.(null, value),
      (error) => {
        if (callback !== undefined) callback(error)
        // The channel tells of its own errors; ours would be heard by nobody.
        else if (error instanceof SetupError) throw error
      },
    )
    return this.native
  }
}

/** @throws SetupError `already-consuming` */
export function refuseConsuming(channel: ChannelLike): void {
  if ((channel.consumers?.size ?? 0) > 0) throw alreadyConsuming()
}

function alreadyConsuming(): SetupError {
  return new SetupError(
    'already-consuming',
    'the channel consumes already, so those messages would stay unchecked; call wrapConsumer before consume',
  )
}

function hasDeadLetterExchange(options: unknown): boolean {
  const { deadLetterExchange, arguments: table } = (options ?? {}) as {
    deadLetterExchange?: unknown
    arguments?: Record<string, unknown>
  }
  return deadLetterExchange !== undefined || table?.['x-dead-letter-exchange'] !== undefined
}
