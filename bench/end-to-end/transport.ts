import type { Signer, Verifier } from '../../src/index.ts'

/** A kind of broker, and the same small program on it: a producer and a consumer. */
export interface Transport {
  readonly name: string
  /** the npm package of its client */
  readonly client: string
  /** ways to send, the main one first */
  readonly variants: readonly [string, ...string[]]
  /** A broker for this run alone. */
  start(): Promise<Broker>
  /** Resolves with what removes it again: a queue, a topic, a stream. */
  createQueue(queue: Queue): Promise<() => Promise<void>>
  openProducer(queue: Queue, options: ProducerOptions): Promise<Producer>
  /** @param handle is told of each body, and of the client's own message; the message is settled after that */
  openConsumer(
    queue: Queue,
    verifier: Verifier | undefined,
    handle: (body: Buffer, native: unknown) => void,
  ): Promise<void>
  /** The characters of the token on one of the client's messages, as it came. */
  tokenLength(native: unknown): number
}

export interface Broker {
  readonly address: string
  readonly version: string
  stop(): Promise<void>
}

export interface Queue {
  readonly address: string
  readonly name: string
  readonly variant: string
}

export interface ProducerOptions {
  /** wraps the client */
  readonly signer: Signer | undefined
  readonly batch: boolean
  /** goes with every message as it is, named `DUMMY_HEADER` */
  readonly dummy: string | undefined
}

export interface Producer {
  /** Sends what a program has at hand, and resolves when it may send more. */
  send(bodies: readonly Buffer[]): Promise<void>
  /** Everything sent so far has left, and is confirmed where the client confirms. */
  settle(): Promise<void>
  bytesWritten(): number
}

/** As long as the name of the token's header. */
export const DUMMY_HEADER = 'dummyauth'

/** The most messages that are sent together: what one request, or one read from a socket, makes a program send. */
export const CHUNK = 100

/** A few requests at a time, so that neither side waits for the other. */
export class InFlight {
  static readonly MOST = 4
  readonly #running = new Set<Promise<unknown>>()

  async add(request: Promise<unknown>): Promise<void> {
    const running = request.finally(() => this.#running.delete(running))
    this.#running.add(running)
    if (this.#running.size >= InFlight.MOST) await Promise.race(this.#running)
  }

  async settle(): Promise<void> {
    await Promise.all(this.#running)
  }
}
