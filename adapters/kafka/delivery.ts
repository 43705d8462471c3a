import type { DeadLetter } from '../../src/dead-letter.ts'
import type { Admission, Delivery } from '../../src/guard.ts'
import type { ReceivedMessage } from '../../src/message.ts'
import type { KafkaMessage } from './client.ts'
import type { KafkaRecord } from './index.ts'
import { toView } from './message.ts'
import type { Partition } from './partition.ts'
import { type Again, handledAgain } from './progress.ts'

/** A record on its way through the guard. One object a record, as there are many. */
export abstract class RecordDelivery implements Delivery<KafkaRecord> {
  readonly message: KafkaMessage
  readonly received: ReceivedMessage
  readonly #partition: Partition
  readonly #again: Again | undefined

  constructor(message: KafkaMessage, partition: Partition) {
    this.message = message
    this.#again = partition.reach(message.offset)
    this.received = partition.read(message, this.#again !== undefined)
    this.#partition = partition
  }

  get native(): KafkaRecord {
    return { topic: this.#partition.topic, partition: this.#partition.number, message: this.message }
  }

  abstract handle(admission: Admission): void | Promise<void>
  abstract acknowledge(): void

  /** The record was let go, but its dead letter is still being written. */
  abandon(): void {}

  async deadLetter(letter: DeadLetter<KafkaRecord>): Promise<void> {
    const storing = this.#partition.store(letter)
    abandonLate(storing, this.#partition.signal, this)
    await storing
  }

  /** The user is through with it. */
  commit(admission: Admission): boolean | Promise<boolean> {
    const committed = admission.commit()
    const again = this.#again
    if (again === undefined) return committed
    const note = (done: boolean): boolean => {
      if (done) handledAgain(again, Number(this.message.offset))
      return done
    }
    return committed instanceof Promise ? committed.then(note) : note(committed)
  }

  /** What the handler gets. */
  view(admission: Admission): KafkaMessage {
    return toView(this.message, this.received, admission)
  }
}

/** How long a dead letter that is being written may still take when its record is let go. */
const PATIENCE_MS = 2_000

/** A dead letter under way does not keep the client from ending: whoever gets the record next writes it again. */
function abandonLate(storing: Promise<void>, signal: AbortSignal, delivery: RecordDelivery): void {
  let timer: NodeJS.Timeout | undefined
  const letGo = (): void => {
    timer = setTimeout(() => delivery.abandon(), PATIENCE_MS)
  }
  if (signal.aborted) letGo()
  else signal.addEventListener('abort', letGo, { once: true })
  const stop = (): void => {
    clearTimeout(timer)
    signal.removeEventListener('abort', letGo)
  }
  storing.then(stop, stop)
}
