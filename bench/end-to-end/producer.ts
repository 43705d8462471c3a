import { sign } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Signer } from '../../src/index.ts'
import { cpuSince } from '../measure.ts'
import { generateKeyPairFor } from '../tokens/keys.ts'
import { INPUT } from '../tokens/libraries.ts'
import { now } from './clock.ts'
import { type Amount, type Produced, type ProducerJob, WINDOW } from './jobs.ts'
import { dueOf } from './pace.ts'
import { CHUNK, type Producer as Sender } from './transport.ts'
import { TRANSPORTS } from './transports.ts'

/** Sends messages: as many as go through, or at a pace. */
export class Producer {
  readonly #job: ProducerJob
  readonly #sender: Sender
  readonly #beforeEach: () => void
  #sent = 0
  #handled = 0
  #wake: () => void = () => undefined

  static async open(job: ProducerJob): Promise<Producer> {
    const wrapped = job.sign === 'single' || job.sign === 'batch'
    const sender = await TRANSPORTS[job.transport].openProducer(job.queue, {
      signer: wrapped ? Signer.fromKey(job.key, { service: 'bench' }) : undefined,
      batch: job.sign === 'batch',
      dummy: job.dummyLength === 0 ? undefined : 'x'.repeat(job.dummyLength),
    })
    return new Producer(job, sender)
  }

  private constructor(job: ProducerJob, sender: Sender) {
    this.#job = job
    this.#sender = sender
    const { privateKey } = generateKeyPairFor('Ed25519')
    this.#beforeEach = job.sign === 'bare' ? () => void sign(null, INPUT, privateKey) : () => undefined
  }

  /** The consumer has handled so many. */
  handled(count: number): void {
    this.#handled = count
    this.#wake()
  }

  async produce(amount: Amount): Promise<Produced> {
    const bytes = this.#sender.bytesWritten()
    const first = this.#sent
    const cpu = cpuSince()
    const startedAt = now()
    const together = 'messages' in amount ? amount.together : CHUNK
    for (;;) {
      const due = dueOf(amount, now() - startedAt, this.#sent - first)
      if (due === undefined) break
      if (this.#sent - this.#handled > WINDOW - CHUNK) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      } else if (due <= 0) await sleep(1)
      else await this.#sender.send(Array.from({ length: Math.min(due, together) }, () => this.#body()))
    }
    await this.#sender.settle()
    return {
      startedAt,
      total: this.#sent,
      count: this.#sent - first,
      cpuMicros: cpu(),
      bytes: this.#sender.bytesWritten() - bytes,
    }
  }

  #body(): Buffer {
    this.#beforeEach()
    const text = `{"at":${now()},"order":${this.#sent++},"padding":"`
    return Buffer.from(`${text.padEnd(this.#job.bodyBytes - 2, 'x')}"}`)
  }
}
