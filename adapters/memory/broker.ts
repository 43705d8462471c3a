import { EventEmitter } from 'node:events'
import { acrossBuilds } from '../../src/across-builds.ts'
import type { CoveredProperties, Headers } from '../../src/message.ts'
import { copyHeaders, copyMessage, copyProperties } from './copy.ts'
import { type Entry, Queue, type QueueConsumer, type QueuedMessage } from './queue.ts'

/** A message as a consumer gets it. */
export interface MemoryMessage extends QueuedMessage {
  /** names this delivery when it is settled; unique to the client */
  readonly deliveryTag: number
}

export interface PublishOptions {
  readonly headers?: Headers | undefined
  readonly properties?: CoveredProperties | undefined
}

export interface QueueOptions {
  /** messages that a consumer refuses (`nack` without `requeue`) go there as they are; default: they are dropped */
  readonly deadLetterQueue?: string
  /** a queue that holds as many messages refuses more: `publish` throws; default: unlimited */
  readonly maxLength?: number
}

export interface ConsumeOptions {
  /** how many messages may be unsettled at a time; default: unlimited */
  readonly prefetch?: number
}

/** Queues in this process's memory. They spring up when they are first named. */
export class MemoryBroker {
  static {
    acrossBuilds(MemoryBroker, 'MemoryBroker')
  }

  readonly #queues = new Map<string, Queue>()

  /** A connection for one service. Unsettled messages go back to their queues when it ends. */
  connect(): MemoryClient {
    return new MemoryClient((name) => this.#queue(name))
  }

  /** Copies of the messages that wait in a queue, oldest first. They stay there. */
  peek(queue: string): QueuedMessage[] {
    return this.#queue(queue).ready.map(({ message }) => copyMessage(message))
  }

  #queue(name: string): Queue {
    const known = this.#queues.get(name)
    if (known !== undefined) return known
    const queue = new Queue(name)
    this.#queues.set(name, queue)
    return queue
  }
}

/**
 * One connection. It emits `close` when it has ended, and before that `error` when it ended by one.
 *
 * A synchronous throw in a consumer's callback destroys the client with that error. What an asynchronous callback
 * rejects with is an unhandled rejection, as everywhere.
 */
export class MemoryClient extends EventEmitter<{ error: [unknown]; close: [] }> {
  static {
    acrossBuilds(MemoryClient, 'MemoryClient')
  }

  readonly #queueNamed: (name: string) => Queue
  readonly #unsettled = new Map<number, { queue: Queue; entry: Entry; consumer: Consumer }>()
  readonly #consumers = new Map<Consumer, Queue>()
  #deliveries = 0
  #closed = false

  constructor(queueNamed: (name: string) => Queue) {
    super()
    this.#queueNamed = queueNamed
  }

  get isClosed(): boolean {
    return this.#closed
  }

  get isConsuming(): boolean {
    return this.#consumers.size > 0
  }

  /** Sets a queue's options, new or not; gives how many messages wait in it. */
  async assertQueue(queue: string, options: QueueOptions = {}): Promise<{ queue: string; messageCount: number }> {
    this.#requireOpen()
    const target = this.#queueNamed(queue)
    target.deadLetterQueue = options.deadLetterQueue
    target.maxLength = options.maxLength ?? Number.POSITIVE_INFINITY
    return { queue, messageCount: target.ready.length }
  }

