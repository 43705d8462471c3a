import { createRequire } from 'node:module'
import { KafkaJsInstrumentation } from '@opentelemetry/instrumentation-kafkajs'
import { Redis as Ioredis } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import { Kafka, logLevel } from 'kafkajs'
import { createClient } from 'redis'
import { createClient as createClient4 } from 'redis-4'
import { createClient as createClient5 } from 'redis-5'
import { describe, expect, it } from 'vitest'
import { isWrapped, wrapConsumer, wrapProducer } from '../../../adapters/kafka/index.ts'
import { testKeys } from '../../../src/testing.ts'
import { findConfluent } from '../../kafka/find-confluent.ts'

const require = createRequire(import.meta.url)
const { Channel } = require('amqplib-0.10/lib/channel_model') as { Channel: { prototype: object } }
const { signer, verifier } = testKeys('checkout')
const unsupported = expect.objectContaining({ code: 'client-unsupported' })
const producing = wrapProducer as (client: unknown, ...rest: unknown[]) => unknown
const consuming = wrapConsumer as (client: unknown, ...rest: unknown[]) => unknown
const options = { onRejected: 'acknowledge' }

const noop = (): void => undefined
const methods = (...names: string[]): object => Object.fromEntries(names.map((name) => [name, noop]))

/** Nothing is connected here. */
const newKafka = (): Kafka => new Kafka({ brokers: ['127.0.0.1:1'], logLevel: logLevel.NOTHING })

/** What the KafkaJS API of the Confluent client shows. */
class Client {
  #client: object | null = null
  _getInternalClient(): object | null {
    return this.#client
  }
  dependentAdmin(): void {}
  connect(): void {}
  disconnect(): void {}
  logger(): void {}
}
class ModelProducer extends Client {
  send(): void {}
  sendBatch(): void {}
  transaction(): void {}
  commit(): void {}
  abort(): void {}
  sendOffsets(): void {}
  flush(): void {}
}
class ModelConsumer extends Client {
  subscribe(): void {}
  run(): void {}
  seek(): void {}
  pause(): void {}
  commitOffsets(): void {}
  committed(): void {}
  assignment(): void {}
}
const ModelKafka = {
  Kafka: class Kafka {
    producer(): ModelProducer {
      return new ModelProducer()
    }
    consumer(): ModelConsumer {
      return new ModelConsumer()
    }
    admin(): object {
      return methods('connect', 'disconnect', 'createTopics', 'listTopics')
    }
  },
}.Kafka as unknown as typeof Kafka

const confluentGroup = { kafkaJS: { groupId: 'g' } } as never

/** Where the instrumentation stands as it does when it looks at what is required. */
function traced(kafka: Kafka): Kafka {
  const patches = new KafkaJsInstrumentation({ enabled: false }) as unknown as Record<
    string,
    () => (original: unknown) => never
  >
  kafka.producer = patches._getProducerPatch?.()(kafka.producer) as never
  kafka.consumer = patches._getConsumerPatch?.()(kafka.consumer) as never
  return kafka
}

/** The client itself where it is installed, see test:confluent. */
const installed = findConfluent()?.Kafka as typeof Kafka | undefined
const confluents: [string, typeof Kafka][] = [['a model of the Confluent client', ModelKafka]]
if (installed !== undefined) confluents.push(['the Confluent client', installed])

describe('clients that are known', () => {
  class Own extends Kafka {
    readonly mine = true
  }
  const kafkas: [string, () => Kafka, never?][] = [
    ['kafkajs', newKafka],
    ['a subclass of it', () => new Own({ brokers: ['127.0.0.1:1'], logLevel: 0 })],
    ['an object that inherits from it', () => Object.create(newKafka()) as Kafka],
    ['a traced one', () => traced(newKafka())],
    ...confluents.flatMap(([what, Confluent]): [string, () => Kafka, never][] => {
      class OwnConfluent extends Confluent {
        readonly mine = true
      }
      return [
        [what, () => new Confluent({} as never), confluentGroup],
        [`a subclass of ${what}`, () => new OwnConfluent({} as never), confluentGroup],
      ]
    }),
  ]

  it.each(kafkas)('are wrapped, with all they make: %s', (_what, make, config = { groupId: 'g' } as never) => {
    const kafka = make()
    expect(wrapConsumer(wrapProducer(kafka, signer), verifier)).toBe(kafka)
    expect([isWrapped(kafka, 'producer'), isWrapped(kafka, 'consumer')]).toEqual([true, true])
    expect(isWrapped(kafka.producer(), 'producer')).toBe(true)
    expect(isWrapped(kafka.consumer(config), 'consumer')).toBe(true)
    const [producer, consumer] = [make().producer(), make().consumer(config)]
    wrapProducer(producer, signer)
    wrapConsumer(consumer, verifier, { deadLetterProducer: producer })
    expect([isWrapped(producer, 'producer'), isWrapped(consumer, 'consumer')]).toEqual([true, true])
    const traced = traceOnTop(make().producer())
    expect(isWrapped(wrapProducer(traced, signer), 'producer')).toBe(true)
  })
})

