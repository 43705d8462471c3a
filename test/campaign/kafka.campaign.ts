import { type Admin, Kafka, logLevel, type Message, type Producer } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { wrapProducer } from '../../adapters/kafka/index.ts'
import { address } from '../../src/message.ts'
import { Signer } from '../../src/signer.ts'
import { startKafkaCluster, until } from '../brokers/clusters.ts'
import { startKafka, startRedis, uniqueName } from '../brokers/index.ts'
import type { KafkaServer } from '../brokers/kafka.ts'
import type { RedisServer } from '../brokers/redis.ts'
import { builtProgram } from '../built.ts'
import { createTopic } from '../kafka/topics.ts'
import { Ledger } from './ledger.ts'
import { Random } from './random.ts'
import { KILLS, PIECES } from './size.ts'
import { killAtRandom, publishDuring, type Scenario, Workers } from './workers.ts'

const signer = Signer.generate('checkout')
const stranger = Signer.generate('checkout')
const FORGERIES = ['no token', 'no JWS', 'a strange key', 'another body', 'another destination'] as const
const PARTITIONS = 6

type Kind = 'good' | 'forged'

class KafkaScene implements Scenario {
  readonly ledger: Ledger
  readonly random: Random
  readonly workers: Workers
  readonly names = ['a', 'b']
  readonly topic: string
  readonly #kafka: Kafka
  readonly #admin: Admin
  readonly #producers = new Map<Kind, Producer>()

