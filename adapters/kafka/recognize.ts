import { SetupError } from '../../src/errors.ts'
import { quote } from '../../src/text.ts'
import { isWrapped, originalOf } from '../../src/wrapping.ts'
import { type ConsumerLike, has, isConfluent, type KafkaLike, type ProducerLike } from './client.ts'

/**
 * What the clients are known by, in all of their versions that are supported: kafkajs 2.x and the KafkaJS API of
 * @confluentinc/kafka-javascript 1.x. Methods of the right names are not enough: what is taken for something else is
 * neither signed nor checked.
 */

export function isKafka(client: unknown): client is KafkaLike {
  if (!isObject(client) || !has(client, 'producer', 'consumer', 'admin')) return false
  return isKafkaOfKafkajs(client as KafkaLike) || isKafkaOfConfluent(client as KafkaLike)
}

export function isProducer(client: unknown): client is ProducerLike {
  if (!isObject(client) || !has(client, 'connect', 'disconnect', 'send', 'sendBatch', 'transaction', 'logger'))
    return false
  if (isConfluent(client)) return isOfClass(client, '_getInternalClient') && has(client, 'flush', 'sendOffsets')
  return eventOf(client, 'CONNECT') === 'producer.connect' && has(client, 'on', 'isIdempotent')
}

export function isConsumer(client: unknown): client is ConsumerLike {
  if (
    !isObject(client) ||
    !has(client, 'connect', 'disconnect', 'subscribe', 'run', 'seek', 'pause', 'commitOffsets')
  ) {
    return false
  }
  if (isConfluent(client)) return isOfClass(client, '_getInternalClient') && has(client, 'assignment', 'committed')
  return eventOf(client, 'GROUP_JOIN') === 'consumer.group_join' && has(client, 'on', 'stop', 'describeGroup')
}

/** kafkajs keeps what is private under symbols of these names, on every instance. */
function isKafkaOfKafkajs(kafka: KafkaLike): boolean {
  for (let at: object | null = kafka; at !== null; at = Object.getPrototypeOf(at)) {
    const names = Object.getOwnPropertySymbols(at).map(({ description }) => description)
    if (names.includes('private:Kafka:createCluster')) return has(kafka, 'logger')
  }
  return false
}

/**
 * The Confluent client's `Kafka` shows nothing but three methods, so it is known by what it makes: a producer that is not
 * connected is no more than a copy of its settings.
 */
function isKafkaOfConfluent(kafka: KafkaLike): boolean {
  if (isWrapped(kafka)) return true
  if (!isOfClass(kafka, 'producer', 'Kafka') || has(kafka, 'logger')) return false
  try {
    const made: unknown = originalOf(kafka, 'producer')()
    return isProducer(made) && isConfluent(made)
  } catch {
    // It was none, or one that can make no producer.
    return false
  }
}

/** Whether a class, of that name if one is given, brings the method. It may be replaced on the object, as tracers do. */
function isOfClass(client: object, method: string, name?: string): boolean {
  for (let at: object | null = Object.getPrototypeOf(client); at !== null; at = Object.getPrototypeOf(at)) {
    const made: unknown = at.constructor
    if (typeof made !== 'function' || made === Object || !Object.hasOwn(at, method)) continue
    if (name === undefined || made.name === name) return true
  }
  return false
}

function eventOf(client: object, name: string): unknown {
  return (client as { events?: Record<string, unknown> }).events?.[name]
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** By their methods, what is given by mistake. */
const LOOKS_LIKE: readonly (readonly [what: string, ...methods: readonly string[]])[] = [
  ['a transaction of kafkajs; wrap the producer that begins it', 'commit', 'abort', 'send'],
  ['a consumer', 'subscribe', 'run', 'seek'],
  ['a producer', 'send', 'sendBatch', 'transaction'],
  ['an admin client, which neither sends nor receives', 'createTopics', 'fetchTopicMetadata'],
  ['an admin client, which neither sends nor receives', 'createTopics', 'connect'],
  ['a client of the other API of @confluentinc/kafka-javascript; use its KafkaJS.Kafka', 'produce', 'setPollInterval'],
  ['a client of the other API of @confluentinc/kafka-javascript; use its KafkaJS.Kafka', 'consume', 'assignments'],
  ['a client of @platformatic/kafka', 'asStream', 'metadata'],
  ['a client of @platformatic/kafka', 'joinGroup', 'metadata'],
  ['a channel of amqplib; use queue-key-auth/rabbitmq', 'sendToQueue', 'assertQueue'],
  ['a connection of amqplib; use queue-key-auth/rabbitmq', 'createChannel'],
  ['a client of ioredis; use queue-key-auth/redis-streams', 'xadd', 'duplicate'],
  ['a client of node-redis', 'xAdd', 'sendCommand'],
  ['a connection of NATS', 'publish', 'jetstream'],
]

/** @param wanted what would have been right, such as `a producer` */
export function unsupported(client: unknown, wanted: string): SetupError {
  return new SetupError(
    'client-unsupported',
    `expected ${wanted} of kafkajs 2 or of the KafkaJS API of @confluentinc/kafka-javascript 1, but this looks like ${nameOf(client)}`,
  )
}

function nameOf(client: unknown): string {
  if (client === null || client === undefined) return String(client)
  if (typeof client === 'function') return `the class or function ${quote(client.name)}; pass what it makes`
  if (typeof client !== 'object') return `a ${typeof client}`
  if ('KafkaJS' in client) return 'the module @confluentinc/kafka-javascript; pass a KafkaJS.Kafka'
  if ('Kafka' in client && typeof client.Kafka === 'function') return 'the module kafkajs; pass a Kafka'
  const known = LOOKS_LIKE.find(([, ...methods]) => has(client, ...methods))?.[0]
  return known ?? `an object of ${quote(client.constructor?.name || 'no class')}`
}
