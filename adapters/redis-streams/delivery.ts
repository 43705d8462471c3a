import { type DeadLetter, explanationHeaders, isParked, type Returned } from '../../src/dead-letter.ts'
import type { Admission, Delivery } from '../../src/guard.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import type { ReceivedEntry, StreamEntry } from './message.ts'

/** An entry on its way through the guard. One object an entry, as there are many. */
export abstract class EntryDelivery implements Delivery<StreamEntry> {
  readonly native: StreamEntry
  readonly received: ReceivedEntry
  readonly #sink: DeadLetterSink
  #acknowledged = false

  constructor(entry: StreamEntry, received: ReceivedEntry, sink: DeadLetterSink) {
    this.native = entry
    this.received = received
    this.#sink = sink
  }

  get returned(): Returned | undefined {
    return this.received.opened?.returned
  }

  abstract handle(admission: Admission): void | Promise<void>

  held(): void {}

  acknowledge(): void | Promise<void> {
    if (!this.#acknowledged) return this.#sink.acknowledge(this.native)
  }

  /** One script stores the dead letter and acknowledges. */
  async deadLetter(letter: DeadLetter<StreamEntry>): Promise<void> {
    const entry = this.received.opened?.entry ?? this.native
    await this.#sink.store(entry, explanationHeaders(letter), isParked(letter))
    this.#acknowledged = true
  }
}
