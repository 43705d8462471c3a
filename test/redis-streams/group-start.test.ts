import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import { startKeyOf } from '../../adapters/redis-streams/group-start.ts'
import { consumeStream, type StreamConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { type RedisServer, startRedis, uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { opened, plain, Redis6, redisUrl } from './clients.ts'

/** `startId` counts for the very first creation of a group: nothing that was written after it is left out. */

const { signer, keys } = testKeys('shop')

interface Scene {
  readonly key: string
  readonly raw: Redis6
  readonly producer: Redis6
  readonly handled: string[]
  start(startId?: string): Promise<StreamConsumer>
  add(...bodies: string[]): Promise<void>
}

function scene(url = redisUrl): Scene {
  const key = uniqueName('start')
  const raw = url === redisUrl ? plain() : opened(new Redis6(url))
  const producer = wrapProducer(opened(new Redis6(url)), signer)
  raw.on('error', () => undefined)
  producer.on('error', () => undefined)
  const handled: string[] = []
  return {
    ...{ key, raw, producer, handled },
    async start(startId = '$') {
      const redis = opened(new Redis6(url))
      redis.on('error', () => undefined)
      const consumer = consumeStream({
        // A verifier of its own, as another process has it.
        ...{ redis, stream: key, group: 'g', consumer: 'c', verifier: new Verifier({ keys }), startId },
        ...{ blockSeconds: 0.02, claimIdleSeconds: 0.1, handler: ({ values }) => handled.push(String(values.n)) },
      })
      onTestFinished(() => consumer.stop())
      await eventually(async () => expect(String(await raw.xinfo('GROUPS', key).catch(String))).toContain('g,'))
      return consumer
    },
    async add(...bodies) {
      for (const body of bodies) await producer.xadd(key, '*', 'n', body)
    },
  }
}

/** What was written at once, so that all of it is there before the group can be made again. */
async function written(signed: Redis6, key: string, ids: readonly string[]): Promise<void> {
  const pipeline = signed.multi().del(key)
  for (const id of ids) pipeline.xadd(key, id, 'n', `anew ${id}`)
  await pipeline.exec()
}

describe.skipIf(redisUrl === '')('startId $', () => {
  it('leaves out what was there before', async () => {
    const { start, add, handled } = scene()
    await add('old')
    await start()
    await add('new')
    await eventually(() => expect(handled).toEqual(['new']))
  })

  it.each([
    ['with ids by the clock', (): string[] => ['*', '*', '*']],
    ['with ids that begin anew', (): string[] => ['1-1', '1-2', '2-1']],
    ['with a last id far ahead', (): string[] => ['1-1', '1-2', '99999999999999-0']],
  ])('a stream that is deleted and written anew %s is handled from its beginning', async (_how, ids) => {
    const { start, add, handled, producer, key } = scene()
    await add('old', 'old', 'old', 'old', 'old')
    await start()
    await add('1', '2', '3', '4')
    await eventually(() => expect(handled).toHaveLength(4))
    await written(producer, key, ids())
    await eventually(() => expect(handled.slice(4)).toHaveLength(3))
    await add('goes on').catch(() => undefined)
    expect(handled).not.toContain('old')
  })

  it('a group that is destroyed goes on from where it first began', async () => {
    const { start, add, handled, raw, producer, key } = scene()
    await add('old')
    await start()
    await add('1')
    await eventually(() => expect(handled).toEqual(['1']))
    const adding = producer.multi()
    for (const body of ['2', '3']) adding.xadd(key, '*', 'n', body)
    await adding.call('XGROUP', 'DESTROY', key, 'g').exec()
    await eventually(() => expect(handled).toEqual(expect.arrayContaining(['2', '3'])))
    expect(handled).not.toContain('old')
    expect(await raw.hget(startKeyOf(key), 'g')).toMatch(/^\d+-\d+$/)
  })

  it.each([
    ['the group', (raw: Redis6, key: string) => raw.xgroup('DESTROY', key, 'g'), ['1', '2', '3']],
    ['the stream', (raw: Redis6, key: string) => raw.del(key), ['2', '3']],
  ] as const)('counts once also where %s goes while no consumer runs', async (_what, remove, expected) => {
    const { start, add, handled, raw, key } = scene()
    await add('old')
    const first = await start()
    await add('1')
    await eventually(() => expect(handled).toEqual(['1']))
    await first.stop()
    handled.length = 0
    await remove(raw, key)
    await add('2', '3')
    await start()
    await eventually(() => expect(handled).toEqual(expected))
  })

  it('of a group that was there already nothing is left out that it has not acknowledged', async () => {
    const { start, add, handled, raw, key } = scene()
    await add('old', 'taken', 'new')
    const [[oldId]] = (await raw.xrange(key, '-', '+')) as unknown as [[string]]
    await raw.xgroup('CREATE', key, 'g', oldId)
    await raw.xreadgroup('GROUP', 'g', 'gone', 'COUNT', 1, 'STREAMS', key, '>')
    const first = await start()
    await eventually(() => expect([...handled].sort()).toEqual(['new', 'taken']))
    await first.stop()
    handled.length = 0
    await raw.xgroup('DESTROY', key, 'g')
    await start()
    await eventually(() => expect(handled).toEqual(['taken', 'new']))
  })

  it('goes on where the place that notes it cannot be used', async () => {
    const { start, add, handled, raw, key, producer } = scene()
    await raw.set(startKeyOf(key), 'no hash')
    await add('old')
    await start()
    await add('1')
    await eventually(() => expect(handled).toEqual(['1']))
    await written(producer, key, ['*'])
    await eventually(() => expect(handled).toHaveLength(2))
  })
})

describe.skipIf(redisUrl === '')('a startId that is an id', () => {
  it('counts once, too', async () => {
    const { start, handled, producer, key } = scene()
    await producer.xadd(key, '5-1', 'n', 'old')
    await start('6-0')
    await producer.xadd(key, '6-1', 'n', '1')
    await eventually(() => expect(handled).toEqual(['1']))
    await written(producer, key, ['1-1', '1-2'])
    await eventually(() => expect(handled).toEqual(['1', 'anew 1-1', 'anew 1-2']))
  })
})

describe.skipIf(!inject('startableBrokers').includes('redis'))('a server that loses everything', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server.stop())

  it('FLUSHALL: what is written after it is handled', async () => {
    const { start, add, handled, raw, producer, key } = scene(server.url)
    await add('old')
    await start()
    await add('1')
    await eventually(() => expect(handled).toEqual(['1']))
    const all = producer.multi().call('FLUSHALL')
    for (const body of ['2', '3']) all.xadd(key, '*', 'n', body)
    await all.exec()
    await eventually(() => expect(handled).toEqual(['1', '2', '3']))
    expect(await raw.hget(startKeyOf(key), 'g')).toMatch(/^\d+-\d+$/)
  })

  it('a restart without data, as a failover to an empty replica is', async () => {
    const { start, add, handled } = scene(server.url)
    await add('old')
    await start()
    await add('1')
    await eventually(() => expect(handled).toEqual(['1']))
    await server.restart()
    await eventually(() => add('2'))
    await add('3')
    await eventually(() => expect(handled).toEqual(expect.arrayContaining(['1', '2', '3'])))
  })
})

describe('the key that notes it', () => {
  it('is in the slot of its stream', () => {
    expect(startKeyOf('orders')).toBe('{orders}:queueauth-start')
    expect(startKeyOf('app:{orders}:eu')).toBe('app:{orders}:eu:queueauth-start')
  })
})
