import { sign, verify } from 'node:crypto'
import { AuthorizedKeys, Verifier } from '../../src/index.ts'
import { cpuSince } from '../measure.ts'
import { generateKeyPairFor } from '../tokens/keys.ts'
import { INPUT } from '../tokens/libraries.ts'
import { now } from './clock.ts'
import { type Consumed, type ConsumerJob, HANDLED_EVERY } from './jobs.ts'
import { TRANSPORTS } from './transports.ts'
import { work } from './work.ts'

/** Handles messages, and says how far it is. */
export class Consumer {
  readonly #tell: (handled: number) => void
  readonly #handle: (body: Buffer, native: unknown) => void
  #count = 0
  #lastAt = 0
  #wanted = Number.POSITIVE_INFINITY
  #finish: () => void = () => undefined
  // since begin()
  #cpu = cpuSince()
  #latencies: number[] = []
  #handled = 0
  #tokenLengths = 0

  static async open(job: ConsumerJob, tell: (handled: number) => void): Promise<Consumer> {
    const transport = TRANSPORTS[job.transport]
    const consumer = new Consumer(job, tell)
    const verifier = job.verify === 'library' ? new Verifier({ keys: AuthorizedKeys.parse(job.line) }) : undefined
    await transport.openConsumer(job.queue, verifier, (body, native) => consumer.#take(body, native))
    return consumer
  }

  private constructor(job: ConsumerJob, tell: (handled: number) => void) {
    this.#tell = tell
    const handle = this.#handlerFor(job)
    this.#handle = job.verify === 'bare' ? bareVerification(handle) : handle
  }

  begin(): void {
    this.#cpu = cpuSince()
    this.#latencies = []
    this.#handled = 0
    this.#tokenLengths = 0
  }

  async finish(total: number): Promise<Consumed> {
    this.#wanted = total
    if (this.#count < total) {
      await new Promise<void>((resolve) => {
        this.#finish = resolve
      })
    }
    if (this.#count > total) throw new Error(`${this.#count} messages came of ${total}`)
    return {
      lastAt: this.#lastAt,
      cpuMicros: this.#cpu(),
      latencies: this.#latencies,
      tokenLength: this.#tokenLengths / this.#handled,
    }
  }

  #take(body: Buffer, native: unknown): void {
    this.#handle(body, native)
    this.#lastAt = now()
    this.#handled++
    if (++this.#count % HANDLED_EVERY === 0) this.#tell(this.#count)
    if (this.#count === this.#wanted) this.#finish()
  }

  #handlerFor({ handler, workIterations, transport }: ConsumerJob): (body: Buffer, native: unknown) => void {
    switch (handler) {
      case 'empty':
        return () => undefined
      case 'work':
        return (body) => {
          JSON.parse(body.toString())
          work(workIterations)
        }
      case 'latency':
        return (body) => {
          const arrivedAt = now()
          this.#latencies.push(arrivedAt - JSON.parse(body.toString()).at)
        }
      case 'token':
        return (_, native) => {
          this.#tokenLengths += TRANSPORTS[transport].tokenLength(native)
        }
    }
  }
}

/** The least that any check of a signature costs. */
function bareVerification(handle: (body: Buffer, native: unknown) => void): (body: Buffer, native: unknown) => void {
  const { privateKey, publicKey } = generateKeyPairFor('Ed25519')
  const signature = sign(null, INPUT, privateKey)
  return (body, native) => {
    if (!verify(null, INPUT, publicKey, signature)) throw new Error('the benchmark is broken')
    handle(body, native)
  }
}
