/** Checked by the compiler alone: what the wrappers take is what the clients are, and it comes back as it was. */
import type { AmqpConnectionManager, AmqpConnectionManagerClass, ChannelWrapper } from 'amqp-connection-manager'
import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage, RecoveringChannelModel } from 'amqplib'
import type * as callbacks from 'amqplib/callback_api'
import type { AmqpMessage, ChannelLike, ConnectionLike } from '../../adapters/rabbitmq/client.ts'
import {
  isWrapped,
  type RabbitmqConsumerOptions,
  type RabbitmqProducerOptions,
  wrapConsumer,
  wrapProducer,
} from '../../adapters/rabbitmq/index.ts'
import { type Sender, type Signer, senderOf, type Verifier } from '../../src/index.ts'

declare const signer: Signer
declare const verifier: Verifier

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

declare const clients: {
  connection: ChannelModel
  recovering: RecoveringChannelModel
  channel: Channel
  confirmChannel: ConfirmChannel
  callbackConnection: callbacks.Connection
  callbackRecovering: callbacks.RecoveringConnection
  callbackChannel: callbacks.Channel
  callbackConfirmChannel: callbacks.ConfirmChannel
  manager: AmqpConnectionManager
  managerObject: AmqpConnectionManagerClass
  wrapper: ChannelWrapper
}

const returned = {
  connection: wrapProducer(clients.connection, signer),
  recovering: wrapProducer(clients.recovering, signer),
  channel: wrapProducer(clients.channel, signer),
  confirmChannel: wrapProducer(clients.confirmChannel, signer, { preserveToken: true }),
  callbackConnection: wrapProducer(clients.callbackConnection, signer),
  callbackRecovering: wrapProducer(clients.callbackRecovering, signer),
  callbackChannel: wrapProducer(clients.callbackChannel, signer),
  callbackConfirmChannel: wrapProducer(clients.callbackConfirmChannel, signer),
  manager: wrapProducer(clients.manager, signer),
  managerObject: wrapProducer(clients.managerObject, signer),
  wrapper: wrapProducer(clients.wrapper, signer),
}
export const sameProducers: Same<typeof clients, typeof returned> = true

const consuming = {
  connection: wrapConsumer(clients.connection, verifier),
  recovering: wrapConsumer(clients.recovering, verifier),
  channel: wrapConsumer(clients.channel, verifier),
  confirmChannel: wrapConsumer(clients.confirmChannel, verifier, { onRejected: 'reject' }),
  callbackConnection: wrapConsumer(clients.callbackConnection, verifier),
  callbackRecovering: wrapConsumer(clients.callbackRecovering, verifier),
  callbackChannel: wrapConsumer(clients.callbackChannel, verifier),
  callbackConfirmChannel: wrapConsumer(clients.callbackConfirmChannel, verifier),
  manager: wrapConsumer(clients.manager, verifier),
  managerObject: wrapConsumer(clients.managerObject, verifier),
  wrapper: wrapConsumer(clients.wrapper, verifier),
}
export const sameConsumers: Same<typeof clients, typeof consuming> = true

// The structural types are what the real clients are.
export const channels: readonly ChannelLike[] = [clients.channel, clients.confirmChannel, clients.callbackChannel]
export const connections: readonly ConnectionLike[] = [clients.connection]

// What a handler gets can be asked for its sender.
export const sender: (message: ConsumeMessage) => Sender | undefined = senderOf
export const wrapped: boolean = isWrapped(clients.channel, 'producer')

export const options: RabbitmqConsumerOptions = {
  onRejected: ({ code }, message: AmqpMessage) =>
    code === 'token-missing' && message.fields.redelivered ? 'reject' : 'dead-letter',
  deadLetter: async ({ message, reason }) => console.log(reason, message.content.length),
  deadLetterName: (queue) => `${queue}.dlq`,
  queueName: (queue) => queue,
  onVerdict: (verdict, message) => console.log(verdict.outcome, message.fields.exchange),
  noAck: 'drop',
  maxHoldSeconds: 60,
}
export const producing: RabbitmqProducerOptions = { preserveToken: true }

declare const redis: { publish(channel: string, message: string): Promise<number>; subscribe(channel: string): void }
// @ts-expect-error a Redis client is not one of RabbitMQ's
wrapProducer(redis, signer)
// @ts-expect-error
wrapConsumer(redis, verifier)
// @ts-expect-error a connection that was not awaited
wrapProducer(Promise.resolve(clients.connection), signer)
// @ts-expect-error a signer signs, a verifier verifies
wrapProducer(clients.channel, verifier)
// @ts-expect-error
wrapConsumer(clients.channel, signer)
// @ts-expect-error no such disposition
wrapConsumer(clients.channel, verifier, { onRejected: 'drop' })
// @ts-expect-error noAck is asked for by name
wrapConsumer(clients.channel, verifier, { noAck: true })
