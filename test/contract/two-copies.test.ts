import { connect } from 'amqplib'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { beforeAll, describe, expect, inject, it, onTestFinished, vi } from 'vitest'
import type * as KafkaAdapter from '../../adapters/kafka/index.ts'
import type * as RabbitmqAdapter from '../../adapters/rabbitmq/index.ts'
import type * as RedisAdapter from '../../adapters/redis-streams/index.ts'
import type * as Core from '../../src/index.ts'
import type * as Testing from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { createTopic } from '../kafka/topics.ts'

/**
 * Two copies of the package in one program, on real brokers: as where `import` and `require` get different builds
 * (docs/commonjs.md). What one copy leaves on a client, a message, a command or a verifier must mean the same to the other.
 */

interface Copy {
  readonly core: typeof Core
  readonly testing: typeof Testing
  readonly rabbitmq: typeof RabbitmqAdapter
  readonly kafka: typeof KafkaAdapter
  readonly redis: typeof RedisAdapter
}

const amqpUrl = inject('amqpUrl')
const redisUrl = inject('redisUrl')
const kafkaBrokers = inject('kafkaBrokers')

let one: Copy
let other: Copy

async function load(): Promise<Copy> {
  vi.resetModules()
  return {
    core: await import('../../src/index.ts'),
    testing: await import('../../src/testing.ts'),
    rabbitmq: await import('../../adapters/rabbitmq/index.ts'),
    kafka: await import('../../adapters/kafka/index.ts'),
    redis: await import('../../adapters/redis-streams/index.ts'),
  }
}

beforeAll(async () => {
  one = await load()
  other = await load()
})

/** Keys, signer and verifier of the first, and the adapter that wraps first of the second. */
const PAIRS: readonly (readonly [string, () => readonly [Copy, Copy]])[] = [
  ['keys of one, adapter of the other', () => [one, other]],
  ['keys of the other, adapter of one', () => [other, one]],
]

/** A replay store that counts, by what it is asked. */
function counting(core: typeof Core): { readonly store: Core.ReplayStore; readonly counts: Record<string, number> } {
  const memory = new core.MemoryReplayStore()
  const counts = { begin: 0, commit: 0, release: 0 }
  const store: Core.ReplayStore = {
    begin: (claim) => {
      counts.begin++
      return memory.begin(claim)
    },
    commit: (claim, seconds) => {
      counts.commit++
      return memory.commit(claim, seconds)
    },
    release: (claim) => {
      counts.release++
      return memory.release(claim)
    },
    renew: (claim) => memory.renew(claim),
  }
  return { store, counts }
}

const expected = { code: 'already-wrapped' }

describe.skipIf(amqpUrl === undefined).each(PAIRS)('RabbitMQ, two copies: %s', (_, pair) => {
  it('one signs and checks what the other has wrapped, once', async () => {
    const [keys, adapter] = pair()
    const { signer, keys: authorized } = keys.testing.testKeys('checkout')
    const { store, counts } = counting(keys.core)
    const verifier = new keys.core.Verifier({ keys: authorized, replay: store })
    const open = async () => {
      const connection = await connect(amqpUrl as string)
      onTestFinished(() => connection.close())
      return connection
    }
    const producing = adapter.rabbitmq.wrapProducer(await open(), signer, { batch: true })
    const consuming = adapter.rabbitmq.wrapConsumer(await open(), verifier)
    const plain = await (await open()).createConfirmChannel()
    // Wrapped already: the connection, and the channels that come out of it.
    const channel = keys.rabbitmq.wrapProducer(await producing.createConfirmChannel(), signer)
    const consumer = keys.rabbitmq.wrapConsumer(await consuming.createChannel(), verifier)
    keys.rabbitmq.wrapConsumer(consuming, verifier)
    expect(keys.rabbitmq.isWrapped(producing, 'producer')).toBe(true)
    const another = keys.testing.testKeys('billing')
    expect(() => keys.rabbitmq.wrapProducer(channel, another.signer)).toThrow(expect.objectContaining(expected))
    expect(() => keys.rabbitmq.wrapConsumer(consumer, another.verifier)).toThrow(expect.objectContaining(expected))

    const { queue } = await plain.assertQueue(uniqueName('copies'))
    await plain.assertQueue(`${queue}.dlq`)
    const senders: unknown[] = []
    await consumer.consume(queue, (message) => {
      if (message === null) return
      senders.push([keys.core.senderOf(message)?.service, adapter.core.senderOf(message)?.service])
      consumer.ack(message)
    })
    channel.sendToQueue(queue, Buffer.from('signed'))
    await channel.waitForConfirms()
    plain.sendToQueue(queue, Buffer.from('forged'))
    await plain.waitForConfirms()
    const rejected = async (): Promise<number> => (await plain.checkQueue(`${queue}.dlq`)).messageCount
    await expect.poll(rejected).toBe(1)
    await expect.poll(() => counts).toEqual({ begin: 1, commit: 1, release: 0 })
    expect(senders).toEqual([['checkout', 'checkout']])
    await plain.deleteQueue(queue)
    await plain.deleteQueue(`${queue}.dlq`)
  })

  it('a message that one has checked and the other passes on with its token is handled again', async () => {
    const [keys, adapter] = pair()
    const { signer, verifier } = keys.testing.testKeys('checkout')
    const connection = await connect(amqpUrl as string)
    onTestFinished(() => connection.close())
    const channel = await connection.createConfirmChannel()
    adapter.rabbitmq.wrapConsumer(channel, verifier)
    const retrying = keys.rabbitmq.wrapProducer(await connection.createConfirmChannel(), signer, {
      preserveToken: true,
    })
    const { queue } = await channel.assertQueue(uniqueName('copies'))
    let handled = 0
    await channel.consume(queue, (message) => {
      if (message === null) return
      handled++
      if (handled === 1) {
        retrying.sendToQueue(queue, message.content, { ...message.properties, headers: message.properties.headers })
      }
      channel.ack(message)
    })
    retrying.sendToQueue(queue, Buffer.from('signed'))
    await expect.poll(() => handled).toBe(2)
    await channel.deleteQueue(queue)
  })
})

