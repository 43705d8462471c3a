import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { consumeStream, wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { toReceived } from '../../adapters/redis-streams/message.ts'
import { testKeys } from '../../src/testing.ts'
import { senderOf } from '../../src/verdict.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { FlakyStore, remoteStore } from '../contract/stores.ts'
import { eventually } from '../eventually.ts'
import { type ClientKind, entriesOf, KINDS, opened, plain, type Redis6, redisUrl } from './clients.ts'
import { SilentProxy } from './silent-proxy.ts'
import { startTracing } from './traced.ts'

const tracing = startTracing()
afterAll(() => tracing.stop())

const { signer, keys, verifier: checking } = testKeys('shop')
const GROUP = 'g'

/** Where the tracer stands: over the wrapper, below it, or both. */
const PLACES = ['above', 'below', 'above and below'] as const
type Place = (typeof PLACES)[number]

function traced(client: Redis6, place: Place, wrap: (client: Redis6) => unknown): Redis6 {
  if (place.includes('below')) tracing.trace(client)
  wrap(client)
  if (place.includes('above')) tracing.trace(client)
  return client
}

const bodiesOf = (reply: unknown): string[] => {
  const pages = Array.isArray(reply) ? (reply as [unknown, [unknown, string[]][]][]) : Object.entries(reply ?? {})
  return pages.flatMap(([, entries]) => (entries as [unknown, string[]][]).map(([, fields]) => String(fields[1])))
}

describe
  .skipIf(redisUrl === '')
  .each(KINDS.flatMap((kind) => PLACES.map((place) => [kind.name, place, kind] as [string, Place, ClientKind])))(
  '%s, the tracer %s',
  (_name, place, kind) => {
    async function scene(replay?: Verifier['replay']): Promise<{
      key: string
      physical: string
      raw: Redis6
      consumer(options?: Record<string, unknown>, url?: string): Redis6
      letters(): Promise<number>
      pending(): Promise<number>
    }> {
      const key = uniqueName('traced')
      const physical = kind.prefix + key
      const raw = plain()
      await raw.xgroup('CREATE', physical, GROUP, '0', 'MKSTREAM')
      const verifier = new Verifier({ keys, ...(replay && { replay }) })
      return {
        ...{ key, physical, raw },
        consumer: (options = {}, url = redisUrl) => {
          const client = opened(kind.openAt(url, options))
          client.on('error', () => undefined)
          return traced(client, place, (one) => wrapConsumer(one, verifier))
        },
        letters: () => raw.xlen(`{${physical}}:dlq`),
        pending: async () => Number(((await raw.xpending(physical, GROUP)) as unknown[])[0]),
      }
    }

    async function produce(key: string, ...bodies: string[]): Promise<void> {
      const producer = wrapProducer(opened(kind.open()), signer)
      for (const body of bodies) await producer.xadd(key, '*', 'a', body)
    }

    const read = (client: Redis6, key: string, block = 2_000): Promise<unknown> =>
      client.xreadgroup('GROUP', GROUP, 'c', 'COUNT', 10, 'BLOCK', block, 'STREAMS', key, '>')

    it('a read that is sent before there is a connection is judged once', async () => {
      const { key, physical, raw, consumer, letters, pending } = await scene()
      await produce(key, '1', '2')
      await raw.xadd(physical, '*', 'a', 'forged')
      await produce(key, '3')
      const client = consumer({ lazyConnect: true })
      const reply = await read(client, key)
      expect(bodiesOf(reply)).toEqual(['1', '2', '3'])
      expect(await pending()).toBeGreaterThanOrEqual(3)
      await eventually(async () => expect([await letters(), await pending()]).toEqual([1, 3]))
      expect(await client.xack(key, GROUP, ...idsOf(reply))).toBe(3)
      expect(await pending()).toBe(0)
    })

    it('so is one in a pipeline, a claim, and one that is waited for at the server when the connection breaks', async () => {
      const { key, physical, raw, consumer, letters, pending } = await scene()
      await produce(key, '1')
      const results = await consumer({ lazyConnect: true })
        .pipeline()
        .ping()
        .xreadgroup('GROUP', GROUP, 'c', 'COUNT', 10, 'STREAMS', key, '>')
        .exec()
      expect(bodiesOf(results?.[1]?.[1])).toEqual(['1'])
      const [, claimed] = (await consumer({ lazyConnect: true }).xautoclaim(key, GROUP, 'd', 0, '0')) as [
        string,
        [string, string[]][],
      ]
      expect(claimed.map(([, fields]) => [...fields])).toEqual([['a', '1']])
      expect(senderOf(claimed[0] as object)?.service).toBe('shop')

      const connectionName = uniqueName('killed')
      const client = consumer({ connectionName })
      const reading = read(client, key, 60_000)
      const id = await eventually(async () => {
        const blocked = String(await raw.client('LIST')).split('\n')
        const line = blocked.find((one) => one.includes(`name=${connectionName}`) && one.includes('cmd=xreadgroup'))
        expect(line).toBeDefined()
        return /id=(\d+)/.exec(line as string)?.[1] as string
      })
      await raw.client('KILL', 'ID', id)
      await produce(key, '2', '3')
      const got = bodiesOf(await reading)
      if (got.length < 2) got.push(...bodiesOf(await read(client, key)))
      expect(got).toEqual(['2', '3'])
      await raw.xadd(physical, '*', 'a', 'forged')
      expect(await read(client, key, 20)).toBe(null)
      await eventually(async () => expect([await letters(), await pending()]).toEqual([1, 3]))
    })

    it('an acknowledgement is committed once and sent, also without a connection and in pipelines', async () => {
      const { key, consumer, pending, letters } = await scene(remoteStore())
      await produce(key, '1', '2')
      const client = consumer()
      const ids = idsOf(await read(client, key))
      const other = consumer({ lazyConnect: true })
      expect(await other.xack(key, GROUP, ids[0] as string)).toBe(1)
      expect(
        await consumer({ lazyConnect: true })
          .pipeline()
          .xack(key, GROUP, ids[1] as string)
          .exec(),
      ).toEqual([[null, 1]])
      expect([await pending(), await letters()]).toEqual([0, 0])
    })

    it('what is refused says so, whenever it was sent', async () => {
      const { key, consumer } = await scene()
      await produce(key, '1')
      for (const client of [consumer({ lazyConnect: true }), consumer()]) {
        await expect(client.xrange(key, '-', '+')).rejects.toMatchObject({ code: 'option-invalid' })
        const results = await client.pipeline().ping().xread('STREAMS', key, '0').exec()
        expect(results?.[1]?.[0]).toMatchObject({ code: 'option-invalid' })
        const refused = client.xreadgroup('GROUP', GROUP, 'c', 'NOACK', 'STREAMS', key, '>')
        await expect(refused).rejects.toMatchObject({ code: 'no-ack-refused' })
        expect(await client.ping()).toBe('PONG')
      }
    })

    it('what could not be judged comes later, once', async () => {
      const store = new FlakyStore()
      const { key, consumer, letters } = await scene(store)
      await produce(key, '1')
      store.up = false
      const client = consumer({ lazyConnect: true })
      expect(await read(client, key, 10)).toBe(null)
      store.up = true
      const got: string[] = []
      await eventually(async () => expect(got.push(...bodiesOf(await read(client, key, 20)))).toBeGreaterThan(0))
      got.push(...bodiesOf(await read(client, key, 20)))
      expect(got).toEqual(['1'])
      expect(await letters()).toBe(0)
    })

    it.each([false, true])('an entry is signed once, whenever it was sent, batch %s', async (batch) => {
      const { key, physical, raw } = await scene()
      const proxy = await SilentProxy.listen(redisUrl)
      onTestFinished(() => proxy.close())
      const producer = opened(kind.openAt(proxy.url, { lazyConnect: true }))
      producer.on('error', () => undefined)
      traced(producer, place, (one) => wrapProducer(one, signer, { batch }))
      const add = (): Promise<unknown> => producer.pipeline().xadd(key, '*', 'a', '1').xadd(key, '*', 'a', '2').exec()
      await Promise.all([producer.xadd(key, '*', 'a', '0'), add(), producer.call('XADD', key, '*', 'a', '3')])
      // Sent, and not answered when the connection breaks: it is sent again as it was.
      proxy.fallSilent()
      const adding = [producer.xadd(key, '*', 'a', '4'), add()]
      proxy.mend()
      proxy.cut()
      await Promise.all(adding)
      await expect(producer.call('XADD', key, 'IDMPAUTO', 'p', '*', 'a', '1')).rejects.toMatchObject({
        code: 'option-invalid',
      })
      const entries = await entriesOf(raw, physical)
      expect(entries).toHaveLength(7)
      for (const fields of entries) {
        expect(fields).toHaveLength(4)
        checking.verify(toReceived({ stream: physical, group: GROUP, id: '1-0', fields }))
      }
    })

    it('a loop of ours reads beside it, on connections that are traced', async () => {
      const { key, physical, raw, letters } = await scene()
      await produce(key, '1', '2')
      await raw.xadd(physical, '*', 'a', 'forged')
      const client = opened(kind.open({ lazyConnect: true }))
      traced(client, place, (one) => {
        const { duplicate } = one
        one.duplicate = ((...args: []) => tracing.trace(duplicate.apply(one, args) as Redis6)) as typeof one.duplicate
      })
      const handled: string[] = []
      const loop = consumeStream({
        ...{ redis: client, stream: key, group: GROUP, consumer: 'c', verifier: new Verifier({ keys }) },
        ...{ blockSeconds: 0.05, handler: ({ values }) => handled.push(String(values.a)) },
      })
      await eventually(() => expect(handled).toEqual(['1', '2']))
      await eventually(async () => expect(await letters()).toBe(1))
      await loop.stop()
    })
  },
)

describe.skipIf(redisUrl === '')('the tracer', () => {
  it('heard of reads, acknowledgements and what was refused', async () => {
    await sleep(0)
    const { good, failed } = tracing.ended()
    expect(good).toEqual(expect.arrayContaining(['xreadgroup', 'xack', 'xadd', 'xautoclaim', 'eval', 'ping']))
    expect(failed).toEqual(expect.arrayContaining(['xread', 'xadd']))
  })
})

function idsOf(reply: unknown): string[] {
  const pages = Array.isArray(reply) ? reply.map(([, entries]) => entries) : Object.values(reply ?? {})
  return (pages as [string][][]).flat().map(([id]) => id)
}