  constructor(title: string, brokers: readonly string[], built: string, storeUrl: string | undefined) {
    this.ledger = new Ledger(`Kafka, ${storeUrl ? 'Redis' : 'memory'} replay store, ${title}`)
    this.random = new Random(this.ledger.scenario)
    this.topic = uniqueName('campaign')
    const retry = { initialRetryTime: 100, retries: 200, maxRetryTime: 1_000 }
    this.#kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, retry })
    this.#admin = this.#kafka.admin()
    const { effectsFile } = this.ledger
    const authorizedKeys = signer.authorizedKeysLine('**')
    this.workers = new Workers('kafka', {
      ...{ built, brokers, topic: this.topic, groupId: `group-${this.topic}`, authorizedKeys, effectsFile, storeUrl },
    })
    onTestFinished(async () => {
      this.workers.abandon()
      for (const client of [...this.#producers.values(), this.#admin]) await client.disconnect()
    })
  }

  async open(replicationFactor: number): Promise<void> {
    await this.#admin.connect()
    await createTopic(this.#admin, { topic: this.topic, numPartitions: PARTITIONS, replicationFactor })
    await createTopic(this.#admin, { topic: `${this.topic}-dlt`, numPartitions: PARTITIONS, replicationFactor })
  }

  async publish({ good, forged }: { readonly good: number; readonly forged: number }): Promise<void> {
    await Promise.all([
      this.#untilSent('good', this.ledger.more('good', good)),
      this.#untilSent('forged', this.ledger.more('forged', forged)),
    ])
  }

  /**
   * Where a leader ends, an idempotent producer of kafkajs may lose count, and every send of it fails from then on ("out of
   * order sequence number"); or it leaves the records of a partition out, and its answer too. What was not confirmed is
   * sent again, by another producer.
   */
  async #untilSent(kind: Kind, names: readonly string[]): Promise<void> {
    let left = names
    for (let attempt = 0; left.length > 0; attempt++) {
      const producer = await this.#producer(kind)
      const messages = left.map((name) => this.#record(kind, name))
      try {
        const answer = await producer.send({ topic: this.topic, messages })
        const written = new Set(answer.map(({ partition }) => partition))
        left = left.filter((_, index) => !written.has(messages[index]?.partition as number))
      } catch (error) {
        if (attempt > 100) throw error
      }
      if (left.length === 0) return
      if (kind === 'good') this.ledger.publishedAgain += left.length
      this.#producers.delete(kind)
      await producer.disconnect()
    }
  }

  #record(kind: Kind, value: string): Message {
    const token = kind === 'good' ? undefined : this.#forge(Buffer.from(value))
    return {
      value,
      partition: this.random.below(PARTITIONS),
      headers: token === undefined ? {} : { queueauth: token },
    }
  }

  async #producer(kind: Kind): Promise<Producer> {
    const known = this.#producers.get(kind)
    if (known !== undefined) return known
    // A producer that is not idempotent writes a record twice where an answer was lost.
    const producer = this.#kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
    if (kind === 'good') wrapProducer(producer, signer)
    this.#producers.set(kind, producer)
    await producer.connect()
    return producer
  }

  #forge(payload: Buffer): string | undefined {
    const destination = address('kafka', this.topic)
    switch (this.random.pick(FORGERIES)) {
      case 'no token':
        return undefined
      case 'no JWS':
        return 'no.to.ken'
      case 'a strange key':
        return stranger.sign({ destination, payload })
      case 'another body':
        return signer.sign({ destination, payload: Buffer.from('something else') })
      case 'another destination':
        return signer.sign({ destination: address('kafka', 'elsewhere'), payload })
    }
  }

  async finish(): Promise<void> {
    await expect.poll(() => this.ledger.isHandled, { interval: 100 }).toBe(true)
    await until(async () => (await this.#lag()) === 0, 'the group has passed every record', 120)
    await this.workers.close()
    this.ledger.close(await this.#deadLettered())
  }

  async #lag(): Promise<number> {
    const { topic } = this
    const [committed] = await this.#admin.fetchOffsets({ groupId: `group-${topic}`, topics: [topic] })
    const ends = await this.#admin.fetchTopicOffsets(topic)
    return ends.reduce((sum, { partition, high }) => {
      const offset = Number(committed?.partitions.find((entry) => entry.partition === partition)?.offset ?? -1)
      return sum + Number(high) - Math.max(0, offset)
    }, 0)
  }

  async #deadLettered(): Promise<string[]> {
    const topic = `${this.topic}-dlt`
    const ends = await this.#admin.fetchTopicOffsets(topic)
    const count = ends.reduce((sum, { high }) => sum + Number(high), 0)
    const consumer = this.#kafka.consumer({ groupId: uniqueName('reader'), maxWaitTimeInMs: 50 })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    const names: string[] = []
    await consumer.run({ eachMessage: async ({ message }) => void names.push(String(message.value)) })
    await expect.poll(() => names.length).toBeGreaterThanOrEqual(count)
    await consumer.disconnect()
    return names
  }
}

describe('Kafka', () => {
  let built: string
  let store: RedisServer

  beforeAll(async () => {
    built = await builtProgram()
    store = await startRedis()
  })
  afterAll(() => store?.stop())

  describe('one node', () => {
    let server: KafkaServer
    beforeAll(async () => {
      server = await startKafka()
      console.log(`broker: Kafka ${server.version}`)
    })
    afterAll(() => server?.stop())

    it.each([false, true])('kill -9 of consumers at random, shared store: %s', async (shared) => {
      const scene = new KafkaScene('kill -9 of consumers', server.brokers, built, shared ? store.url : undefined)
      await scene.open(1)
      await killAtRandom(scene, KILLS / 2, PIECES)
      await scene.finish()
    })

    it.each([false, true])('the server is killed and starts again, shared store: %s', async (shared) => {
      const scene = new KafkaScene('kill -9 of the server', server.brokers, built, shared ? store.url : undefined)
      await scene.open(1)
      for (const name of scene.names) await scene.workers.start(name)
      await publishDuring(scene, PIECES, async () => {
        for (let times = 0; times < 2; times++) {
          await new Promise((done) => setTimeout(done, 500 + scene.random.below(1_000)))
          await server.kill()
          scene.ledger.faults++
          await server.restart()
        }
      })
      await scene.finish()
    })
  })

  it('three nodes, each restarted in turn, and consumers that join and leave', async () => {
    const cluster = await startKafkaCluster()
    onTestFinished(() => cluster.stop())
    const brokers = cluster.nodes.flatMap((node) => node.brokers)
    const scene = new KafkaScene('three nodes, rolling restart and rebalances', brokers, built, store.url)
    await scene.open(3)
    for (const name of scene.names) await scene.workers.start(name)
    await publishDuring(scene, PIECES, async () => {
      for (const [index, node] of cluster.nodes.entries()) {
        await new Promise((done) => setTimeout(done, 1_000 + scene.random.below(1_000)))
        await scene.workers.start(`more-${index}`)
        await node.restart()
        scene.ledger.faults++
        await scene.workers.kill(`more-${index}`)
        scene.ledger.faults++
        await new Promise((done) => setTimeout(done, 3_000))
      }
    })
    await scene.finish()
  })
})
