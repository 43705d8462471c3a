import type { DeadLetter } from '../../src/dead-letter.ts'
import type { Admission, Delivery } from '../../src/guard.ts'
import { NO_HEADERS, type ReceivedMessage } from '../../src/message.ts'
import { Inspection, mark } from '../../src/verdict.ts'
import type { GuardedChannel } from './channel.ts'
import type { AmqpMessage } from './client.ts'
import { toReceived, toView } from './message.ts'
import type { ReadQueue } from './queue.ts'

/**
 * A delivery as the guard takes it. Without acknowledgements the broker has forgotten the message already. One object a
 * message and no closures, as there are many.
 */
export abstract class AmqpDelivery implements Delivery<AmqpMessage> {
  readonly native: AmqpMessage
  readonly received: ReceivedMessage
  protected readonly channel: GuardedChannel
  protected readonly from: ReadQueue

  constructor(channel: GuardedChannel, from: ReadQueue, raw: AmqpMessage) {
    this.native = raw
    this.received = toReceived(raw, from.routes)
    this.channel = channel
    this.from = from
  }

  abstract handle(admission: Admission): void | Promise<void>

  acknowledge(): void {
    if (!this.from.noAck) this.channel.settlements.settle('ack', this.native)
  }

  /** A stream has no dead-lettering of its own, and does not take a `reject`. */
  get reject(): (() => void) | undefined {
    const { noAck, routes } = this.from
    return noAck || routes.reader !== undefined ? undefined : this.#reject
  }

  deadLetter(letter: DeadLetter<AmqpMessage>): Promise<void> {
    return this.channel.sink.store(this.from.deadLetters, letter)
  }

  /** The message for the handler: stripped to what was signed, or as it is where the policy lets it pass unverified. */
  view(admission: Admission): AmqpMessage {
    const { gone } = this.channel
    const { verdict, verified, lease } = admission
    if (verified !== undefined) return toView(this.native, this.received, verified, admission, gone)
    mark(this.native, new Inspection(verdict, NO_HEADERS, lease, gone))
    return this.native
  }

  #reject(): void {
    this.channel.settlements.settle('reject', this.native)
  }
}
