import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { consumeStream, wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import type { ReplayStore } from '../../src/replay/replay-store.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { FlakyStore } from '../contract/stores.ts'
import { eventually } from '../eventually.ts'
import { KINDS, opened, type Redis6, redisUrl } from './clients.ts'
import { type ClusterVersion, startCluster, type TestCluster, whenReady } from './cluster.ts'

/** What closing a guarded client waits for, and what it can do when it is connected again. */

const { signer, keys } = testKeys('shop')
const GROUP = 'g'

/** A replay store whose commits wait until they are let through. */
class SlowCommits extends MemoryReplayStore {
  readonly #waiting: (() => void)[] = []

  get commits(): number {
    return this.#waiting.length
  }

  letThrough(): void {
    for (const pass of this.#waiting.splice(0)) pass()
  }

  // A commit of the memory store answers at once.
  override commit(...args: Parameters<MemoryReplayStore['commit']>): never {
    const waiting = new Promise<void>((resolve) => this.#waiting.push(resolve))
    return waiting.then(() => super.commit(...args)) as never
  }
}

interface Place {
  readonly prefix: string
  /** another client of the same kind */
  open(options?: Record<string, unknown>): Promise<Redis6>
}

function closing(place: Place): void {
  async function scene(replay?: ReplayStore): Promise<{
    key: string
    physical: string
    raw: Redis6
    producer: Redis6
    consumer: Redis6
    verifier: Verifier
  }> {
    const key = uniqueName('closed')
    const raw = await place.open({ keyPrefix: '' })
    await raw.xgroup('CREATE', place.prefix + key, GROUP, '0', 'MKSTREAM')
    const verifier = new Verifier({ keys, ...(replay && { replay }) })
    const producer = wrapProducer(await place.open(), signer)
    return {
      ...{ key, physical: place.prefix + key, raw, producer, verifier },
      consumer: wrapConsumer(await place.open(), verifier),
    }
  }

  const read = async (client: Redis6, key: string, block = 20): Promise<[string, string][]> => {
    const reply = await client.xreadgroup('GROUP', GROUP, 'c', 'COUNT', 10, 'BLOCK', block, 'STREAMS', key, '>')
    const pages = Array.isArray(reply) ? reply.map(([, entries]) => entries) : Object.values(reply ?? {})
    return (pages as [string, string[]][][]).flat().map(([id, fields]) => [id, fields[1] as string])
  }

  const pendingOf = async (raw: Redis6, physical: string): Promise<number> =>
    Number(((await raw.xpending(physical, GROUP)) as unknown[])[0])

  it('an acknowledgement that is being committed is sent before it quits', async () => {
    const store = new SlowCommits()
    const { key, physical, raw, producer, consumer } = await scene(store)
    await producer.xadd(key, '*', 'a', '1')
    const [[id]] = (await read(consumer, key)) as [[string, string]]
    const acknowledging = consumer.xack(key, GROUP, id)
    const quitting = consumer.quit()
    await eventually(() => expect(store.commits).toBe(1))
    store.letThrough()
    expect([await acknowledging, await quitting]).toEqual([1, 'OK'])
    expect(await pendingOf(raw, physical)).toBe(0)
    // With nothing to wait for it quits, or says that it is closed, as it does plainly.
    await eventually(() => expect(consumer.status).toBe('end'))
  })

  it('what is being committed when it disconnects fails, and stays pending', async () => {
    const store = new SlowCommits()
    const { key, physical, raw, producer, consumer } = await scene(store)
    await producer.xadd(key, '*', 'a', '1')
    const [[id]] = (await read(consumer, key)) as [[string, string]]
    const acknowledging = consumer.xack(key, GROUP, id).catch((error: Error) => error)
    await disconnected(consumer)
    store.letThrough()
    expect(await acknowledging).toBeInstanceOf(Error)
    expect(await pendingOf(raw, physical)).toBe(1)
    // Nothing is committed for what is turned down at once. A Cluster may go from `end` to `close` and wait for a connection.
    if (consumer.isCluster) return
    await expect(consumer.xack(key, GROUP, id)).rejects.toBeInstanceOf(Error)
    expect(store.commits).toBe(0)
  })

  it.each([
    ['disconnect', (client: Redis6) => disconnected(client)],
    [
      'quit',
      async (client: Redis6) => {
        const ended = once(client, 'end')
        await client.quit()
        await ended
      },
    ],
  ])('goes on after %s and connect: reads, acknowledgements, dead letters', async (_how, close) => {
    const { key, physical, raw, producer, consumer } = await scene()
    for (const round of ['first', 'second', 'third']) {
      await producer.xadd(key, '*', 'a', round)
      await raw.xadd(physical, '*', 'a', `forged before the ${round}`)
      const entries = await read(consumer, key)
      expect(entries.map(([, body]) => body)).toEqual([round])
      expect(await consumer.xack(key, GROUP, entries[0]?.[0] as string)).toBe(1)
      await eventually(async () => expect(await pendingOf(raw, physical)).toBe(0))
      await close(consumer)
      await consumer.connect()
    }
    expect(await raw.xlen(`{${physical}}:dlq`)).toBe(3)
    // Connected again before it could say that it ended.
    const ended = once(consumer, 'end')
    consumer.once('close', () => {
      if (consumer.status === 'end') consumer.connect().catch(() => undefined)
    })
    consumer.disconnect()
    await ended
    if (consumer.status === 'end') await consumer.connect()
    await producer.xadd(key, '*', 'a', 'last')
    expect((await read(consumer, key, 2_000)).map(([, body]) => body)).toEqual(['last'])
  })

  it('what was held when it was closed is given back, and can be read again', async () => {
    const store = new FlakyStore()
    const { key, physical, raw, producer, consumer } = await scene(store)
    await producer.xadd(key, '*', 'a', '1')
    store.up = false
    expect(await read(consumer, key)).toEqual([])
    await disconnected(consumer)
    store.up = true
    await consumer.connect()
    const [, claimed] = (await consumer.xautoclaim(key, GROUP, 'c', 0, '0')) as [string, [string, string[]][]]
    expect(claimed.map(([, fields]) => fields[1])).toEqual(['1'])
    expect(await consumer.xack(key, GROUP, claimed[0]?.[0] as string)).toBe(1)
    expect(await pendingOf(raw, physical)).toBe(0)
  })

  it('a client that was connected again still signs', async () => {
    const { key, producer, consumer } = await scene()
    await disconnected(producer)
    await producer.connect()
    await producer.xadd(key, '*', 'a', '1')
    await producer.pipeline().xadd(key, '*', 'a', '2').exec()
    expect((await read(consumer, key)).map(([, body]) => body)).toEqual(['1', '2'])
  })

  it('a loop of ours does not depend on the client that it was made from', async () => {
    const { key, producer, verifier } = await scene()
    const client = await place.open()
    const handled: string[] = []
    const loop = consumeStream({
      ...{ redis: client, stream: key, group: GROUP, consumer: 'c', verifier, blockSeconds: 0.05 },
      handler: ({ values }) => handled.push(String(values.a)),
    })
    await producer.xadd(key, '*', 'a', '1')
    await eventually(() => expect(handled).toEqual(['1']))
    await disconnected(client)
    await producer.xadd(key, '*', 'a', '2')
    await eventually(() => expect(handled).toEqual(['1', '2']))
    await loop.stop()
  })
}

async function disconnected(client: Redis6): Promise<void> {
  const ended = once(client, 'end')
  client.disconnect()
  await ended
}

describe.skipIf(redisUrl === '').each(KINDS.map((kind) => [kind.name, kind] as const))('%s', (_name, kind) => {
  closing({ prefix: kind.prefix, open: async (options) => quiet(opened(kind.open(options))) })
})

describe.skipIf(!inject('startableBrokers').includes('redis'))('a Cluster of three', () => {
  let cluster: TestCluster
  beforeAll(async () => {
    cluster = await startCluster()
  })
  afterAll(() => cluster.stop())

  describe.each(['5.0', 5, 6] as ClusterVersion[])('ioredis %s', (version) => {
    closing({ prefix: '', open: (options) => whenReady(opened(cluster.open(version, options))) })
  })
})

function quiet(client: Redis6): Redis6 {
  client.on('error', () => undefined)
  return client
}
