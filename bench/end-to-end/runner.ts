import { Signer } from '../../src/index.ts'
import { uniqueName } from '../../test/brokers/index.ts'
import { generateKeyPairFor } from '../tokens/keys.ts'
import type { Amount, Consumed, ConsumerJob, Produced, ProducerJob } from './jobs.ts'
import { LOW, type Load, type Way } from './loads.ts'
import { cpuOfDescendants } from './processes.ts'
import { type Outcome, rateOf, type Sample, typical } from './summary.ts'
import { type Broker, CHUNK } from './transport.ts'
import { TRANSPORTS, type TransportName } from './transports.ts'
import { iterationsFor } from './work.ts'
import { WorkerProcess } from './worker-process.ts'

/** How long a program runs. */
export interface Durations {
  /** messages of the unsigned program that come before everything */
  readonly brokerWarmUp: number
  /** messages that each program begins with, as fast as they go through: longer than the compiler takes to have seen enough */
  readonly warmUp: number
  /** seconds */
  readonly measured: number
}

export interface RunnerOptions {
  readonly durations: Durations
  readonly rounds: { readonly saturated: number; readonly paced: number }
  readonly progress: (what: string) => void
}

const BODY_BYTES = 1024
const HANDLER_MICROS = 100
/** What it takes to see how long tokens are: messages, or seconds at a pace. */
const LOOK = { messages: 1000, seconds: 0.5 }

/** Characters of the tokens of a load. */
interface TokenLengths {
  readonly single: number
  readonly batch: number
}

/** Runs the same program in all its ways, in turns, on one broker. */
export class Runner {
  readonly #transport: TransportName
  readonly #broker: Broker
  readonly #options: RunnerOptions
  readonly #key: string
  readonly #line: string
  readonly #workIterations: number = iterationsFor(HANDLER_MICROS)

  constructor(transport: TransportName, broker: Broker, options: RunnerOptions) {
    this.#transport = transport
    this.#broker = broker
    this.#options = options
    const { privateKey } = generateKeyPairFor('Ed25519')
    this.#key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    this.#line = Signer.fromKey(privateKey, { service: 'bench' }).authorizedKeysLine('**')
  }

