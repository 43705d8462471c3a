import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Consumer,
  type EachMessagePayload,
  type IHeaders,
  Kafka,
  type KafkaMessage,
  logLevel,
  type Producer,
} from 'kafkajs'
import { type KafkaRecord, wrapConsumer, wrapProducer } from '../../adapters/kafka/index.ts'
import type { ConsumerOptions } from '../../src/consumer-options.ts'
import type { HeaderValue } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import { leaveGroup } from '../brokers/kafka-requests.ts'
import { createTopic } from '../kafka/topics.ts'
import type { ConsumerSetup, Delivered, Harness, TestConsumer, TestMessage, TestProducer } from './harness.ts'
import { paired } from './paired.ts'
import { text } from './scene.ts'

/** kafkajs on a Kafka, for the contract suite. Every topic has one partition, so its records have one order. */
export function kafkaHarness(brokers: readonly string[], batch = false): Harness {
  const as = (signer: Signer | undefined): Signer | undefined => signer && (batch ? paired(signer) : signer)
  const { kafka: setUp } = client(brokers)
  const admin = setUp.admin()
  const readers = new Map<string, { consumer: Consumer; read: TestMessage[]; next: number }>()

  /** Reads on from where the last call ended. */
  async function take(topic: string): Promise<TestMessage[]> {
    if (!(await admin.listTopics()).includes(topic)) return []
    const [offsets] = await admin.fetchTopicOffsets(topic)
    const end = Number(offsets?.high ?? 0)
    const reader = readers.get(topic)
    if (end <= (reader?.next ?? 0)) return reader?.read.splice(0) ?? []
    const reading = reader ?? { consumer: setUp.consumer({ groupId: `reader-${topic}`, ...quick }), read: [], next: 0 }
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
      await Promise.all([...readers.values()].map(({ consumer }) => consumer.disconnect()))
      await admin.disconnect()
    },
    createQueue: async (topic) => {
      await createTopic(admin, { topic, numPartitions: 1 })
    },
    destinationOf: (topic) => `kafka:${topic}`,
    batch,
    openProducer: (signer) => openProducer(brokers, as(signer), batch),
    openConsumer: (setup) => openConsumer(brokers, setup, as(setup.signer), batch),
    take,
    deadLetterQueueOf: (topic) => `${topic}-dlt`,
    brokerDeadLetterQueueOf: (topic) => `${topic}-none`,
    breakDeadLetters: async (topic) => void broken.add(`${topic}-dlt`),
    repairDeadLetters: async (topic) => void broken.delete(`${topic}-dlt`),
  }
}

/** Topics that take nothing. No setting of one Kafka node makes it so for a while. */
const broken = new Set<string>()

const quick = { maxWaitTimeInMs: 50, heartbeatInterval: 200 }

/** A client whose connections can be cut for good. */
function client(brokers: readonly string[]): { kafka: Kafka; cut: () => void } {
  const sockets = new Set<Socket>()
  let isCut = false
  const kafka = new Kafka({
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 60_000,
    retry: { initialRetryTime: 20, maxRetryTime: 500, retries: 60 },
    socketFactory: ({ host, port, onConnect }) => {
      const socket = connect({ host, port }, onConnect)
      sockets.add(socket)
      if (isCut) socket.destroy(new Error('the connection was cut'))
      return socket
    },
  })
  const cut = (): void => {
    isCut = true
    for (const socket of sockets) socket.destroy()
  }
  return { kafka, cut }
}

async function openProducer(
  brokers: readonly string[],
  signer: Signer | undefined,
  batch: boolean,
): Promise<TestProducer> {
  const { kafka } = client(brokers)
  const producer = kafka.producer()
  inOrder(producer)
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
      const message = { key: key ?? null, value: payload as Buffer | null, headers: Object.freeze(all) as IHeaders }
      const sending = producer.send(Object.freeze({ topic, messages: [Object.freeze(message) as never] }))
      sent = Promise.allSettled([sent, sending])
      return sending
    },
    flush: async () => void (await sent),
    close: () => producer.disconnect(),
  }
}

/** Sends of kafkajs that nobody waits for overtake each other. The suite publishes without waiting and looks at the order. */
function inOrder(producer: Producer): void {
  const send = producer.send
  let last: Promise<unknown> = Promise.resolve()
  producer.send = (record) => {
    const sending = last.then(() => send(record))
    last = Promise.allSettled([sending])
    return sending
  }
}

class GivenBack extends Error {}

async function openConsumer(
  brokers: readonly string[],
  setup: ConsumerSetup,
  signer: Signer | undefined,
  batch: boolean,
): Promise<TestConsumer> {
  const { kafka, cut } = client(brokers)
  const settlements: string[] = []
  let dying = false
  let end: (error?: unknown) => void = () => undefined
  const ended = new Promise<unknown>((resolve) => {
    end = resolve
  })
  let dead = false
  let leave = async (): Promise<void> => undefined
  const kill = (): void => {
    dead = true
    cut()
    leave().then(end, end)
  }
  const [make, makeProducer] = [kafka.consumer, kafka.producer]
  let plain: Consumer | undefined
  // Below the wrapper, which is still to come.
  kafka.producer = (config) => {
    const producer = makeProducer.call(kafka, config)
    const send = producer.send
    producer.send = (record) => (broken.has(record.topic) ? Promise.reject(new Error('not now')) : send(record))
    return producer
  }
  kafka.consumer = (config) => {
    plain = make.call(kafka, config)
    const run = plain.run
    plain.run = ({ eachMessage, ...others } = {}) =>
      run({
        ...others,
        eachMessage: async (payload) => {
          const body = text(payload.message.value)
          try {
            await eachMessage?.(payload)
          } catch (error) {
            if (error instanceof GivenBack) settlements.push(`requeue ${body}`)
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
  let consumer: Consumer | undefined
  return {
    consume: async (topic, handler) => {
      const retry = { initialRetryTime: 20, maxRetryTime: 50, retries: 10, restartOnFailure: async () => false }
      const groupId = `group-${topic}`
      consumer = kafka.consumer({ groupId, ...quick, retry })
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
        leave = () => leaveGroup(brokers.join(), groupId, payload.memberId)
      })
      consumer.on(consumer.events.CRASH, ({ payload }) => end(causeOf(payload.error)))
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      await consumer.run({ eachMessage: (payload) => hand(payload, handler) })
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

/** kafkajs wraps the error of a handler that failed too often. */
function causeOf(error: Error): unknown {
  return error.cause instanceof Error ? causeOf(error.cause) : error
}

/** Settling ends the handler's promise. */
async function hand({ message }: EachMessagePayload, handler: (delivered: Delivered) => unknown): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const delivered: Delivered = {
      ...toTest(message),
      message,
      ack: () => resolve(),
      nack: () => reject(new GivenBack()),
    }
    // What the handler returns is a promise of its own: only settling counts.
    Promise.resolve(handler(delivered)).catch(reject)
  })
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
