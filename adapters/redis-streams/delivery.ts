import { type DeadLetter, explanationHeaders } from '../../src/dead-letter.ts'
import type { Admission, Delivery } from '../../src/guard.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import type { ReceivedEntry, StreamEntry } from './message.ts'

type Handle = (admission: Admission) => void | Promise<void>

/** An entry on its way through the guard. */
export class EntryDelivery implements Delivery<StreamEntry> {
  readonly native: StreamEntry
  readonly received: ReceivedEntry
  readonly handle: Handle
  readonly held: () => void
  readonly #sink: DeadLetterSink
  #acknowledged = false

  constructor(
    entry: StreamEntry,
    received: ReceivedEntry,
    sink: DeadLetterSink,
    handle: Handle,
    held: () => void = nothing,
  ) {
    this.native = entry
    this.received = received
    this.handle = handle
    this.held = held
    this.#sink = sink
  }

  acknowledge(): void | Promise<void> {
    if (!this.#acknowledged) return this.#sink.acknowledge(this.native)
  }

  /** One script stores the dead letter and acknowledges. */
  async deadLetter(letter: DeadLetter<StreamEntry>): Promise<void> {
    await this.#sink.store(this.native, explanationHeaders(letter))
    this.#acknowledged = true
  }
}

function nothing(): undefined {
  return undefined
}
