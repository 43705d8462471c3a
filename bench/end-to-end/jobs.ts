import type { Queue } from './transport.ts'
import type { TransportName } from './transports.ts'

/** What the runner and its two processes, a producer and a consumer, say to each other. */

export interface ProducerJob {
  readonly role: 'producer'
  readonly transport: TransportName
  readonly queue: Queue
  readonly bodyBytes: number
  /** bare: a signature that nobody is sent, of a text as long as a token */
  readonly sign: 'no' | 'single' | 'batch' | 'bare'
  /** PEM */
  readonly key: string
  /** characters of a header that means nothing; 0: there is none */
  readonly dummyLength: number
}

/** How much to send. */
export type Amount =
  /** as fast as they go through, so many at a time */
  | { readonly messages: number; readonly together: number }
  /** at so many a second; undefined: as fast as they go through */
  | { readonly seconds: number; readonly rate: number | undefined }

export interface ConsumerJob {
  readonly role: 'consumer'
  readonly transport: TransportName
  readonly queue: Queue
  readonly verify: 'no' | 'library' | 'bare'
  /** a line of authorized_keys */
  readonly line: string
  readonly handler: Handler
  /** how long `work` works, see work.ts */
  readonly workIterations: number
}

/** Nothing; parsing and working; reading when the message was sent; measuring its token. */
export type Handler = 'empty' | 'work' | 'latency' | 'token'

export type Request =
  | { readonly to: 'open'; readonly job: ProducerJob | ConsumerJob }
  | { readonly to: 'produce'; readonly amount: Amount }
  /** what is measured of the consumer begins now */
  | { readonly to: 'begin' }
  /** is answered once the consumer has handled so many messages since it was opened */
  | { readonly to: 'finish'; readonly total: number }

/** Times are milliseconds of a clock that all processes of a machine share. */
export interface Produced {
  readonly startedAt: number
  /** since the process was opened */
  readonly total: number
  /** in this call */
  readonly count: number
  readonly cpuMicros: number
  readonly bytes: number
}

/** Since `begin`. */
export interface Consumed {
  readonly lastAt: number
  readonly cpuMicros: number
  /** milliseconds */
  readonly latencies: readonly number[]
  /** characters, on average; 0 unless the handler measures tokens */
  readonly tokenLength: number
}

/** The consumer tells it now and then, and the producer is told. */
export interface Handled {
  readonly handled: number
}

export interface Reply {
  readonly reply: Produced | Consumed | 'done'
}

/** The most messages that wait or are under way: enough for everyone to be busy, and no broker stores them elsewhere. */
export const WINDOW = 5_000
/** The consumer says how far it is after so many messages. */
export const HANDLED_EVERY = 500