  async run(loads: readonly Load[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    if (loads[0] !== undefined) await this.#warmUp(loads[0])
    for (const load of loads) outcomes.push(await this.#runLoad(load, outcomes))
    return outcomes
  }

  /** A broker that has just started is slower than it will be. */
  async #warmUp(load: Load): Promise<void> {
    const { durations, progress } = this.#options
    progress(`${TRANSPORTS[this.#transport].name}: warming up`)
    const jobs = this.#jobs(load, 'unsigned', { single: 0, batch: 0 }, 'empty')
    await this.#withWorkers(jobs, (workers) => phase(workers, { messages: durations.brokerWarmUp, together: CHUNK }))
  }

  async #runLoad(load: Load, before: readonly Outcome[]): Promise<Outcome> {
    const { rounds, progress } = this.#options
    const { name } = TRANSPORTS[this.#transport]
    const count = load.pace === 'saturated' ? rounds.saturated : rounds.paced
    const rate = rateOfLoad(load, before)
    const lengths = {
      single: await this.#lengthFor(load, 'bare signatures', 'single tokens', rate),
      batch: await this.#lengthFor(load, 'dummy header', 'batch tokens', rate),
    }
    // At a low load no two messages leave together, so the programs do not get used to that either.
    const together = load.pace === LOW ? 1 : CHUNK
    const samples = new Map<Way, Sample[]>(load.ways.map((way) => [way, []]))
    for (let round = 0; round < count; round++) {
      // Each round begins with another, so that what one leaves behind does not always meet the same next one.
      for (let index = 0; index < load.ways.length; index++) {
        const way = load.ways[(round + index) % load.ways.length] as Way
        progress(`${name}, ${load.name}: ${way}, round ${round + 1} of ${count}`)
        const handler = load.pace === 'saturated' ? load.handler : 'latency'
        samples.get(way)?.push(await this.#measure(this.#jobs(load, way, lengths, handler), rate, together))
      }
    }
    return { load, rate, samples }
  }

  /** How long the tokens are that a program stands in for, as an unwrapped consumer sees them. */
  async #lengthFor(load: Load, standIn: Way, way: Way, rate: number | undefined): Promise<number> {
    if (!load.ways.includes(standIn)) return 0
    this.#options.progress(`${TRANSPORTS[this.#transport].name}, ${load.name}: the length of ${way}`)
    const { producer, consumer } = this.#jobs(load, way, { single: 0, batch: 0 }, 'token')
    const jobs = { producer, consumer: { ...consumer, verify: 'no' } } as const
    return await this.#withWorkers(jobs, async (workers) => {
      const amount = rate === undefined ? { messages: LOOK.messages, together: CHUNK } : { seconds: LOOK.seconds, rate }
      const { consumed } = await phase(workers, amount)
      return Math.round(consumed.tokenLength)
    })
  }

  #jobs(load: Load, way: Way, lengths: TokenLengths, handler: ConsumerJob['handler']): Jobs {
    const transport = this.#transport
    const queue = { address: this.#broker.address, name: uniqueName('bench'), variant: load.variant }
    const { sign, verify, dummyLength } = PROGRAMS[way](lengths)
    const common = { transport, queue }
    return {
      producer: { role: 'producer', ...common, bodyBytes: BODY_BYTES, key: this.#key, sign, dummyLength },
      consumer: {
        ...{ role: 'consumer', ...common, line: this.#line, verify, handler },
        workIterations: this.#workIterations,
      },
    }
  }

  #measure(jobs: Jobs, rate: number | undefined, together: number): Promise<Sample> {
    const { warmUp, measured } = this.#options.durations
    return this.#withWorkers(jobs, async (workers) => {
      await phase(workers, { messages: warmUp, together })
      const { produced, consumed, brokerMicros } = await phase(workers, { seconds: measured, rate })
      const { count } = produced
      return {
        perSecond: (count * 1000) / (consumed.lastAt - produced.startedAt),
        producer: produced.cpuMicros / count,
        consumer: consumed.cpuMicros / count,
        broker: brokerMicros && brokerMicros / count,
        bytes: produced.bytes / count,
        latencies: consumed.latencies,
      }
    })
  }

  async #withWorkers<T>(jobs: Jobs, use: (workers: Workers) => Promise<T>): Promise<T> {
    const remove = await TRANSPORTS[this.#transport].createQueue(jobs.producer.queue)
    const [producer, consumer] = [new WorkerProcess(), new WorkerProcess()]
    consumer.onHandled = (handled) => producer.tell({ handled })
    try {
      await Promise.all([
        producer.ask({ to: 'open', job: jobs.producer }),
        consumer.ask({ to: 'open', job: jobs.consumer }),
      ])
      return await use({ producer, consumer })
    } finally {
      await Promise.all([producer.kill(), consumer.kill()])
      await remove()
    }
  }
}

interface Jobs {
  readonly producer: ProducerJob
  readonly consumer: ConsumerJob
}

/** How a way signs and verifies, and what header it carries along. */
const PROGRAMS: Readonly<
  Record<Way, (lengths: TokenLengths) => Pick<ProducerJob, 'sign' | 'dummyLength'> & Pick<ConsumerJob, 'verify'>>
> = {
  unsigned: () => ({ sign: 'no', verify: 'no', dummyLength: 0 }),
  'dummy header': ({ batch }) => ({ sign: 'no', verify: 'no', dummyLength: batch }),
  'single tokens': () => ({ sign: 'single', verify: 'library', dummyLength: 0 }),
  'batch tokens': () => ({ sign: 'batch', verify: 'library', dummyLength: 0 }),
  'bare signatures': ({ single }) => ({ sign: 'bare', verify: 'bare', dummyLength: single }),
}

function rateOfLoad({ pace, variant }: Load, before: readonly Outcome[]): number | undefined {
  if (pace === 'saturated') return undefined
  if (pace !== 'half') return pace
  const saturated = before.find(({ load }) => load.variant === variant && load.pace === 'saturated')
  const most = saturated && typical(saturated, 'unsigned', rateOf)
  if (most === undefined) throw new Error(`nothing tells what half of the load of ${variant} is`)
  return Math.round(most / 2)
}

interface Workers {
  readonly producer: WorkerProcess
  readonly consumer: WorkerProcess
}

/** Sends, and waits until all of it is handled. */
async function phase(
  { producer, consumer }: Workers,
  amount: Amount,
): Promise<{ produced: Produced; consumed: Consumed; brokerMicros: number | undefined }> {
  const except = [producer.pid, consumer.pid]
  await consumer.ask({ to: 'begin' })
  const before = cpuOfDescendants(except)
  const produced = (await producer.ask({ to: 'produce', amount })) as Produced
  const consumed = (await consumer.ask({ to: 'finish', total: produced.total })) as Consumed
  const after = cpuOfDescendants(except)
  return { produced, consumed, brokerMicros: before && after && after - before }
}
