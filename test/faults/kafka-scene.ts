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
import { leaveGroup } from '../brokers/kafka-requests.ts'
import { builtProgram } from '../built.ts'
import { createTopic } from '../kafka/topics.ts'

const PARTITIONS = 6

/** How a consumer in a process of its own goes about it. */
export interface Job {
  readonly mode: 'eachMessage' | 'eachBatch'
  /** default: a consumer that notes what it handles; the other produces something of each record in a transaction */
  readonly program?: 'kafka-consumer' | 'kafka-exactly-once'
  /** how many records it is through with before it kills itself, soon after; default: it lives on */
  readonly dieAfter?: number
}

/** Records good and bad, mixed over six partitions, and consumers in processes of their own. */
export class KafkaScene {
  readonly #brokers: readonly string[]
  readonly #confluent: string | undefined
  readonly #kafka: Kafka
  readonly #admin: Admin
  readonly #keys = testKeys('checkout')
  readonly #children = new Set<ChildProcess>()
  readonly #members = new Map<ChildProcess, string>()
  #signing: Producer | undefined
  #plain: Producer | undefined
  #folder = ''
  #built = ''

  /** @param confluent where the Confluent client is installed, for consumers of that instead of kafkajs */
  constructor(brokers: readonly string[], confluent?: string) {
    this.#brokers = brokers
    this.#confluent = confluent
    const retry = { initialRetryTime: 100, retries: 60, maxRetryTime: 1_000 }
    this.#kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, connectionTimeout: 60_000, retry })
    this.#admin = this.#kafka.admin()
  }

  async open(): Promise<void> {
    this.#built = await builtProgram()
    this.#folder = await mkdtemp(join(tmpdir(), 'queue-key-auth-kafka-'))
    // A producer that is not idempotent writes records twice when one partition of a new topic makes it try again.
    const idempotent = { idempotent: true, maxInFlightRequests: 1 }
    this.#signing = wrapProducer(this.#kafka.producer(idempotent), this.#keys.signer)
    this.#plain = this.#kafka.producer(idempotent)
    await Promise.all([this.#admin.connect(), this.#signing.connect(), this.#plain.connect()])
  }

  async close(): Promise<void> {
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

  /** Starts a consumer. */
  start({ topic, effectsFile }: Run, { mode, program = 'kafka-consumer', dieAfter }: Job): ChildProcess {
    const job = {
      built: this.#built,
      brokers: this.#brokers,
      topic,
      groupId: `group-${topic}`,
      authorizedKeys: this.#keys.signer.authorizedKeysLine('**'),
      effectsFile,
      mode,
      dieAfter,
      confluent: this.#confluent,
    }
    const child = fork(fileURLToPath(new URL(`programs/${program}.mjs`, import.meta.url)), [JSON.stringify(job)], {
      execArgv: [],
      env: { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1' },
    })
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    child.on('message', ({ memberId = '' }: { memberId?: string }) => this.#members.set(child, memberId))
    return child
  }

  /** Waits until it is a member of the group. */
  async joined(child: ChildProcess): Promise<void> {
    await expect.poll(() => this.#members.has(child)).toBe(true)
  }

  /** Waits until it has killed itself, and until the group knows. */
  async killed({ topic }: Run, child: ChildProcess): Promise<void> {
    await exited(child)
    const member = this.#members.get(child)
    if (member) await leaveGroup(this.#brokers.join(), `group-${topic}`, member)
  }

  /** Waits until the group has passed every record, and looks at what became of each. */
  async expectAll(run: Run): Promise<void> {
    await expect.poll(() => this.#lag(run.topic), { interval: 250 }).toBe(0)
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
  async readOutputs({ topic }: Run): Promise<Outputs> {
    await createTopic(this.#admin, { topic: `${topic}-out`, numPartitions: PARTITIONS })
    const consumer = this.#kafka.consumer({ groupId: uniqueName('outputs'), maxWaitTimeInMs: 50 })
    await consumer.connect()
    await consumer.subscribe({ topic: `${topic}-out`, fromBeginning: true })
    // By where it stands: this consumer itself gets a record again when its group is balanced anew.
    const values = new Map<string, string>()
    await consumer.run({
      eachMessage: async ({ partition, message }) =>
        void values.set(`${partition}/${message.offset}`, String(message.value)),
    })
    return { values: () => [...values.values()], close: () => consumer.disconnect() }
  }

  /** Waits until there is an output for each good record, and looks for any more and at what became of the bad ones. */
  async expectOutputs(run: Run, outputs: Outputs): Promise<void> {
    const good = run.names.filter((name) => name.startsWith('good'))
    const bad = run.names.filter((name) => name.startsWith('bad'))
    await expect.poll(() => outputs.values().length).toBeGreaterThanOrEqual(good.length)
    const letters = async (): Promise<string[]> => this.#read(`${run.topic}-dlt`)
    await expect.poll(async () => new Set(await letters()).size, { interval: 250 }).toBe(bad.length)
    expect([...new Set(await letters())].sort()).toEqual(bad.sort())
    // Not once more or less, whatever was killed where.
    expect(outputs.values().sort()).toEqual(good.sort())
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

export interface Outputs {
  values(): string[]
  close(): Promise<void>
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
  await expect.poll(() => run.effects().length, { interval: 5 }).toBeGreaterThanOrEqual(from + more)
}
