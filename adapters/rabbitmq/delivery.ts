import type { Admission, Delivery } from '../../src/guard.ts'
import type { ReceivedMessage } from '../../src/message.ts'
import { mark } from '../../src/verdict.ts'
import type { GuardedChannel } from './channel.ts'
import type { AmqpMessage } from './client.ts'
import { toReceived, toView } from './message.ts'
import type { ReadQueue } from './queue.ts'

/**
 * A delivery as the guard takes it. Without acknowledgements the broker has forgotten the message already.
 *
 * @param handle gets the message for the handler
 */
export function deliveryOf(
  channel: GuardedChannel,
  { routes, noAck, deadLetters }: ReadQueue,
  raw: AmqpMessage,
  handle: (admission: Admission, view: () => AmqpMessage) => void | Promise<void>,
): Delivery<AmqpMessage> {
  const received = toReceived(raw, routes)
  const delivery: Delivery<AmqpMessage> = {
    received,
    native: raw,
    handle: (admission) => handle(admission, () => viewOf(channel, raw, received, admission)),
    acknowledge: () => (noAck ? undefined : channel.settlements.settle('ack', raw)),
    deadLetter: (letter) => channel.sink.store(deadLetters, letter),
  }
  if (!noAck) delivery.reject = () => channel.settlements.settle('reject', raw)
  return delivery
}

/** The message for the handler: stripped to what was signed, or as it is where the policy lets it pass unverified. */
function viewOf(
  { gone }: GuardedChannel,
  raw: AmqpMessage,
  received: ReceivedMessage,
  admission: Admission,
): AmqpMessage {
  const { verdict, verified, release } = admission
  const inspection = { verdict, release, handedOver: { lease: admission, gone } }
  if (verified !== undefined) return toView(raw, received, verified, inspection)
  mark(raw, { ...inspection, unsignedHeaders: {} })
  return raw
}
