import type { CoveredProperties, HeaderValue } from '../../src/message.ts'

/** A message as the broker has it. */
export interface QueuedMessage {
  /** the queue it lies in */
  readonly queue: string
  /** null: it has no body */
  readonly payload: Buffer | null
  readonly headers: Record<string, HeaderValue>
  readonly properties: CoveredProperties
  /** it was handed out before and came back unsettled */
  readonly redelivered: boolean
}

/** What was published, and its place in the queue. */
export interface Entry {
  readonly message: QueuedMessage
  readonly sequence: number
}

export interface QueueConsumer {
  hasRoom(): boolean
  take(queue: Queue, entry: Entry): void
}

/** First in, first out; what comes back takes its old place. Consumers take turns. */
export class Queue {
  readonly name: string
  maxLength: number = Number.POSITIVE_INFINITY
  deadLetterQueue: string | undefined
  readonly #ready: Entry[] = []
  readonly #consumers: QueueConsumer[] = []
  #published = 0
  #turn = 0
  #scheduled = false

  constructor(name: string) {
    this.name = name
  }

  get ready(): readonly Entry[] {
    return this.#ready
  }

  /** @throws Error when the queue is full */
  add(message: QueuedMessage): void {
    if (this.#ready.length >= this.maxLength) throw new Error(`queue "${this.name}" is full`)
    this.#ready.push({ message, sequence: this.#published++ })
    this.#schedule()
  }

  giveBack({ message, sequence }: Entry): void {
    const behind = this.#ready.findIndex((other) => other.sequence > sequence)
    const entry = { message: { ...message, redelivered: true }, sequence }
    this.#ready.splice(behind < 0 ? this.#ready.length : behind, 0, entry)
    this.#schedule()
  }

  attach(consumer: QueueConsumer): void {
    this.#consumers.push(consumer)
    this.#schedule()
  }

  detach(consumer: QueueConsumer): void {
    const index = this.#consumers.indexOf(consumer)
    if (index >= 0) this.#consumers.splice(index, 1)
  }

  /** A consumer has room again. */
  wake(): void {
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled || this.#ready.length === 0 || this.#consumers.length === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#deliver()
    })
  }

  /** Only what is here now: a message that is given back at once must not keep the event loop to itself. */
  #deliver(): void {
    for (let count = this.#ready.length; count > 0; count--) {
      const consumer = this.#nextConsumer()
      const entry = consumer && this.#ready.shift()
      if (consumer === undefined || entry === undefined) return
      consumer.take(this, entry)
    }
    this.#schedule()
  }

  #nextConsumer(): QueueConsumer | undefined {
    for (let tried = 0; tried < this.#consumers.length; tried++) {
      const consumer = this.#consumers[this.#turn++ % this.#consumers.length]
      if (consumer?.hasRoom()) return consumer
    }
    return undefined
  }
}