  /**
   * Puts a message into a queue. What was passed in may be changed afterwards.
   *
   * @returns always true; brokers with a network give false here to slow a producer down
   * @throws TypeError when an argument is none of its type, Error when the queue is full or the client is closed
   */
  publish(queue: string, payload: Uint8Array | null, options: PublishOptions = {}): boolean {
    checkPublished(queue, payload)
    this.#requireOpen()
    this.#queueNamed(queue).add({
      queue,
      payload: payload === null ? null : Buffer.from(payload),
      headers: copyHeaders(options.headers),
      properties: copyProperties(options.properties),
      redelivered: false,
    })
    return true
  }

  /** Hands the messages of a queue to the callback, in order, each once until it is settled. */
  async consume(queue: string, callback: (message: MemoryMessage) => unknown, options?: ConsumeOptions): Promise<void> {
    this.#requireOpen()
    const source = this.#queueNamed(queue)
    const consumer = new Consumer(options?.prefetch ?? Number.POSITIVE_INFINITY, (from, entry) => {
      const deliveryTag = ++this.#deliveries
      this.#unsettled.set(deliveryTag, { queue: from, entry, consumer })
      try {
        callback({ ...copyMessage(entry.message), deliveryTag })
      } catch (error) {
        this.destroy(error)
      }
    })
    this.#consumers.set(consumer, source)
    source.attach(consumer)
  }

  /** The message is done with. */
  ack(message: Pick<MemoryMessage, 'deliveryTag'>): void {
    this.#settle(message, () => undefined)
  }

  /** The message was not handled: back into its queue, or to the queue's dead letters with `requeue: false`. */
  nack(message: Pick<MemoryMessage, 'deliveryTag'>, options: { requeue?: boolean } = {}): void {
    this.#settle(message, (queue, entry) => {
      if (options.requeue !== false) queue.giveBack(entry)
      else if (queue.deadLetterQueue !== undefined) {
        const target = this.#queueNamed(queue.deadLetterQueue)
        target.add({ ...entry.message, queue: target.name, redelivered: false })
      }
    })
  }

  /** Ends the connection; does nothing when it has ended. */
  async close(): Promise<void> {
    this.destroy()
  }

  /** Ends it at once, as a crash would. */
  destroy(error?: unknown): void {
    if (this.#closed) return
    this.#closed = true
    for (const [consumer, queue] of this.#consumers) queue.detach(consumer)
    this.#consumers.clear()
    for (const { queue, entry } of this.#unsettled.values()) queue.giveBack(entry)
    this.#unsettled.clear()
    process.nextTick(() => {
      try {
        if (error !== undefined) this.emit('error', error)
      } finally {
        this.emit('close')
      }
    })
  }

  /** @param move where the message goes; when that throws it stays unsettled */
  #settle({ deliveryTag }: Pick<MemoryMessage, 'deliveryTag'>, move: (queue: Queue, entry: Entry) => void): void {
    this.#requireOpen()
    const delivery = this.#unsettled.get(deliveryTag)
    if (delivery === undefined) throw unknownDelivery(deliveryTag)
    move(delivery.queue, delivery.entry)
    this.#unsettled.delete(deliveryTag)
    delivery.consumer.inHand--
    delivery.queue.wake()
  }

  #requireOpen(): void {
    if (this.#closed) throw new Error('the client is closed')
  }
}

class Consumer implements QueueConsumer {
  inHand = 0
  readonly #prefetch: number
  readonly #deliver: (queue: Queue, entry: Entry) => void

  constructor(prefetch: number, deliver: (queue: Queue, entry: Entry) => void) {
    this.#prefetch = prefetch
    this.#deliver = deliver
  }

  hasRoom(): boolean {
    return this.inHand < this.#prefetch
  }

  take(queue: Queue, entry: Entry): void {
    this.inHand++
    this.#deliver(queue, entry)
  }
}

/** @throws TypeError */
export function checkPublished(queue: unknown, payload: unknown): void {
  if (typeof queue !== 'string' || queue === '') throw new TypeError('the name of the queue must be a text')
  if (payload !== null && !(payload instanceof Uint8Array)) throw new TypeError('the payload must be bytes, or null')
}

/** The error for settling what is not in hand: unknown, settled before, or another client's. */
export function unknownDelivery(deliveryTag: unknown): Error {
  return new Error(`no unsettled message has the delivery tag ${String(deliveryTag)}`)
}
