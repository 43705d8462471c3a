import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapProducer } from '../../adapters/redis-streams/index.ts'
import { toReceived } from '../../adapters/redis-streams/message.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { adapterContract } from '../contract/adapter-contract.ts'
import { features, redisHarness } from '../contract/redis-harness.ts'
import { entriesOf, opened, type Redis6 } from './clients.ts'
import { startCluster, type TestCluster, whenReady } from './cluster.ts'

const { signer, verifier } = testKeys('shop')

describe.skipIf(!inject('startableBrokers').includes('redis'))('a Cluster of three', () => {
  let cluster: TestCluster

  beforeAll(async () => {
    cluster = await startCluster()
  })
  afterAll(() => cluster.stop())

  describe.each([
    [5, {}, false],
    [5, { enableAutoPipelining: true }, true],
    [5, {}, true],
    [6, { keyPrefix: 'app:' }, false],
    [6, { keyPrefix: 'app:' }, true],
    [6, { enableAutoPipelining: true }, false],
    [6, { enableAutoPipelining: true }, true],
  ] as const)('ioredis %s, %o, batch %s', (version, options, batch) => {
    it('signs every way to add an entry once, on every node', async () => {
      const redis = wrapProducer(await whenReady(opened(cluster.open(version, options))), signer, { batch })
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
      const redis = wrapProducer(await whenReady(opened(cluster.open(version, options))), signer, { batch })
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

  /** A client whose picture of the slots is wrong is told where to go instead. */
  function misled(redis: Redis6): void {
    const { slots, _groupsBySlot: groups } = redis as unknown as { slots: string[][]; _groupsBySlot: number[] }
    const wrong = slots.findIndex((nodes, slot) => slot > 0 && nodes[0] !== slots[0]?.[0])
    const turn = <Of>(all: Of[]): Of[] => slots.map((nodes) => all[nodes[0] === slots[0]?.[0] ? wrong : 0] as Of)
    const [turned, turnedGroups] = [turn(slots), turn(groups)]
    for (const [slot, nodes] of turned.entries()) slots[slot] = [...nodes]
    for (const [slot, group] of turnedGroups.entries()) groups[slot] = group
  }

  it('follows a slot that moves, and signs once', async () => {
    const redis = wrapProducer(await whenReady(opened(cluster.open(6))), signer)
    const key = uniqueName('moved')
    await redis.xadd(key, '*', 'a', '1')
    misled(redis)
    await Promise.all(Array.from({ length: 20 }, () => redis.xadd(key, '*', 'a', '1')))
    const entries = await entriesOf(opened(cluster.open(6)), key)
    expect(entries.map((fields) => fields.length)).toEqual(Array.from({ length: 21 }, () => 4))
  })

  it.each([5, 6] as const)(
    'signs a pipeline once that is sent to where a slot moved, with ioredis %s',
    async (version) => {
      const redis = wrapProducer(await whenReady(opened(cluster.open(version))), signer, { batch: true })
      const sent: string[] = []
      for (const node of (redis as unknown as { nodes(): Redis6[] }).nodes()) {
        const { sendCommand } = node
        node.sendCommand = (command, stream) => {
          if (command.name === 'xadd') sent.push(String(command.args.at(-1)))
          return sendCommand.call(node, command, stream)
        }
      }
      const key = uniqueName('moved')
      misled(redis)
      const results = await redis.pipeline().xadd(key, '1-1', 'a', '1').xadd(key, '1-2', 'a', '2').exec()
      expect(results).toEqual([
        [null, '1-1'],
        [null, '1-2'],
      ])
      misled(redis)
      await redis.multi().xadd(key, '1-3', 'a', '3').xadd(key, '1-4', 'a', '4').exec()
      const entries = await entriesOf(opened(cluster.open(6)), key)
      for (const fields of entries) verifier.verify(toReceived({ stream: key, group: 'g', id: '1-0', fields }))
      const tokens = entries.map((fields) => String(fields.at(-1)))
      expect(tokens.map((token) => token.split('~')[1])).toEqual(['0', '1', '0', '1'])
      // Each went to a wrong node and to the right one, with the same token.
      expect(new Set(sent)).toEqual(new Set(tokens))
      expect(sent.length).toBeGreaterThanOrEqual(2 * tokens.length)
    },
  )

  it('signs a pipeline that waits for the cluster to be known', async () => {
    const redis = wrapProducer(opened(cluster.open(6, { lazyConnect: true })), signer, { batch: true })
    const key = uniqueName('early')
    const value = Buffer.from('as it was')
    const adding = redis.pipeline().xadd(key, '*', 'a', value).xadd(key, '*', 'a', value).exec()
    value.fill(0)
    await adding
    const entries = await entriesOf(opened(cluster.open(6)), key)
    expect(entries.map((fields) => String(fields[1]))).toEqual(['as it was', 'as it was'])
    for (const fields of entries) verifier.verify(toReceived({ stream: key, group: 'g', id: '1-0', fields }))
  })

  adapterContract('wrapConsumer, ioredis 6:', redisHarness({ open: () => cluster.open(6) }), features)
  adapterContract(
    'consumeStream, ioredis 5, with a keyPrefix:',
    redisHarness({ open: () => cluster.open(5, { keyPrefix: 'app:' }), prefix: 'app:', ownLoop: true }),
    { ...features, requeue: true, awaitsHandler: true, handlersSettle: true },
  )
  adapterContract(
    'in batches, wrapConsumer, ioredis 5:',
    redisHarness({ open: () => cluster.open(5), batch: true }),
    features,
  )
})
