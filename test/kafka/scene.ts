import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Consumer,
  type ConsumerRunConfig,
  Kafka,
  type KafkaConfig,
  type KafkaMessage,
  logLevel,
  type Message,
} from 'kafkajs'
import { expect, onTestFinished } from 'vitest'
import { type KafkaConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/kafka/index.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier, type VerifierOptions } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { createTopic } from './topics.ts'

/** One topic and what one test does with it. Everything is disconnected after it. */
export class Scene {
  readonly topic: string = uniqueName('orders')
  readonly keys = testKeys('checkout')
  readonly verifier: Verifier
  readonly #brokers: readonly string[]

  private constructor(brokers: readonly string[], options: Partial<VerifierOptions>) {
    this.#brokers = brokers
    this.verifier = new Verifier({ keys: this.keys.keys, ...options })
  }

  static async open(
    brokers: readonly string[] | undefined,
    { partitions = 1, configEntries = [] as { name: string; value: string }[], ...options }: SceneOptions = {},
  ): Promise<Scene> {
    const scene = new Scene(brokers ?? [], options)
    await scene.createTopic(scene.topic, partitions, configEntries)
    return scene
  }

  kafka(config: Partial<KafkaConfig> = {}): Kafka {
    const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 60 }
    const patient = { connectionTimeout: 60_000, retry }
    return new Kafka({ brokers: [...this.#brokers], logLevel: logLevel.NOTHING, ...patient, ...config })
  }

  async createTopic(
    topic: string,
    numPartitions = 1,
    configEntries: { name: string; value: string }[] = [],
  ): Promise<void> {
    await this.withAdmin((admin) => createTopic(admin, { topic, numPartitions, configEntries }))
  }

  async withAdmin<Result>(use: (admin: ReturnType<Kafka['admin']>) => Promise<Result>): Promise<Result> {
    const admin = this.kafka().admin()
    await admin.connect()
    try {
      return await use(admin)
    } finally {
      await admin.disconnect()
    }
  }

  /** Signed, unless asked otherwise. */
  async send(messages: Message[], { signed = true, topic = this.topic } = {}): Promise<void> {
    const producer = this.kafka().producer()
    if (signed) wrapProducer(producer, this.keys.signer)
    await producer.connect()
    await producer.send({ topic, messages })
    await producer.disconnect()
  }

  forge(count: number): Message[] {
    return Array.from({ length: count }, (_, index) => ({ value: `bad ${index}`, headers: { queueauth: 'no.to.ken' } }))
  }

  /** A wrapped consumer that runs. */
  async consume(
    run: ConsumerRunConfig,
    {
      groupId = `group-${this.topic}`,
      topic = this.topic,
      ...options
    }: KafkaConsumerOptions & { groupId?: string; topic?: string } = {},
  ): Promise<Consumer> {
    const kafka = wrapConsumer(this.kafka(), this.verifier, { onVerdict: () => undefined, ...options })
    const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50, heartbeatInterval: 300 })
    onTestFinished(() => consumer.disconnect())
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run(run)
    return consumer
  }

  /** What lies in a topic, without checks. */
  async read(topic: string, count: number): Promise<KafkaMessage[]> {
    const consumer = this.kafka().consumer({ groupId: uniqueName('reader'), maxWaitTimeInMs: 50 })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    const messages: KafkaMessage[] = []
    await consumer.run({ eachMessage: async ({ message }) => void messages.push(message) })
    await expect.poll(() => messages.length).toBe(count)
    await sleep(100)
    expect(messages).toHaveLength(count)
    await consumer.disconnect()
    return messages
  }

  /** The committed offset of partition 0. */
  async committed(groupId: string = `group-${this.topic}`): Promise<string | undefined> {
    const [offsets] = await this.withAdmin((admin) => admin.fetchOffsets({ groupId, topics: [this.topic] }))
    return offsets?.partitions.find(({ partition }) => partition === 0)?.offset
  }
}

interface SceneOptions extends Partial<VerifierOptions> {
  partitions?: number
  configEntries?: { name: string; value: string }[]
}