/** A method of its own over that of its class. */
function traceOnTop<Client extends { send: unknown }>(client: Client): Client {
  const { send } = client
  client.send = (...args: unknown[]) => (send as (...args: unknown[]) => unknown).apply(client, args)
  return client
}

/** @platformatic/kafka 1.35 wants a newer Node.js: its classes by their methods. */
class PlatformaticProducer {
  send(): void {}
  close(): void {}
  asStream(): void {}
  metadata(): void {}
  beginTransaction(): void {}
}
class PlatformaticConsumer {
  consume(): void {}
  joinGroup(): void {}
  close(): void {}
  metadata(): void {}
}
/** It makes what is not known. */
const { Kafka: OtherKafka } = {
  Kafka: class Kafka {
    producer(): object {
      return methods('connect', 'disconnect', 'send', 'sendBatch', 'transaction', 'logger')
    }
    consumer(): object {
      return {}
    }
    admin(): void {}
  },
}

describe('clients that are not known', () => {
  const lazily = { lazyConnect: true }
  const others: [string, () => unknown][] = [
    ['null', () => null],
    ['undefined', () => undefined],
    ['a text', () => 'kafka'],
    ['a number', () => 1],
    ['the class', () => Kafka],
    ['the module', () => require('kafkajs')],
    ['an empty object', () => ({})],
    ['an object without a prototype', () => Object.create(null)],
    ['an admin client', () => newKafka().admin()],
    ...confluents.map(([what, Confluent]): [string, () => unknown] => [
      `an admin client of ${what}`,
      () => new Confluent({} as never).admin(),
    ]),
    ['a transaction', () => methods('send', 'sendBatch', 'sendOffsets', 'commit', 'abort', 'isActive')],
    ['the shape of a Kafka', () => methods('producer', 'consumer', 'admin', 'logger')],
    ['a class of that name', () => new OtherKafka()],
    [
      'the shape of a producer',
      () => methods('connect', 'disconnect', 'send', 'sendBatch', 'transaction', 'isIdempotent', 'on', 'logger'),
    ],
    [
      'the shape of a Confluent producer',
      () => ({
        ...methods('connect', 'disconnect', 'send', 'sendBatch', 'transaction', 'logger', 'flush', 'sendOffsets'),
        ...methods('_getInternalClient', 'dependentAdmin'),
      }),
    ],
    [
      'the shape of a consumer',
      () => ({
        ...methods('connect', 'disconnect', 'subscribe', 'run', 'seek', 'pause', 'commitOffsets', 'on', 'stop'),
        ...methods('describeGroup', 'resume', 'paused', 'logger'),
        events: {},
      }),
    ],
    ['a producer of @platformatic/kafka', () => new PlatformaticProducer()],
    ['a consumer of @platformatic/kafka', () => new PlatformaticConsumer()],
    ['node-redis 6', () => createClient()],
    ['node-redis 5', () => createClient5()],
    ['node-redis 4', () => createClient4()],
    ['ioredis', () => new Ioredis(lazily)],
    ['iovalkey', () => new Valkey(lazily)],
    ['a channel of amqplib', () => Object.create(Channel.prototype)],
    ['a connection of NATS', () => methods('publish', 'subscribe', 'request', 'jetstream', 'drain', 'close')],
    ['a producer of node-rdkafka', () => methods('connect', 'disconnect', 'produce', 'setPollInterval', 'flush')],
  ]

  it.each(others)('are refused by every verb and left as they are: %s', (_what, make) => {
    const client = make()
    const keys = client instanceof Object ? Reflect.ownKeys(client) : []
    expect(() => producing(client, signer)).toThrow(unsupported)
    expect(() => consuming(client, verifier, options)).toThrow(unsupported)
    const consumer = newKafka().consumer({ groupId: 'g' })
    if (client !== undefined) {
      expect(() => consuming(consumer, verifier, { deadLetterProducer: client })).toThrow(unsupported)
    }
    expect(isWrapped(consumer)).toBe(false)
    expect(isWrapped(client as object)).toBe(false)
    if (client instanceof Object) expect(Reflect.ownKeys(client)).toEqual(keys)
  })

  it('are refused in the other role', () => {
    const clients = [[newKafka(), { groupId: 'g' }] as const].concat(
      confluents.map(([, Confluent]) => [new Confluent({} as never), confluentGroup] as const),
    )
    for (const [kafka, config] of clients) {
      expect(() => producing(kafka.consumer(config), signer)).toThrow(unsupported)
      expect(() => consuming(kafka.producer(), verifier, options)).toThrow(unsupported)
    }
  })

  it('are refused when a Kafka makes them', () => {
    const kafka = newKafka()
    kafka.producer = () => methods('send', 'sendBatch') as never
    kafka.consumer = () => methods('run') as never
    wrapConsumer(wrapProducer(kafka, signer), verifier)
    expect(() => kafka.producer()).toThrow(unsupported)
    expect(() => kafka.consumer({ groupId: 'g' })).toThrow(unsupported)
  })
})
