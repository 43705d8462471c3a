import { createRequire } from 'node:module'
import { afterEach, describe, expect, it } from 'vitest'
import { consumeStream, wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { testKeys } from '../../src/testing.ts'
import { senderOf } from '../../src/verdict.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { type ClientKind, KINDS, opened, plain, type Redis6, redisUrl } from './clients.ts'

/** `Command.setReplyTransformer` and `setArgumentTransformer` change what all commands of a name take and give. */

const require = createRequire(import.meta.url)
const { signer, keys } = testKeys('shop')
const GROUP = 'g'

interface Commands {
  setReplyTransformer(name: string, transform: (reply: unknown) => unknown): void
  setArgumentTransformer(name: string, transform: (args: unknown[]) => unknown[]): void
  readonly _transformer: { readonly argument: Record<string, unknown>; readonly reply: Record<string, unknown> }
}

const ALL = ['ioredis-5.0', 'ioredis-5', 'ioredis'].map((name) => (require(name) as { Command: Commands }).Command)
/** Of commands that the library sends itself, or looks at. */
const NAMES = [
  'xreadgroup',
  'xautoclaim',
  'xclaim',
  'xpending',
  'xack',
  'xgroup',
  'xinfo',
  'eval',
  'type',
  'hget',
  'hset',
]

afterEach(() => {
  for (const { _transformer: all } of ALL) {
    for (const name of NAMES) for (const one of [all.argument, all.reply]) delete one[name]
  }
})

describe.skipIf(redisUrl === '').each(KINDS.map((kind) => [kind.name, kind] as [string, ClientKind]))(
  '%s',
  (_name, kind) => {
    async function scene(): Promise<{ key: string; physical: string; raw: Redis6 }> {
      const key = uniqueName('transformed')
      const physical = kind.prefix + key
      const raw = plain()
      await raw.xgroup('CREATE', physical, GROUP, '0', 'MKSTREAM')
      const producer = wrapProducer(opened(kind.open()), signer)
      await producer.xadd(key, '*', 'a', '1')
      await raw.xadd(physical, '*', 'a', 'forged')
      await producer.xadd(key, '*', 'a', '2')
      return { key, physical, raw }
    }

    it('do not reach what the library sends itself', async () => {
      const { key, physical, raw } = await scene()
      for (const Command of ALL) {
        for (const name of NAMES) {
          Command.setReplyTransformer(name, () => ({ transformed: true }))
          Command.setArgumentTransformer(name, () => ['nonsense'])
        }
      }
      const handled: string[] = []
      const loop = consumeStream({
        ...{ redis: opened(kind.open()), stream: key, group: GROUP, consumer: 'c', verifier: new Verifier({ keys }) },
        ...{ blockSeconds: 0.02, claimIdleSeconds: 0.1, startId: '$' },
        handler: ({ values }) => handled.push(String(values.a)),
      })
      await eventually(() => expect(handled).toEqual(['1', '2']))
      await eventually(async () => expect(await raw.xlen(`{${physical}}:dlq`)).toBe(1))
      await loop.stop()
    })

    it('get of a guarded read what they would get, and give what they would give', async () => {
      const { key, physical, raw } = await scene()
      const seen: unknown[] = []
      for (const Command of ALL) {
        Command.setReplyTransformer('xreadgroup', (reply) => {
          seen.push(reply)
          return { pages: reply }
        })
        // What is pending is asked for by a name.
        Command.setArgumentTransformer('xreadgroup', (args) => args.map((arg) => (arg === 'new' ? '>' : arg)))
      }
      const client = wrapConsumer(opened(kind.open()), new Verifier({ keys }))
      const twin = opened(kind.open())
      await raw.xgroup('CREATE', physical, 'twin', '0')
      const read = (one: Redis6, group: string): Promise<unknown> =>
        one.xreadgroup('GROUP', group, 'c', 'COUNT', 10, 'STREAMS', key, 'new' as '>')
      const plainly = JSON.stringify(await read(twin, 'twin'))
      const guarded = (await read(client, GROUP)) as { pages: unknown }
      expect(Object.keys(guarded)).toEqual(['pages'])
      expect(seen.at(-1)).toBe(guarded.pages)
      // The same, without what is refused, and without tokens.
      const [first, , last] = entriesOf((JSON.parse(plainly) as { pages: unknown }).pages)
      const expected = [first, last].map((entry) => [entry?.[0], entry?.[1].slice(0, 2)])
      const entries = entriesOf(guarded.pages)
      expect(JSON.stringify(entries)).toBe(JSON.stringify(expected))
      expect(senderOf(entries[0] as object)?.service).toBe('shop')
      // A page that is refused altogether, and none at all.
      await raw.xadd(physical, '*', 'a', 'forged')
      expect(await read(client, GROUP)).toEqual({ pages: null })
      await eventually(async () => expect(await raw.xlen(`{${physical}}:dlq`)).toBe(2))
    })
  },
)

function entriesOf(pages: unknown): [string, string[]][] {
  if (!Array.isArray(pages)) return Object.values(pages as object)[0] as [string, string[]][]
  return (typeof pages[0] === 'string' ? pages[1] : (pages[0] as unknown[])[1]) as [string, string[]][]
}
