import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapProducer } from '../../adapters/redis-streams/index.ts'
import { toReceived } from '../../adapters/redis-streams/message.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { adapterContract } from '../contract/adapter-contract.ts'
import { features, redisHarness } from '../contract/redis-harness.ts'
import { entriesOf, opened } from './clients.ts'
import { startCluster, type TestCluster, whenReady } from './cluster.ts'

const { signer, verifier } = testKeys('shop')

describe.skipIf(!inject('startableBrokers').includes('redis'))('a Cluster of three', () => {
  let cluster: TestCluster

  beforeAll(async () => {
    cluster = await startCluster()
  })
  afterAll(() => cluster.stop())

  describe.each([
    [5, {}],
    [5, { enableAutoPipelining: true }],
    [6, { keyPrefix: 'app:' }],
    [6, { enableAutoPipelining: true }],
  ] as const)('ioredis %s, %o', (version, options) => {
    it('signs every way to add an entry once, on every node', async () => {
      const redis = wrapProducer(await whenReady(opened(cluster.open(version, options))), signer)
      const prefix = 'keyPrefix' in options ? options.keyPrefix : ''
      const looking = opened(cluster.open(6))
      for (let count = 0; count < 12; count++) {
        const key = uniqueName('produced')
        await redis.xadd(key, '*', 'a', '1')
        await redis.call('XADD', key, '*', 'a', '1')
        await redis.pipeline().xadd(key, '*', 'a', '1').xlen(key).exec()
        await redis.multi().xadd(key, '*', 'a', '1').exec()
        const entries = await entriesOf(looking, prefix + key)
        expect(entries).toHaveLength(4)
        for (const fields of entries) {
          expect(fields).toHaveLength(4)
          verifier.verify(toReceived({ stream: prefix + key, group: 'g', id: '1-0', fields }))
        }
      }
    })

    it('refuses what it cannot sign, alone and in pipelines', async () => {
      const redis = wrapProducer(await whenReady(opened(cluster.open(version, options))), signer)
      const key = uniqueName('refused')
      const refusal = expect.objectContaining({ code: 'option-invalid' })
      const add = [key, 'IDMPAUTO', 'p', '*', 'a', '1'] as unknown as [string, string]
      await expect(redis.xadd(...add)).rejects.toEqual(refusal)
      const results = await redis
        .pipeline()
        .xadd(...add)
        .xlen(key)
        .exec()
      expect(results).toEqual([[refusal], [null, 0]])
      await expect(
        redis
          .multi()
          .xadd(...add)
          .exec(),
      ).rejects.toMatchObject({ previousErrors: [refusal] })
    })
  })

  it('follows a slot that moves, and signs once', async () => {
    const redis = wrapProducer(await whenReady(opened(cluster.open(6))), signer)
    const key = uniqueName('moved')
    await redis.xadd(key, '*', 'a', '1')
    // A client whose picture of the slots is wrong is told where to go instead.
    const { slots } = redis as unknown as { slots: string[][] }
    const wrong = slots.findIndex((nodes, slot) => slot > 0 && nodes[0] !== slots[0]?.[0])
    const turned = slots.map((nodes) => (nodes[0] === slots[0]?.[0] ? slots[wrong] : slots[0])) as string[][]
    for (const [slot, nodes] of turned.entries()) slots[slot] = [...nodes]
    await Promise.all(Array.from({ length: 20 }, () => redis.xadd(key, '*', 'a', '1')))
    const entries = await entriesOf(opened(cluster.open(6)), key)
    expect(entries.map((fields) => fields.length)).toEqual(Array.from({ length: 21 }, () => 4))
  })

  adapterContract('wrapConsumer, ioredis 6:', redisHarness({ open: () => cluster.open(6) }), features)
  adapterContract(
    'consumeStream, ioredis 5, with a keyPrefix:',
    redisHarness({ open: () => cluster.open(5, { keyPrefix: 'app:' }), prefix: 'app:', ownLoop: true }),
    { ...features, requeue: true, awaitsHandler: true, handlersSettle: true },
  )
})
