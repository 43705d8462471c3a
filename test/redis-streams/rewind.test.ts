import { describe, expect, it, onTestFinished } from 'vitest'
import { consumeStream, wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import { RedisReplayStore } from '../../src/replay/redis-replay-store.ts'
import type { ReplayStore } from '../../src/replay/replay-store.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { opened, plain, Redis5, Redis6, redisUrl } from './clients.ts'

/** Whoever may XADD to a Redis without ACLs may move a group, too: what was handled stays handled at its own id. */

const { signer, keys } = testKeys('shop')

const stores: [string, () => ReplayStore][] = [
  ['memory', () => new MemoryReplayStore()],
  ['Redis, ioredis 5', () => new RedisReplayStore(opened(new Redis5(redisUrl) as unknown as Redis6), prefixed())],
  ['Redis, ioredis 6', () => new RedisReplayStore(plain(), prefixed())],
]

const prefixed = (): { keyPrefix: string } => ({ keyPrefix: `${uniqueName('rewind')}:` })

interface Scene {
  readonly key: string
  readonly raw: Redis6
  readonly verifier: Verifier
  readonly skipped: string[]
  readonly handled: string[]
  /** a client that reads as one of the group, and handles and acknowledges what it reads */
  reader(options?: { reprocess?: boolean }): { readonly client: Redis6; read(id?: string): Promise<void> }
  loop(options?: { reprocess?: boolean }): void
  add(...values: string[]): Promise<void>
  /** the group as it is when all was delivered and acknowledged */
  atRest(): Promise<void>
}

async function openScene(store: ReplayStore): Promise<Scene> {
  const key = uniqueName('rewound')
  const [raw, producer] = [plain(), wrapProducer(plain(), signer)]
  await raw.xgroup('CREATE', key, 'g', '0', 'MKSTREAM')
  const verifier = new Verifier({ keys, replay: store })
  const [handled, skipped]: [string[], string[]] = [[], []]
  const onVerdict = ({ outcome, code = '' }: { outcome: string; code?: string }): void => {
    if (outcome === 'skipped') skipped.push(code)
  }
  return {
    ...{ key, raw, verifier, handled, skipped },
    reader(options = {}) {
      const client = wrapConsumer(opened(new Redis6(redisUrl)), verifier, { onVerdict, ...options })
      const read = async (id = '>'): Promise<void> => {
        const args = ['GROUP', 'g', 'c', 'COUNT', 10, 'BLOCK', 20, 'STREAMS', key, id] as const
        const reply = (await client.xreadgroup(...args)) as [string, [string, string[]][]][] | null
        for (const [entry, fields] of reply?.[0]?.[1] ?? []) {
          handled.push(String(fields[1]))
          await client.xack(key, 'g', entry)
        }
      }
      return { client, read }
    },
    loop(options = {}) {
      const consumer = consumeStream({
        ...{ redis: raw, stream: key, group: 'g', consumer: 'c', verifier, onVerdict, ...options },
        ...{ blockSeconds: 0.02, claimIdleSeconds: 0.1 },
        handler: ({ values }) => handled.push(String(values.n)),
      })
      onTestFinished(() => consumer.stop())
    },
    add: async (...values) => {
      for (const value of values) await producer.xadd(key, '*', 'n', value)
    },
    atRest: () =>
      eventually(async () => {
        const [last] = (await raw.xrevrange(key, '+', '-', 'COUNT', 1)) as [[string, string[]]]
        const [group = []] = (await raw.xinfo('GROUPS', key)) as unknown[][]
        expect(group[group.indexOf('last-delivered-id') + 1]).toBe(last[0])
        expect(group[group.indexOf('pending') + 1]).toBe(0)
      }),
  }
}

describe.skipIf(redisUrl === '').each(stores)('a group that was moved back, replay store in %s', (_name, store) => {
  it('a wrapped client: what was handled is skipped and acknowledged, however often, whoever moved it', async () => {
    const scene = await openScene(store())
    const { client, read } = scene.reader()
    await scene.add('0', '1')
    await read()
    expect(scene.handled).toEqual(['0', '1'])
    for (const by of [scene.raw, client, scene.raw]) {
      await by.xgroup('SETID', scene.key, 'g', '0')
      await read()
      await scene.atRest()
    }
    await scene.add('2')
    await read()
    expect(scene.handled).toEqual(['0', '1', '2'])
    expect(scene.skipped).toEqual(Array.from({ length: 6 }, () => 'duplicate'))
  })

  it('consumeStream: the same, also where the group was made anew', async () => {
    const scene = await openScene(store())
    scene.loop()
    await scene.add('0', '1')
    await eventually(() => expect(scene.handled).toEqual(['0', '1']))
    await scene.atRest()
    await scene.raw.xgroup('SETID', scene.key, 'g', '0')
    await eventually(() => expect(scene.skipped).toHaveLength(2))
    await scene.raw.xgroup('DESTROY', scene.key, 'g')
    await eventually(() => expect(scene.skipped).toHaveLength(4))
    await scene.add('2')
    await eventually(() => expect(scene.handled).toEqual(['0', '1', '2']))
    await scene.atRest()
  })

  it('what was handled and is pending still is acknowledged when it is read or claimed again', async () => {
    const scene = await openScene(store())
    const { client, read } = scene.reader()
    await scene.add('0')
    await read()
    // As if the acknowledgement had been lost: the entry is put back among those that wait for one.
    const [[id]] = (await scene.raw.xrange(scene.key, '-', '+')) as [[string, string[]]]
    const pend = async (): Promise<void> => {
      await scene.raw.xgroup('SETID', scene.key, 'g', '0')
      await scene.raw.xreadgroup('GROUP', 'g', 'c', 'STREAMS', scene.key, '>')
    }
    await pend()
    await read('0')
    await scene.atRest()
    await pend()
    expect(await client.xclaim(scene.key, 'g', 'c', 0, id)).toEqual([])
    await scene.atRest()
    await pend()
    await client.xautoclaim(scene.key, 'g', 'c', 0, '0')
    await scene.atRest()
    expect(scene.handled).toEqual(['0'])
  })

  it('with reprocess all of it is handled again, and a copy at another id is not', async () => {
    const scene = await openScene(store())
    const { read } = scene.reader()
    await scene.add('0', '1')
    await read()
    const [[, fields]] = (await scene.raw.xrange(scene.key, '-', '+', 'COUNT', 1)) as [[string, string[]]]
    await scene.raw.xadd(scene.key, '*', ...(fields as [string, string]))
    await scene.raw.xgroup('SETID', scene.key, 'g', '0')
    await scene.reader({ reprocess: true }).read()
    await scene.atRest()
    expect(scene.handled).toEqual(['0', '1', '0', '1'])
    expect(scene.skipped).toEqual(['duplicate'])
    await scene.raw.xgroup('SETID', scene.key, 'g', '0')
    scene.loop({ reprocess: true })
    await eventually(() => expect(scene.handled).toEqual(['0', '1', '0', '1', '0', '1']))
    await scene.atRest()
    expect(scene.skipped).toEqual(['duplicate', 'duplicate'])
  })

  it('another group gets everything', async () => {
    const scene = await openScene(store())
    await scene.add('0', '1')
    await scene.reader().read()
    await scene.raw.xgroup('CREATE', scene.key, 'other', '0')
    const other = wrapConsumer(plain(), scene.verifier)
    const reply = await other.xreadgroup('GROUP', 'other', 'c', 'STREAMS', scene.key, '>')
    expect((reply as [string, unknown[]][])[0]?.[1]).toHaveLength(2)
  })
})

it.each(['true', 1, null])('reprocess %s is refused', (reprocess) => {
  const client = new Redis6({ lazyConnect: true })
  const options = { reprocess: reprocess as never }
  const verifier = new Verifier({ keys })
  const refused = expect.objectContaining({ code: 'option-invalid' })
  expect(() => wrapConsumer(client, verifier, options)).toThrow(refused)
  expect(() =>
    consumeStream({
      ...{ redis: client, stream: 's', group: 'g', consumer: 'c', verifier, handler: () => undefined },
      ...options,
    }),
  ).toThrow(refused)
})
