import { setImmediate as turn } from 'node:timers/promises'
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import { Redis } from 'ioredis'
import { type Consumer, Kafka } from 'kafkajs'
import {
  AuthorizedKeys,
  address,
  type ConsumerOptions,
  type Message,
  type ReceivedMessage,
  RedisReplayStore,
  RejectedError,
  type ReplayStore,
  SetupError,
  type SetupErrorCode,
  Signer,
  senderOf,
  Verifier,
} from 'queue-key-auth'
import { type JwtService, KeyStore } from 'queue-key-auth/jwt-key-auth'
import { wrapConsumer as wrapKafka, wrapProducer as wrapKafkaProducer } from 'queue-key-auth/kafka'
import { MemoryBroker, type MemoryMessage, wrapConsumer, wrapProducer } from 'queue-key-auth/memory'
import { wrapConsumer as wrapRabbitmq, wrapProducer as wrapRabbitmqProducer } from 'queue-key-auth/rabbitmq'
import { consumeStream, wrapProducer as wrapRedis } from 'queue-key-auth/redis-streams'
import { testKeys } from 'queue-key-auth/testing'

// What is wrong must be an error: a declaration that is not found makes everything `any`.
// @ts-expect-error: there is no such algorithm
export const wrong = (key: string): Signer => Signer.fromKey(key, { service: 'checkout', algorithm: 'HS256' })
// @ts-expect-error: a text is no client
export const notWrapped = (signer: Signer): unknown => wrapRabbitmq('amqp://localhost', signer)
// @ts-expect-error: keys are needed
export const noKeys = (): Verifier => new Verifier({})

export async function clients(signer: Signer, verifier: Verifier): Promise<void> {
  const connection: ChannelModel = wrapRabbitmq(
    wrapRabbitmqProducer(await connect('amqp://localhost'), signer),
    verifier,
  )
  const channel: ConfirmChannel = wrapRabbitmqProducer(await connection.createConfirmChannel(), signer)
  await channel.consume('orders', (received) => received && channel.ack(received))
  const kafka: Kafka = wrapKafka(wrapKafkaProducer(new Kafka({ brokers: [] }), signer), verifier)
  const consumer: Consumer = kafka.consumer({ groupId: 'billing' })
  wrapKafka(consumer, verifier, { deadLetterProducer: kafka.producer() })
  const redis: Redis = wrapRedis(new Redis(), signer)
  new RedisReplayStore(redis)
  const names = { stream: 'orders', group: 'billing', consumer: 'c' }
  await consumeStream({ redis, ...names, verifier, handler: ({ id, values }) => `${id} ${values.order}` }).stop()
}

export const store = (redis: ConstructorParameters<typeof RedisReplayStore>[0]): ReplayStore =>
  new RedisReplayStore(redis)
export const jwt: JwtService | undefined = undefined
export const keyStore: KeyStore = new KeyStore()
export const options: ConsumerOptions<MemoryMessage> = {
  onRejected: ({ code }) => (code === 'key-unknown' ? 'dead-letter' : 'acknowledge'),
}
export const message: Message = { destination: address('amqp', 'orders'), payload: null }
export const codeOf = (error: unknown): SetupErrorCode | undefined =>
  error instanceof SetupError ? error.code : undefined
export const verify = (verifier: Verifier, received: ReceivedMessage): string | RejectedError => {
  try {
    return verifier.verify(received).sender.service
  } catch (error) {
    if (error instanceof RejectedError) return error
    throw error
  }
}
export const jwks = (): AuthorizedKeys =>
  AuthorizedKeys.fromJwks(
    { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AAAA', service: 'checkout' }] },
    { orders: ['checkout'] },
  )

async function main(): Promise<void> {
  const { signer, verifier } = testKeys('checkout', 'orders')
  const broker = new MemoryBroker()
  const producer = wrapProducer(broker.connect(), signer)
  const consumer = wrapConsumer(broker.connect(), verifier)
  const handled: (string | undefined)[] = []
  await consumer.consume('orders', (received) => {
    handled.push(senderOf(received)?.service)
    consumer.ack(received)
  })
  producer.publish('orders', Buffer.from('signed'))
  await turn()
  await turn()
  console.log(`handled ${handled.join()}`)
}

void main()
