import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { FlakyStore, GatedStore } from '../contract/stores.ts'
import { eventually } from '../eventually.ts'
import { type ClientKind, KINDS, opened, plain, type Redis6, redisUrl } from './clients.ts'

/** A read takes no more than it was asked for, and no longer, whatever it finds. */

const { signer, keys } = testKeys('shop')
const GROUP = 'g'
const COUNT = 10

describe.skipIf(redisUrl === '').each(KINDS.map((kind) => [kind.name, kind] as [string, ClientKind]))(
  '%s',
  (_name, kind) => {
    async function scene(replay?: Verifier['replay']): Promise<{
      key: string
      physical: string
      raw: Redis6
      consumer: Redis6
      add(count: number, from?: number): Promise<void>
      pending(): Promise<number>
      letters(): Promise<number>
    }> {
      const key = uniqueName('bounded')
      const physical = kind.prefix + key
      const raw = plain()
      await raw.xgroup('CREATE', physical, GROUP, '0', 'MKSTREAM')
      const producer = wrapProducer(opened(kind.open({ enableAutoPipelining: true })), signer, { batch: true })
      return {
        ...{ key, physical, raw },
        consumer: wrapConsumer(opened(kind.open()), new Verifier({ keys, ...(replay && { replay }) })),
        async add(count, from = 0) {
          const names = Array.from({ length: count }, (_, index) => String(from + index))
          await Promise.all(names.map((name) => producer.xadd(key, '*', 'a', name)))
        },
        pending: async () => Number(((await raw.xpending(physical, GROUP)) as unknown[])[0]),
        letters: () => raw.xlen(`{${physical}}:dlq`),
      }
    }

    /** @param block undefined: it does not block */
    async function read(client: Redis6, keys: string | string[], block?: number, id = '>'): Promise<string[]> {
      const streams = [keys].flat()
      const reply = await client.call(
        'XREADGROUP',
        ...['GROUP', GROUP, 'c', 'COUNT', COUNT, ...(block === undefined ? [] : ['BLOCK', block])],
        ...['STREAMS', ...streams, ...streams.map(() => id)],
      )
      return bodiesOf(reply)
    }

    it.each([
      ['does not block', undefined],
      ['blocks', 30],
    ])(
      'while the replay store is down a read that %s answers, and reads take no more than was asked for',
      async (_how, block) => {
        const store = new FlakyStore()
        const { key, consumer, add, pending, letters } = await scene(store)
        await add(500)
        store.up = false
        for (let count = 0; count < 8; count++) expect(await read(consumer, key, block)).toEqual([])
        expect(await pending()).toBe(COUNT)
        store.up = true
        const got: string[] = []
        await eventually(async () => {
          const entries = await read(consumer, key, 50)
          expect(entries.length).toBeLessThanOrEqual(COUNT)
          got.push(...entries)
          expect(got).toHaveLength(500)
        })
        expect(got.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, index) => index))
        expect(await letters()).toBe(0)
      },
    )

    it('in pipelines too', async () => {
      const store = new FlakyStore()
      const { key, consumer, add, pending } = await scene(store)
      await add(100)
      store.up = false
      for (let count = 0; count < 4; count++) {
        const results = await consumer
          .pipeline()
          .ping()
          .xreadgroup('GROUP', GROUP, 'c', 'COUNT', COUNT, 'STREAMS', key, '>')
          .exec()
        expect(results).toEqual([
          [null, 'PONG'],
          [null, null],
        ])
      }
      expect(await pending()).toBe(COUNT)
      store.up = true
      const got: string[] = []
      await eventually(async () => {
        got.push(...(await read(consumer, key, 50)))
        expect(got).toHaveLength(100)
      })
      expect(new Set(got).size).toBe(100)
    })

    it('a stream that is full does not keep another from being read', async () => {
      const store = new FlakyStore()
      const { key, consumer, add, raw } = await scene(store)
      const other = uniqueName('other')
      await raw.xgroup('CREATE', kind.prefix + other, GROUP, '0', 'MKSTREAM')
      await add(30)
      store.up = false
      expect(await read(consumer, [key, other])).toEqual([])
      store.up = true
      const producer = wrapProducer(opened(kind.open()), signer)
      await producer.xadd(other, '*', 'a', 'other')
      const got: string[] = []
      await eventually(async () => {
        got.push(...(await read(consumer, [key, other], 30)))
        expect(got).toHaveLength(31)
      })
      expect(got).toContain('other')
    })

    it('what is pending is not called read while it cannot be checked', async () => {
      const store = new FlakyStore()
      const { key, physical, consumer, add, raw } = await scene(store)
      await add(40)
      await raw.xreadgroup('GROUP', GROUP, 'c', 'STREAMS', physical, '>')
      store.up = false
      await expect(read(consumer, key, undefined, '0')).rejects.toThrow('read again')
      store.up = true
      const got: string[] = []
      await eventually(async () => {
        got.push(...(await read(consumer, key, 30)))
        expect(got).toHaveLength(COUNT)
      })
    })

    it.each([
      ['blocks', 300],
      ['does not block', undefined],
    ])('while refused entries keep coming a read that %s answers', async (_how, block) => {
      const { key, physical, raw, consumer, letters, pending } = await scene()
      let answered = false
      const reading = read(consumer, key, block).finally(() => {
        answered = true
      })
      // The forger goes on until it has been answered.
      let forged = 0
      while (!answered) {
        await raw.xadd(physical, '*', 'a', `forged ${forged++}`)
        await sleep(5)
      }
      expect(await reading).toEqual([])
      expect(await read(consumer, key)).toEqual([])
      await eventually(async () => expect([await letters(), await pending()]).toEqual([forged, 0]))
    })

    it('while the replay store does not answer at all a read does', async () => {
      const store = new GatedStore()
      const { key, consumer, add, pending } = await scene(store)
      await add(25)
      for (let count = 0; count < 2; count++) expect(await read(consumer, key, 20)).toEqual([])
      expect(await pending()).toBe(COUNT)
      store.open()
      const got: string[] = []
      await eventually(async () => {
        got.push(...(await read(consumer, key, 50)))
        expect(got).toHaveLength(25)
      })
      expect(got).toEqual(Array.from({ length: 25 }, (_, index) => String(index)))
    })

    it('a read that blocks without end waits for what can be shown', async () => {
      const store = new FlakyStore()
      const { key, consumer, add, pending } = await scene(store)
      await add(25)
      store.up = false
      const reading = read(consumer, key, 0)
      await eventually(async () => expect(await pending()).toBe(COUNT))
      store.up = true
      expect((await reading).length).toBeGreaterThan(0)
    })
  },
)

function bodiesOf(reply: unknown): string[] {
  if (reply === null) return []
  const list = reply as unknown[]
  if (!Array.isArray(list)) return Object.values(list as object).flatMap(bodiesOfEntries)
  // RESP3 has names and entries by turns.
  if (typeof list[0] === 'string') return list.filter((_, index) => index % 2 === 1).flatMap(bodiesOfEntries)
  return (list as [string, unknown][]).flatMap(([, entries]) => bodiesOfEntries(entries))
}

function bodiesOfEntries(entries: unknown): string[] {
  return (entries as [string, string[]][]).map(([, fields]) => fields[1] as string)
}
