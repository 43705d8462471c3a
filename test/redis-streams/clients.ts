import { createRequire } from 'node:module'
import { Cluster as Cluster6, Redis as Redis6 } from 'ioredis'
import { Cluster as Cluster5, Redis as Redis5 } from 'ioredis-5'
import { inject, onTestFinished } from 'vitest'

/** The clients that the tests of Redis Streams run on. */

export type Options = Record<string, unknown>

export interface ClientKind {
  readonly name: string
  readonly prefix: string
  open(options?: Options): Redis6
  /** at another address */
  openAt(url: string, options?: Options): Redis6
}

export { Cluster5, Cluster6, Redis5, Redis6 }

const require = createRequire(import.meta.url)

/** What is exported has no name `Redis` yet. */
const Redis50 = (require('ioredis-5.0') as { default: new (url: string, options: Options) => unknown }).default

export const redisUrl: string = inject('redisUrl') ?? ''

type Open = (url: string, options: Options) => Redis6

/** ioredis 5 and 6 are told apart by nothing that the tests use. */
const open50: Open = (url, options) => new Redis50(url, options) as Redis6
const open5: Open = (url, options) => new Redis5(url, options) as unknown as Redis6
const open6: Open = (url, options) => new Redis6(url, options as object) as Redis6

export const KINDS: readonly ClientKind[] = [
  kind('ioredis 5', open5, {}),
  kind('ioredis 6, RESP2, with a keyPrefix', open6, { protocol: 2, keyPrefix: 'app:' }),
  kind('ioredis 6, RESP3', open6, { protocol: 3 }),
  kind('ioredis 6, RESP3 maps', open6, { protocol: 3, replyMapping: 'resp3' }),
  kind('ioredis 5.0', open50, {}),
]

function kind(name: string, open: Open, fixed: Options): ClientKind {
  return {
    name,
    prefix: (fixed.keyPrefix as string) ?? '',
    open: (options = {}) => open(redisUrl, { ...fixed, ...options }),
    openAt: (url, options = {}) => open(url, { ...fixed, ...options }),
  }
}

/** A client that is closed after the test. */
export function opened(client: Redis6): Redis6 {
  onTestFinished(() => client.disconnect())
  return client
}

/** A plain client without a prefix, to look at what is there. */
export function plain(): Redis6 {
  return opened(new Redis6(redisUrl))
}

/** Every entry of a stream: its fields, names and values by turns. */
export async function entriesOf(redis: Redis6, key: string): Promise<Buffer[][]> {
  return (await redis.xrangeBuffer(key, '-', '+')).map(([, fields]) => fields as Buffer[])
}
