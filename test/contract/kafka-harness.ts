import { setTimeout as sleep } from 'node:timers/promises'
import { type Consumer, type EachMessagePayload, type IHeaders, Kafka, type KafkaMessage, logLevel } from 'kafkajs'
import { type KafkaRecord, wrapConsumer, wrapProducer } from '../../adapters/kafka/index.ts'
import type { ConsumerOptions } from '../../src/consumer-options.ts'
import type { HeaderValue } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import { leaveGroup } from '../brokers/kafka-requests.ts'
import type { ClientLibrary } from '../kafka/client-libraries.ts'
import { createTopic } from '../kafka/topics.ts'
import type { ConsumerSetup, Delivered, Features, Harness, TestConsumer, TestMessage, TestProducer } from './harness.ts'
import { paired } from './paired.ts'
import { text } from './scene.ts'

export const kafkaFeatures: Features = {
  nullPayload: true,
  repeatedHeaders: true,
  structuredHeaders: false,
  brokerDeadLetters: false,
  requeue: true,
  ordered: true,
  positions: true,
  awaitsHandler: true,
  hidesToken: true,
  properties: ['key', 'contentType', 'contentEncoding'],
}

/** A Kafka, for the contract suite. Every topic has one partition, so its records have one order. */
export function kafkaHarness(brokers: readonly string[], library: ClientLibrary, batch = false): Harness {
  const as = (signer: Signer | undefined): Signer | undefined => signer && (batch ? paired(signer) : signer)
  // What makes topics and reads them is kafkajs, whatever is tested.
  const setUp = new Kafka({
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 60_000,
    retry: { retries: 60, maxRetryTime: 500 },
  })
  const admin = setUp.admin()
  const readers = new Map<string, { consumer: Consumer; read: TestMessage[]; next: number }>()
  const killed: Killed[] = []
  /** A client that was cut off has threads and timers all the same. Nobody waits for its end. */
  const bury = (): void => {
    for (const one of killed.splice(0)) one.bury().catch(() => undefined)
  }

  /** Reads on from where the last call ended. */
  async function take(topic: string): Promise<TestMessage[]> {
    if (!(await admin.listTopics()).includes(topic)) return []
    const [offsets] = await admin.fetchTopicOffsets(topic)
    const end = Number(offsets?.high ?? 0)
    const reader = readers.get(topic)
    if (end <= (reader?.next ?? 0)) return reader?.read.splice(0) ?? []
    const reading = reader ?? {
      consumer: setUp.consumer({ groupId: `reader-${topic}`, maxWaitTimeInMs: 50 }),
      read: [],
      next: 0,
    }
    if (reader === undefined) {
      readers.set(topic, reading)
      await reading.consumer.connect()
      await reading.consumer.subscribe({ topic, fromBeginning: true })
      await reading.consumer.run({
        eachMessage: async ({ message }) => {
          reading.next = Number(message.offset) + 1
          reading.read.push(toTest(message))
        },
      })
    }
    while (reading.next < end) await sleep(5)
    return reading.read.splice(0)
  }

  return {
    start: () => admin.connect(),
    stop: async () => {
      bury()
      await Promise.all([...readers.values()].map(({ consumer }) => consumer.disconnect()))
      await admin.disconnect()
    },
    createQueue: async (topic) => {
      bury()
      await createTopic(admin, { topic, numPartitions: 1 })
    },
    destinationOf: (topic) => `kafka:${topic}`,
    batch,
    openProducer: (signer) => openProducer(library, as(signer), batch),
    openConsumer: (setup) => openConsumer(brokers, library, setup, as(setup.signer), batch, killed),
    take,
    deadLetterQueueOf: (topic) => `${topic}-dlt`,
    parkedQueueOf: (topic) => `${topic}-dlt-parked`,
    brokerDeadLetterQueueOf: (topic) => `${topic}-none`,
    breakDeadLetters: async (topic) => void broken.add(`${topic}-dlt`),
    repairDeadLetters: async (topic) => void broken.delete(`${topic}-dlt`),
  }
}

/** Topics that take nothing. No setting of one Kafka node makes it so for a while. */
const broken = new Set<string>()

/** A consumer that was cut off. */
interface Killed {
  bury(): Promise<void>
}

