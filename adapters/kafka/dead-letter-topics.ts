import { type DeadLetter, isParked } from '../../src/dead-letter.ts'
import { SetupError } from '../../src/errors.ts'
import { quote } from '../../src/text.ts'
import type { Rejected } from '../../src/verdict.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import type { KafkaConsumerOptions, KafkaOnRejected, KafkaRecord } from './index.ts'

/** What the topic is called, after that of the others, for those that came back too often. */
const PARKED = '-parked'

/** Where the dead letters of one consumer go: which topic, and when that is looked up. */
export class DeadLetterTopics {
  readonly #options: KafkaConsumerOptions
  readonly #sink: DeadLetterSink | undefined
  /** by name: settles when the topic can be written to, for all letters of one moment */
  readonly #prepared = new Map<string, Promise<void>>()
  /** topics that the consumer asked for by their names */
  readonly #named = new Set<string>()
  #isOpen = false

  constructor(options: KafkaConsumerOptions, sink: DeadLetterSink | undefined) {
    this.#options = options
    this.#sink = sink
  }

  /** What becomes of a rejected record. */
  readonly choose = (rejected: Rejected, record: KafkaRecord): KafkaOnRejected => {
    const { onRejected = 'dead-letter', deadLetter } = this.#options
    // A sink of the user's own hears of every one.
    if (deadLetter === undefined && this.#isInPlace(record)) return 'acknowledge'
    return typeof onRejected === 'function' ? onRejected(rejected, record) : onRejected
  }

  /** The consumer reads a topic that it named, and not just one that matches a pattern. */
  add(topic: string): void {
    this.#named.add(topic)
  }

  /**
   * Before the consumer runs, also if it did before: looks up where the letters of the topics it named go.
   *
   * @throws SetupError `dead-letters-unavailable`, `option-invalid`
   */
  async open(): Promise<void> {
    const { onRejected, deadLetter } = this.#options
    if (this.#sink === undefined || deadLetter !== undefined || onRejected === 'acknowledge') return
    if (!this.#isOpen) this.#sink.acquire()
    this.#isOpen = true
    const unprepared = [...this.#named].filter((topic) => !this.#prepared.has(this.#nameFor(topic)))
    // Of a topic that is missing, the one for dead letters is made when it has any.
    const present = await this.#sink.existing(unprepared)
    await this.#prepare(
      this.#sink,
      present.map((topic) => this.#nameFor(topic)),
    )
  }

  async store(letter: DeadLetter<KafkaRecord>): Promise<void> {
    const { topic } = letter.message
    if (this.#sink === undefined || !this.#isOpen) throw new Error('the consumer has nowhere to write dead letters')
    const name = this.#nameFor(topic)
    const target = isParked(letter) ? `${name}${PARKED}` : name
    // The topics of a pattern are known when their records come.
    await this.#prepare(this.#sink, [target])
    await this.#sink.store(target, letter)
  }

  /** The consumer has disconnected. */
  async close(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    await this.#sink?.release()
  }

  async #prepare(sink: DeadLetterSink, names: readonly string[]): Promise<void> {
    const unprepared = names.filter((name) => !this.#prepared.has(name))
    if (unprepared.length > 0) {
      const preparing = sink.prepare(unprepared)
      for (const name of unprepared) {
        this.#prepared.set(name, preparing)
        // What failed is tried again by whoever comes next.
        preparing.catch(() => this.#prepared.delete(name))
      }
    }
    await Promise.all(names.map((name) => this.#prepared.get(name)))
  }

  #nameFor(topic: string): string {
    const name = this.#options.deadLetterName?.(topic) ?? `${topic}-dlt`
    if (name !== topic) return name
    throw new SetupError('option-invalid', `deadLetterName gives ${quote(topic)} for itself; name another topic`)
  }

  /**
   * A pattern of topics may match those of dead letters too. What lies there is where it belongs, and a letter for each
   * letter would have no end. Of which topic it is, is told by its name or, whatever the names, by the letter itself.
   */
  #isInPlace({ topic, message }: KafkaRecord): boolean {
    if (this.#named.has(topic)) return false
    if (this.#prepared.has(topic)) return true
    const { deadLetterName } = this.#options
    if (deadLetterName === undefined) return topic.endsWith('-dlt') || topic.endsWith(`-dlt${PARKED}`)
    const told: unknown = (message.headers as Record<string, unknown> | undefined)?.['queueauth-queue']
    if (!(told instanceof Uint8Array)) return false
    const name = deadLetterName(String(told))
    return topic === name || topic === `${name}${PARKED}`
  }
}
