import { explanationHeaders } from '../../src/dead-letter.ts'
import type { Admission, Delivery } from '../../src/guard.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import { type StreamEntry, toReceived } from './message.ts'

/** An entry on its way through the guard. */
export function deliveryOf<Native>(
  entry: StreamEntry,
  native: Native,
  sink: DeadLetterSink,
  handle: (admission: Admission) => void | Promise<void>,
): Delivery<Native> {
  let acknowledged = false
  return {
    received: toReceived(entry),
    native,
    handle,
    // One script stores the dead letter and acknowledges.
    acknowledge: () => (acknowledged ? undefined : sink.acknowledge(entry)),
    async deadLetter(letter) {
      await sink.store(entry, explanationHeaders(letter))
      acknowledged = true
    },
  }
}