async function openProducer(library: ClientLibrary, signer: Signer | undefined, batch: boolean): Promise<TestProducer> {
  const producer = library.open().kafka.producer()
  library.keepOrder(producer)
  // What is given to the wrapper is frozen. The Confluent client itself changes what it is given.
  const given: <T>(value: T) => T = signer === undefined ? (value) => value : Object.freeze
  if (signer !== undefined) wrapProducer(producer, signer, { batch })
  await producer.connect()
  let sent: Promise<unknown> = Promise.resolve()
  return {
    publish: (topic, { payload, headers, properties = {} }) => {
      const { key, contentType, contentEncoding } = properties
      const all = {
        ...headers,
        ...(contentType !== undefined && { 'content-type': contentType }),
        ...(contentEncoding !== undefined && { 'content-encoding': contentEncoding }),
      }
      const value = signer === undefined && payload instanceof Uint8Array ? library.bytes(payload) : payload
      const message = { key: key ?? null, value: value as Buffer | null, headers: given(all) as IHeaders }
      const sending = producer.send(given({ topic, messages: [given(message) as never] }))
      sent = Promise.allSettled([sent, sending])
      return sending
    },
    flush: async () => void (await sent),
    close: () => producer.disconnect(),
  }
}

class GivenBack extends Error {}

async function openConsumer(
  brokers: readonly string[],
  library: ClientLibrary,
  setup: ConsumerSetup,
  signer: Signer | undefined,
  batch: boolean,
  killed: Killed[],
): Promise<TestConsumer> {
  const { kafka, cut, mend } = library.open()
  const settlements: string[] = []
  const inHand = new Set<(error: Error) => void>()
  let dying = false
  let end: (error?: unknown) => void = () => undefined
  const ended = new Promise<unknown>((resolve) => {
    end = resolve
  })
  let consumer: Consumer | undefined
  let dead = false
  let leave = async (): Promise<void> => undefined
  const kill = (): void => {
    if (dead) return
    dead = true
    cut()
    leave().then(end, end)
    killed.push({
      bury: async () => {
        mend()
        for (const fail of inHand) fail(new Error('the connection was cut'))
        await consumer?.disconnect()
      },
    })
  }
  let endsByItself = true
  const [make, makeProducer] = [kafka.consumer, kafka.producer]
  // Below the wrapper, which is still to come.
  kafka.producer = (config) => {
    const producer = makeProducer.call(kafka, config)
    const send = producer.send
    producer.send = (record) =>
      broken.has(record.topic) ? Promise.reject(new Error('not now')) : send.call(producer, record)
    return producer
  }
  kafka.consumer = (config) => {
    const plain = make.call(kafka, config)
    const run = plain.run
    plain.run = ({ eachMessage, ...others } = {}) =>
      run.call(plain, {
        ...others,
        eachMessage: async (payload) => {
          const body = text(payload.message.value)
          try {
            await eachMessage?.(payload)
          } catch (error) {
            if (error instanceof GivenBack) settlements.push(`requeue ${body}`)
            else if (!endsByItself) end(error)
            throw error
          }
          if (dying) kill()
          if (dead) {
            throw new Error('the connection was cut')
          }
          settlements.push(`ack ${body}`)
        },
      })
    return plain
  }
  if (signer !== undefined) wrapProducer(kafka, signer, { batch })
  if (setup.verifier !== undefined)
    wrapConsumer(kafka, setup.verifier, setup.options as ConsumerOptions<KafkaRecord> as never)
  return {
    consume: async (topic, handler) => {
      consumer = library.consumer(kafka, `group-${topic}`)
      endsByItself = library.onEnd(consumer, end) === 'by itself'
      library.onJoin(consumer, (memberId) => {
        leave = () => leaveGroup(brokers.join(), `group-${topic}`, memberId)
      })
      await consumer.connect()
      await library.run(consumer, [topic], { eachMessage: (payload) => hand(payload, handler, inHand) })
    },
    settlements,
    ended,
    dieAtNextSettlement: () => {
      dying = true
    },
    kill,
    close: async () => consumer?.disconnect(),
  }
}

/** Settling ends the handler's promise. */
async function hand(
  { message }: EachMessagePayload,
  handler: (delivered: Delivered) => unknown,
  inHand: Set<(error: Error) => void>,
): Promise<void> {
  let fail: (error: Error) => void = () => undefined
  const settled = new Promise<void>((resolve, reject) => {
    fail = reject
    const delivered: Delivered = {
      ...toTest(message),
      message,
      ack: () => resolve(),
      nack: () => reject(new GivenBack()),
    }
    // What the handler returns is a promise of its own: only settling counts.
    Promise.resolve(handler(delivered)).catch(reject)
  })
  inHand.add(fail)
  try {
    await settled
  } finally {
    inHand.delete(fail)
  }
}

function toTest(message: KafkaMessage): TestMessage & Pick<Delivered, 'headers' | 'properties'> {
  const { 'content-type': contentType, 'content-encoding': contentEncoding, ...headers } = message.headers ?? {}
  const properties = {
    ...(message.key !== null && { key: message.key }),
    ...(contentType !== undefined && { contentType: contentType as Buffer }),
    ...(contentEncoding !== undefined && { contentEncoding: contentEncoding as Buffer }),
  }
  return { payload: message.value, headers: headers as Record<string, HeaderValue>, properties }
}
