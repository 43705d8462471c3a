import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConsumerLike, KafkaLike, KafkaMessage, ProducerLike } from '../../../adapters/kafka/index.ts'
import { wrapConsumer, wrapProducer } from '../../../adapters/kafka/index.ts'
import type { Signer } from '../../signer.ts'
import { CommandError, EXIT, say } from '../output.ts'
import type { DemoTransport, WireMessage } from './transport.ts'

/** What is used of kafkajs, which is the user's own. */
interface Kafkajs {
  readonly Kafka: new (config: object) => Kafka
}

interface Kafka extends KafkaLike {
  producer(): Producer
  consumer(config: object): Consumer
  admin(): Admin
  logger(): unknown
}

interface Producer extends ProducerLike {
  send(record: { topic: string; messages: object[] }): Promise<unknown>
}

interface Consumer extends ConsumerLike {
  subscribe(subscription: object): Promise<void>
  run(config?: { eachMessage(payload: { message: KafkaMessage }): Promise<void> }): Promise<void>
}

interface Admin {
  connect(): Promise<void>
  disconnect(): Promise<void>
  createTopics(options: object): Promise<unknown>
  deleteTopics(options: object): Promise<unknown>
  fetchTopicOffsets(topic: string): Promise<{ high: string }[]>
}

/** As on the other transports, so that the report is the same. */
const deadLetterName = (topic: string): string => `${topic}.dlq`

const QUICK = { maxWaitTimeInMs: 50 }

export async function openKafka(): Promise<DemoTransport> {
  const brokers = (process.env.KAFKA_BROKERS ?? '').split(',').filter((broker) => broker !== '')
  if (brokers.length === 0) {
    throw new CommandError('KAFKA_BROKERS is not set', {
      hint: 'write for example KAFKA_BROKERS=localhost:9092',
      exitCode: EXIT.usage,
    })
  }
  const { Kafka } = loadKafkajs()
  const newKafka = (): Kafka =>
    new Kafka({
      clientId: 'queue-key-auth-demo',
      brokers,
      logLevel: 0,
      retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 8 },
      connectionTimeout: 3_000,
    })
  const admin = newKafka().admin()
  try {
    await admin.connect()
    return await prepare(`Kafka at ${brokers.join(',')}`, newKafka, admin)
  } catch (error) {
    await admin.disconnect()
    throw new CommandError(`Kafka at ${brokers.join(',')} cannot be used: ${(error as Error).name}`, {
      hint: 'start one with `docker run --rm -p 9092:9092 apache/kafka:4.1.1`, and set KAFKA_BROKERS=localhost:9092',
      cause: error,
    })
  }
}

async function prepare(title: string, newKafka: () => Kafka, admin: Admin): Promise<DemoTransport> {
  const prefix = `queue-key-auth-demo.${randomBytes(4).toString('hex')}`
  const queueNamed = (name: string): string => `${prefix}.${name}`
  const topics = ['orders', 'orders.dlq', 'invoices'].map(queueNamed)
  // Waiting for leaders fails where a busy broker does not know yet what it just made. Whoever needs a topic tries again.
  await admin.createTopics({ waitForLeaders: false, topics: topics.map((topic) => ({ topic, numPartitions: 1 })) })
  const plain = newKafka().producer()
  await plain.connect()
  const producers = new Map<Signer, Producer>()
  const open: { disconnect(): Promise<void> }[] = [plain]
  const letters: KafkaMessage[] = []
  const read = async (topic: string, add: (message: KafkaMessage) => void): Promise<Consumer> => {
    const consumer = newKafka().consumer({ groupId: `${topic}.${randomBytes(4).toString('hex')}`, ...QUICK })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({ eachMessage: async ({ message }) => add(message) })
    return consumer
  }
  return {
    title,
    queueNamed,
    async send(signer, topic, body) {
      const known = producers.get(signer)
      const producer = known ?? wrapProducer(newKafka().producer(), signer)
      if (known === undefined) {
        producers.set(signer, producer)
        open.push(producer)
        await producer.connect()
      }
      await producer.send({ topic, messages: [{ value: body }] })
    },
    async copyAll(topic) {
      const [{ high } = { high: '0' }] = await admin.fetchTopicOffsets(topic)
      const copies: WireMessage[] = []
      const consumer = await read(topic, ({ value, headers }) => {
        copies.push({ body: value as Buffer, headers: (headers ?? {}) as WireMessage['headers'] })
      })
      while (copies.length < Number(high)) await sleep(10)
      await consumer.disconnect()
      return copies
    },
    async inject(topic, { body, headers }) {
      await plain.send({ topic, messages: [{ value: body, headers }] })
    },
    async consume(topic, verifier, handler) {
      const consumer = wrapConsumer(newKafka(), verifier, { deadLetterName }).consumer({
        groupId: `${prefix}.demo`,
        ...QUICK,
      })
      open.push(consumer)
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      await consumer.run({ eachMessage: async ({ message }) => handler(message) })
      open.push(await read(deadLetterName(topic), (letter) => letters.push(letter)))
    },
    async takeDeadLetter() {
      const headers = letters.shift()?.headers
      return headers as Record<string, unknown> | undefined
    },
    async close() {
      try {
        await Promise.all(open.map((client) => client.disconnect()))
        await admin.deleteTopics({ topics })
        await admin.disconnect()
      } catch {
        say(`the topics ${prefix}.* could not be deleted`)
      }
    },
  }
}

/** The one of the project the command is run in, wherever the command itself is installed. */
function loadKafkajs(): Kafkajs {
  process.env.KAFKAJS_NO_PARTITIONER_WARNING ??= '1'
  const load = createRequire(join(process.cwd(), 'package.json'))
  mendTimers(load)
  try {
    return load('kafkajs') as Kafkajs
  } catch (error) {
    throw new CommandError('kafkajs is not installed in this folder', {
      hint: 'run `npm install kafkajs`',
      cause: error,
    })
  }
}

/** What is used of kafkajs's queue of requests, one a connection. */
declare class RequestQueue {
  readonly pending: readonly unknown[]
  readonly throttledUntil: number
  scheduleCheckPendingRequests(): void
}

/**
 * kafkajs 2.2.4 sets a timer when nothing waits and nothing is throttled, again and again, and with a negative time, of
 * which Node.js 24 warns (docs/kafka.md). No setting keeps it from that, so in this program it gets a queue that does not.
 */
function mendTimers(load: NodeJS.Require): void {
  let module: NodeJS.Module | undefined
  try {
    const path = load.resolve('kafkajs/src/network/requestQueue')
    load(path)
    module = load.cache[path]
  } catch {
    // Not installed, or another version with other files.
    return
  }
  if (module === undefined) return
  const Queue = module.exports as typeof RequestQueue
  module.exports = class extends Queue {
    override scheduleCheckPendingRequests(): void {
      if (this.pending.length > 0 || this.throttledUntil > Date.now()) super.scheduleCheckPendingRequests()
    }
  }
}
