import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, Consumer, ConsumerRunConfig, Kafka, KafkaMessage, Message } from 'kafkajs'
import { expect, onTestFinished } from 'vitest'
import { type KafkaConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/kafka/index.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier, type VerifierOptions } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { type ClientLibrary, kafkajsLibrary } from './client-libraries.ts'
import { createTopic } from './topics.ts'

/** One topic and what one test does with it. Everything is disconnected after it. */
export class Scene {
  readonly topic: string = uniqueName('orders')
  readonly keys = testKeys('checkout')
  readonly verifier: Verifier
  /** what is tested */
  readonly library: ClientLibrary
  /** what makes topics and reads them without checks */
  readonly #kafkajs: ClientLibrary

  private constructor(
    brokers: readonly string[],
    library: ClientLibrary | undefined,
    options: Partial<VerifierOptions>,
  ) {
    this.#kafkajs = kafkajsLibrary(brokers)
    this.library = library ?? this.#kafkajs
    this.verifier = new Verifier({ keys: this.keys.keys, ...options })
  }

  static async open(
    brokers: readonly string[] | undefined,
    { library, partitions = 1, configEntries = [] as { name: string; value: string }[], ...options }: SceneOptions = {},
  ): Promise<Scene> {
    const scene = new Scene(brokers ?? [], library, options)
    await scene.createTopic(scene.topic, partitions, configEntries)
    return scene
  }

  /** One more Kafka of the client that is tested. */
  kafka(): Kafka {
    return this.library.open().kafka
  }

  async createTopic(
    topic: string,
    numPartitions = 1,
    configEntries: { name: string; value: string }[] = [],
  ): Promise<void> {
    await this.withAdmin((admin) => createTopic(admin, { topic, numPartitions, configEntries }))
  }

  async withAdmin<Result>(use: (admin: Admin) => Promise<Result>): Promise<Result> {
    const admin = this.#kafkajs.open().kafka.admin()
    await admin.connect()
    try {
      return await use(admin)
    } finally {
      await admin.disconnect()
    }
  }

  /** Signed, unless asked otherwise. */
  async send(messages: Message[], { signed = true, topic = this.topic } = {}): Promise<void> {
    const producer = (signed ? this.library : this.#kafkajs).open().kafka.producer()
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
      topics = [topic],
      verifier = this.verifier,
      connected = () => undefined,
      kafka = this.kafka(),
      ...options
    }: ConsumeOptions = {},
  ): Promise<Consumer> {
    wrapConsumer(kafka, verifier, { onVerdict: () => undefined, ...options })
    const consumer = this.library.consumer(kafka, groupId, run.autoCommit)
    onTestFinished(() => consumer.disconnect())
    await consumer.connect()
    connected(consumer)
    await this.library.run(consumer, topics, run)
    return consumer
  }

  /** What lies in a topic, without checks. */
  async read(topic: string, count: number): Promise<KafkaMessage[]> {
    const consumer = this.#kafkajs.consumer(this.#kafkajs.open().kafka, uniqueName('reader'))
    await consumer.connect()
    const messages: KafkaMessage[] = []
    await this.#kafkajs.run(consumer, [topic], { eachMessage: async ({ message }) => void messages.push(message) })
    await expect.poll(() => messages.length).toBe(count)
    await sleep(100)
    expect(messages).toHaveLength(count)
    await consumer.disconnect()
    return messages
  }

  /** The committed offset of a partition. */
  async committed(groupId: string = `group-${this.topic}`, partition: number = 0): Promise<string | undefined> {
    const [offsets] = await this.withAdmin((admin) => admin.fetchOffsets({ groupId, topics: [this.topic] }))
    return offsets?.partitions.find((entry) => entry.partition === partition)?.offset
  }
}

export interface SceneOptions extends Partial<VerifierOptions> {
  library?: ClientLibrary
  partitions?: number
  configEntries?: { name: string; value: string }[]
}

interface ConsumeOptions extends KafkaConsumerOptions {
  groupId?: string
  topic?: string
  topics?: (string | RegExp)[]
  verifier?: Verifier
  /** is called before the consumer runs */
  connected?: (consumer: Consumer) => void
  /** default: one of its own */
  kafka?: Kafka
}

/** Makes a scene of the client that is tested. */
export type OpenScene = (options?: SceneOptions) => Promise<Scene>

/** When the Confluent client goes back to the first record, it commits that. */
export async function expectNothingPassed(scene: Scene): Promise<void> {
  expect(['-1', '0']).toContain(await scene.committed())
}
