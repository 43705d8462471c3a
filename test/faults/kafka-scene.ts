import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Admin, Kafka, logLevel, type Producer } from 'kafkajs'
import { expect } from 'vitest'
import { wrapProducer } from '../../adapters/kafka/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { builtProgram } from '../built.ts'
import { createTopic } from '../kafka/topics.ts'

const PARTITIONS = 6

/** What runs in a process of its own: a consumer, or one that produces something of each record in a transaction. */
type Program = 'kafka-consumer' | 'kafka-exactly-once'

export type Mode = 'eachMessage' | 'eachBatch'

/** Records good and bad, mixed over six partitions, and consumers in processes of their own. */
export class KafkaScene {
  readonly #brokers: readonly string[]
  readonly #confluent: string | undefined
  readonly #kafka: Kafka
  readonly #admin: Admin
  readonly #keys = testKeys('checkout')
  readonly #children = new Set<ChildProcess>()
  #signing: Producer | undefined
  #plain: Producer | undefined
  #folder = ''
  #built = ''

  /** @param confluent where the Confluent client is installed, for consumers of that instead of kafkajs */
  constructor(brokers: readonly string[], confluent?: string) {
    this.#brokers = brokers
    this.#confluent = confluent
    const retry = { initialRetryTime: 100, retries: 30, maxRetryTime: 1_000 }
    this.#kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, retry })
    this.#admin = this.#kafka.admin()
  }

  async start(): Promise<void> {
    this.#built = await builtProgram()
    this.#folder = await mkdtemp(join(tmpdir(), 'queue-key-auth-kafka-'))
    this.#signing = wrapProducer(this.#kafka.producer(), this.#keys.signer)
    this.#plain = this.#kafka.producer()
    await Promise.all([this.#admin.connect(), this.#signing.connect(), this.#plain.connect()])
  }

  async end(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL')
    await Promise.all([this.#signing?.disconnect(), this.#plain?.disconnect(), this.#admin.disconnect()])
    await rm(this.#folder, { recursive: true })
  }

  /** About a third of the records is bad. */
  async fill(count: number): Promise<Run> {
    const topic = uniqueName('faults')
    await createTopic(this.#admin, { topic, numPartitions: PARTITIONS })
    const names = Array.from({ length: count }, (_, index) => `${index % 3 === 1 ? 'bad' : 'good'} ${index}`)
    // In pieces, so that the two kinds lie mixed.
    for (let start = 0; start < count; start += 50) {
      const piece = names.slice(start, start + 50)
      const messages = (kind: string, headers: Record<string, string>) =>
        piece
          .filter((name) => name.startsWith(kind))
          .map((value) => ({ value, headers, partition: Math.floor(Math.random() * PARTITIONS) }))
      await Promise.all([
        this.#signing?.send({ topic, messages: messages('good', {}) }),
        this.#plain?.send({ topic, messages: messages('bad', { queueauth: 'no.to.ken' }) }),
      ])
    }
    const effectsFile = join(this.#folder, topic)
    writeFileSync(effectsFile, '')
    return { topic, names, effects: () => readFileSync(effectsFile, 'utf8').split('\n').slice(0, -1), effectsFile }
  }

  consumer({ topic, effectsFile }: Run, mode: Mode, program: Program = 'kafka-consumer'): ChildProcess {
    const job = {
      built: this.#built,
      brokers: this.#brokers,
      topic,
      groupId: `group-${topic}`,
      authorizedKeys: this.#keys.signer.authorizedKeysLine('**'),
      effectsFile,
      mode,
      confluent: this.#confluent,
    }
    const child = fork(fileURLToPath(new URL(`programs/${program}.mjs`, import.meta.url)), [JSON.stringify(job)], {
      execArgv: [],
      env: { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1' },
    })
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  /** Waits until the group has passed every record, and looks at what became of each. */
  async expectAll(run: Run): Promise<void> {
    await expect.poll(() => this.#lag(run.topic), { timeout: 90_000, interval: 250 }).toBe(0)
    const handled = run.effects()
    const letters = await this.#read(`${run.topic}-dlt`)
    const good = run.names.filter((name) => name.startsWith('good'))
    const bad = run.names.filter((name) => name.startsWith('bad'))
    expect([...new Set(handled)].sort()).toEqual(good.sort())
    expect([...new Set(letters)].sort()).toEqual(bad.sort())
    const [again, twice] = [handled.length - good.length, letters.length - bad.length]
    console.log(
      `${good.length} good handled (${again} more than once), ${bad.length} bad dead-lettered (${twice} more than once)`,
    )
  }

  /** What a read-committed consumer sees of the outputs, as they come. */
  async readOutputs({ topic }: Run): Promise<{ readonly values: readonly string[]; close(): Promise<void> }> {
    await createTopic(this.#admin, { topic: `${topic}-out`, numPartitions: PARTITIONS })
    const consumer = this.#kafka.consumer({ groupId: uniqueName('outputs'), maxWaitTimeInMs: 50 })
    await consumer.connect()
    await consumer.subscribe({ topic: `${topic}-out`, fromBeginning: true })
    const values: string[] = []
    await consumer.run({ eachMessage: async ({ message }) => void values.push(String(message.value)) })
    return { values, close: () => consumer.disconnect() }
  }

  /** Waits until there is an output for each good record, and looks for any more and at what became of the bad ones. */
  async expectOutputs(run: Run, outputs: readonly string[]): Promise<void> {
    const good = run.names.filter((name) => name.startsWith('good'))
    const bad = run.names.filter((name) => name.startsWith('bad'))
    await expect.poll(() => outputs.length, { timeout: 90_000, interval: 50 }).toBeGreaterThanOrEqual(good.length)
    const letters = async (): Promise<string[]> => this.#read(`${run.topic}-dlt`)
    await expect.poll(async () => new Set(await letters()).size, { timeout: 60_000 }).toBe(bad.length)
    expect([...new Set(await letters())].sort()).toEqual(bad.sort())
    // Not once more or less, whatever was killed where.
    expect([...outputs].sort()).toEqual(good.sort())
    console.log(`${good.length} outputs of ${good.length} good records, ${bad.length} bad ones dead-lettered`)
  }

  async #lag(topic: string): Promise<number> {
    const [committed] = await this.#admin.fetchOffsets({ groupId: `group-${topic}`, topics: [topic] })
    const ends = await this.#admin.fetchTopicOffsets(topic)
    return ends.reduce((sum, { partition, high }) => {
      const offset = Number(committed?.partitions.find((entry) => entry.partition === partition)?.offset ?? -1)
      return sum + Number(high) - Math.max(0, offset)
    }, 0)
  }

  async #read(topic: string): Promise<string[]> {
    const ends = await this.#admin.fetchTopicOffsets(topic)
    const count = ends.reduce((sum, { high }) => sum + Number(high), 0)
    const consumer = this.#kafka.consumer({ groupId: uniqueName('reader'), maxWaitTimeInMs: 50 })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    const values: string[] = []
    await consumer.run({ eachMessage: async ({ message }) => void values.push(String(message.value)) })
    while (values.length < count) await sleep(20)
    await consumer.disconnect()
    return values
  }
}

export interface Run {
  readonly topic: string
  readonly names: readonly string[]
  readonly effectsFile: string
  effects(): string[]
}

export function exited(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => child.once('exit', resolve))
}

/** Waits until more was handled than at the call, by at least as much. */
export async function progress(run: Run, more: number): Promise<void> {
  const from = run.effects().length
  await expect.poll(() => run.effects().length, { timeout: 60_000, interval: 5 }).toBeGreaterThanOrEqual(from + more)
}
