import type { Admission, Delivery } from '../../src/guard.ts'
import { mark } from '../../src/verdict.ts'
import type { GuardedChannel } from './channel.ts'
import type { AmqpMessage } from './client.ts'
import { toReceived, toView } from './message.ts'
import type { ReadQueue } from './queue.ts'

/** A delivery as the guard takes it. Without acknowledgements the broker has forgotten the message already. */
export function deliveryOf(
  channel: GuardedChannel,
  { queue, name, noAck, deadLetters }: ReadQueue,
  raw: AmqpMessage,
  handle: Delivery<AmqpMessage>['handle'],
): Delivery<AmqpMessage> {
  return {
    received: toReceived(raw, queue, name),
    native: raw,
    handle,
    acknowledge: () => (noAck ? undefined : channel.settlements.settle('ack', raw)),
    ...(!noAck && { reject: () => channel.settlements.settle('reject', raw) }),
    deadLetter: (letter) => channel.sink.store(deadLetters, letter),
  }
}

/** The message for the handler: stripped to what was signed, or as it is where the policy lets it pass unverified. */
export function viewOf({ gone }: GuardedChannel, raw: AmqpMessage, admission: Admission): AmqpMessage {
  const { verdict, verified, release } = admission
  const inspection = { verdict, release, handedOver: { lease: admission, gone } }
  if (verified !== undefined) return toView(raw, verified, inspection)
  mark(raw, { ...inspection, unsignedHeaders: {} })
  return raw
}
