import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { connect } from 'amqplib'
import { Signer } from '../src/index.ts'
import { startRabbitmq, uniqueName } from '../test/brokers/index.ts'
import { generateKeyPairFor } from './keys.ts'
import { median } from './measure.ts'
import { cpuOfDescendants } from './processes.ts'

/** The same program on a real RabbitMQ: without the library, with a dummy header, with single tokens, with batches. */

export const WAYS = ['unsigned', 'header', 'single', 'batch'] as const
export type Way = (typeof WAYS)[number]

export interface Load {
  readonly name: string
  readonly persistent: boolean
  /** the handler parses its JSON and is busy for so long; 0: it does nothing */
  readonly handlerMicros: number
  /** messages a second; undefined: as many as possible */
  readonly rate?: number
}

export interface Job extends Load {
  readonly role: 'producer' | 'consumer'
  readonly how: Way
  readonly url: string
  readonly queue: string
  readonly total: number
  readonly bytes: number
  readonly dummyLength: number
  readonly key: string
  readonly line: string
}

export interface Result {
  readonly startedAt?: number
  readonly endedAt: number
  readonly cpuMicros: number
  readonly bytes: number
  readonly latencies: readonly number[]
}

/** Medians over the rounds. */
export interface Measured {
  readonly messagesPerSecond: number
  /** the median of the ratios to the unsigned program of the same round */
  readonly share: number
  readonly producerMicros: number
  readonly consumerMicros: number
  readonly brokerMicros: number | undefined
  readonly bytes: number
  readonly p50: number | undefined
  readonly p99: number | undefined
}

export interface Size {
  readonly rounds: number
  readonly total: number
}

const BODY_BYTES = 1024
/** about the length of a batch token at 100 messages a tick */
const DUMMY_LENGTH = 740

export async function measureRabbitmq(
  loads: readonly Load[],
  { rounds, total }: Size,
  progress: (what: string) => void,
): Promise<ReadonlyMap<string, ReadonlyMap<Way, Measured>>> {
  const server = await startRabbitmq()
  try {
    const { privateKey } = generateKeyPairFor('Ed25519')
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    const line = Signer.fromKey(key, { service: 'bench' }).authorizedKeysLine('**')
    const results = new Map<string, ReadonlyMap<Way, Measured>>()
    for (const load of loads) {
      const samples = new Map<Way, Sample[]>(WAYS.map((way) => [way, []]))
      for (let round = 0; round < rounds; round++) {
        for (const how of WAYS) {
          progress(`RabbitMQ, ${load.name}: ${how}, round ${round + 1} of ${rounds}`)
          const count = load.rate === undefined ? total : load.rate * 2
          const common = { ...load, how, url: server.url, queue: uniqueName('bench'), total: count, key, line }
          samples.get(how)?.push(await run({ ...common, bytes: BODY_BYTES, dummyLength: DUMMY_LENGTH }))
        }
      }
      const unsigned = samples.get('unsigned') as Sample[]
      results.set(load.name, new Map(WAYS.map((way) => [way, summary(samples.get(way) as Sample[], unsigned)])))
    }
    return results
  } finally {
    await server.stop()
  }
}

interface Sample {
  readonly perSecond: number
  readonly producer: number
  readonly consumer: number
  readonly broker: number | undefined
  readonly bytes: number
  readonly latencies: readonly number[]
}

async function run(job: Omit<Job, 'role'>): Promise<Sample> {
  const setUp = await connect(job.url)
  const channel = await setUp.createChannel()
  await channel.assertQueue(job.queue, { durable: job.persistent })
  const [consumer, producer] = [startWorker(), startWorker()]
  const except = [consumer.pid, producer.pid].filter((pid) => pid !== undefined)
  try {
    const ready = messageOf(consumer)
    consumer.send({ ...job, role: 'consumer' })
    await ready
    const before = cpuOfDescendants(except)
    const [consumed, produced] = [messageOf(consumer), messageOf(producer)]
    producer.send({ ...job, role: 'producer' })
    const [end, start] = (await Promise.all([consumed, produced])) as [Result, Result]
    const after = cpuOfDescendants(except)
    return {
      perSecond: (job.total * 1000) / (end.endedAt - (start.startedAt as number)),
      producer: start.cpuMicros / job.total,
      consumer: end.cpuMicros / job.total,
      broker: before === undefined || after === undefined ? undefined : (after - before) / job.total,
      bytes: start.bytes / job.total,
      latencies: end.latencies,
    }
  } finally {
    consumer.kill()
    producer.kill()
    await channel.deleteQueue(job.queue)
    await setUp.close()
  }
}

function startWorker(): ChildProcess {
  return fork(fileURLToPath(new URL('./rabbitmq-worker.js', import.meta.url)))
}

function messageOf(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    child.once('message', resolve)
    child.once('exit', () => reject(new Error('a process of the benchmark has ended')))
  })
}

function summary(samples: readonly Sample[], unsigned: readonly Sample[]): Measured {
  const of = (pick: (sample: Sample) => number): number => median(samples.map(pick))
  const latencies = samples.flatMap((sample) => sample.latencies).toSorted((a, b) => a - b)
  const quantile = (q: number): number | undefined => latencies[Math.floor(latencies.length * q)]
  return {
    messagesPerSecond: of(({ perSecond }) => perSecond),
    share: median(samples.map(({ perSecond }, round) => perSecond / (unsigned[round] as Sample).perSecond)),
    producerMicros: of(({ producer }) => producer),
    consumerMicros: of(({ consumer }) => consumer),
    brokerMicros: samples.some(({ broker }) => broker === undefined) ? undefined : of(({ broker }) => broker as number),
    bytes: of(({ bytes }) => bytes),
    p50: quantile(0.5),
    p99: quantile(0.99),
  }
}
