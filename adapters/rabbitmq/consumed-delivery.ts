import type { DeadLetter } from '../../src/dead-letter.ts'
import type { Admission } from '../../src/guard.ts'
import type { GuardedChannel } from './channel.ts'
import type { AmqpMessage } from './client.ts'
import { AmqpDelivery } from './delivery.ts'
import type { ReadQueue } from './queue.ts'

/** The consumer that hands its deliveries to the user's code. */
interface Handling {
  handle(delivery: ConsumedDelivery, admission: Admission): void | Promise<void>
}

const NOT_FOR_STREAMS =
  'a stream drops tables and lists, and changes bytes that are no UTF-8: send such headers as text, or leave them unsigned'

/** What a consumer was sent. */
export class ConsumedDelivery extends AmqpDelivery {
  readonly #consumer: Handling

  constructor(channel: GuardedChannel, from: ReadQueue, raw: AmqpMessage, consumer: Handling) {
    super(channel, from, raw)
    this.#consumer = consumer
  }

  handle(admission: Admission): void | Promise<void> {
    return this.#consumer.handle(this, admission)
  }

  override deadLetter(letter: DeadLetter<AmqpMessage>): Promise<void> {
    const isOfStream = this.from.routes.reader !== undefined && letter.reason === 'headers-mismatch'
    return super.deadLetter(isOfStream ? { ...letter, detail: `${letter.detail}; ${NOT_FOR_STREAMS}` } : letter)
  }
}