describe.skipIf(redisUrl === undefined).each(PAIRS)('Redis Streams, two copies: %s', (_, pair) => {
  it('one acknowledges what the other has read, and each entry is signed once', async () => {
    const [keys, adapter] = pair()
    const { signer, keys: authorized } = keys.testing.testKeys('checkout')
    const { store, counts } = counting(keys.core)
    const verifier = new keys.core.Verifier({ keys: authorized, replay: store })
    const open = (): Redis => {
      const client = new Redis(redisUrl as string)
      onTestFinished(() => client.disconnect())
      return client
    }
    const producer = adapter.redis.wrapProducer(open(), signer)
    const reader = adapter.redis.wrapConsumer(open(), verifier)
    const acknowledger = keys.redis.wrapConsumer(open(), verifier)
    const plain = open()
    const { sendCommand } = producer
    keys.redis.wrapProducer(producer, signer)
    keys.redis.wrapConsumer(reader, verifier)
    expect(producer.sendCommand).toBe(sendCommand)
    const another = keys.testing.testKeys('billing')
    expect(() => keys.redis.wrapProducer(producer, another.signer)).toThrow(expect.objectContaining(expected))
    expect(() => keys.redis.wrapConsumer(reader, another.verifier)).toThrow(expect.objectContaining(expected))

    const stream = uniqueName('copies')
    await plain.xgroup('CREATE', stream, 'g', '0', 'MKSTREAM')
    await producer.xadd(stream, '*', 'body', 'signed')
    await plain.xadd(stream, '*', 'body', 'forged')
    const read = (await reader.xreadgroup('GROUP', 'g', 'c', 'COUNT', 10, 'STREAMS', stream, '>')) as [
      string,
      [string, string[]][],
    ][]
    const entries = read[0]?.[1] ?? []
    expect(entries.map(([, fields]) => [...fields])).toEqual([['body', 'signed']])
    expect(await acknowledger.xack(stream, 'g', entries[0]?.[0] as string)).toBe(1)
    expect(counts).toEqual({ begin: 1, commit: 1, release: 0 })
    await expect.poll(() => plain.xlen(`{${stream}}:dlq`)).toBe(1)
    await plain.del(stream, `{${stream}}:dlq`)
  })
})

describe.skipIf(kafkaBrokers === undefined).each(PAIRS)('Kafka, two copies: %s', (_, pair) => {
  it('one signs and checks what the other has wrapped, once', async () => {
    const [keys, adapter] = pair()
    const { signer, keys: authorized } = keys.testing.testKeys('checkout')
    const { store, counts } = counting(keys.core)
    const verifier = new keys.core.Verifier({ keys: authorized, replay: store })
    const open = (): Kafka => new Kafka({ brokers: [...(kafkaBrokers as string[])], logLevel: logLevel.NOTHING })
    const producing = adapter.kafka.wrapProducer(open(), signer)
    const consuming = adapter.kafka.wrapConsumer(open(), verifier)
    const producer = keys.kafka.wrapProducer(producing.producer(), signer)
    const consumer = consuming.consumer({ groupId: uniqueName('group') })
    keys.kafka.wrapConsumer(consumer, verifier, { onRejected: 'acknowledge' })
    const another = keys.testing.testKeys('billing')
    expect(() => keys.kafka.wrapProducer(producer, another.signer)).toThrow(expect.objectContaining(expected))
    expect(() => keys.kafka.wrapConsumer(consuming, another.verifier)).toThrow(expect.objectContaining(expected))

    const topic = uniqueName('copies')
    const plain = open()
    const admin = plain.admin()
    await admin.connect()
    onTestFinished(() => admin.disconnect())
    await createTopic(admin, { topic, numPartitions: 1 })
    await createTopic(admin, { topic: `${topic}-dlt`, numPartitions: 1 })
    const forger = plain.producer()
    for (const client of [producer, forger, consumer]) {
      await client.connect()
      onTestFinished(() => client.disconnect())
    }
    await producer.send({ topic, messages: [{ value: 'signed' }] })
    await forger.send({ topic, messages: [{ value: 'forged' }] })
    const senders: unknown[] = []
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ message }) => {
        senders.push([keys.core.senderOf(message)?.service, adapter.core.senderOf(message)?.service])
      },
    })
    const rejected = async (): Promise<string | undefined> => (await admin.fetchTopicOffsets(`${topic}-dlt`))[0]?.high
    await expect.poll(rejected).toBe('1')
    await expect.poll(() => counts).toEqual({ begin: 1, commit: 1, release: 0 })
    expect(senders).toEqual([['checkout', 'checkout']])
  })
})
