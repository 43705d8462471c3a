import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RedisReplayStore } from '../../src/replay/redis-replay-store.ts'
import type { BeginResult, CommitResult } from '../../src/replay/replay-store.ts'
import { uniqueName } from '../brokers/index.ts'
import { claimOf, RETENTION_SECONDS, Reference, type Step, steps } from '../unit/replay/reference.ts'
import { opened, plain, Redis5, Redis6, redisUrl } from './clients.ts'

const clients: [string, () => Redis6][] = [
  ['ioredis 5', () => new Redis5(redisUrl) as unknown as Redis6],
  ['ioredis 6, RESP3 maps', () => new Redis6(redisUrl, { protocol: 3, replyMapping: 'resp3' }) as unknown as Redis6],
  ['ioredis 6 with a keyPrefix', () => new Redis6(redisUrl, { keyPrefix: 'app:' })],
]

/** So many seconds of Redis are one of the reference: however slow the machine is, hardly any of them pass by themselves. */
const SCALE = 1000

describe.skipIf(redisUrl === '').each(clients)('RedisReplayStore over %s', (_name, open) => {
  let redis: Redis6

  beforeAll(() => {
    redis = open()
  })
  afterAll(() => {
    redis.disconnect()
  })

  it('answers as the naive reference does', async () => {
    const looking = new Redis6(redisUrl)
    await fc.assert(
      fc.asyncProperty(steps, async (run) => {
        const keyPrefix = `${uniqueName('model')}:`
        const store = new RedisReplayStore(redis, { keyPrefix, timeoutSeconds: 60 })
        const reference = new Reference()
        const keys = async (): Promise<string[]> => looking.keys(`*${keyPrefix}*`)
        for (const one of run) {
          if (one.step === 'wait') {
            reference.now += one.seconds
            for (const key of await keys()) {
              // What has passed by itself is put back.
              const left = Math.ceil((await looking.ttl(key)) / SCALE) - one.seconds
              if (left > 0) await looking.expire(key, left * SCALE)
              else await looking.del(key)
            }
            // The lease is the time to live, so what nobody holds any more is forgotten.
            for (const [key, entry] of reference.entries) {
              if (entry.until <= reference.now) reference.entries.delete(key)
            }
          } else expect(await apply(one, store, SCALE)).toBe(await apply(one, reference))
        }
        for (const key of await keys()) await looking.del(key)
      }),
      { numRuns: 40 },
    )
    looking.disconnect()
  })
})

async function apply(
  { step, claim: given }: Step,
  store: Reference | RedisReplayStore,
  scale = 1,
): Promise<BeginResult | CommitResult | undefined> {
  const claim = { ...given, leaseSeconds: given.leaseSeconds * scale }
  if (step === 'begin') return store.begin(claim)
  if (step === 'commit') return store.commit(claim, RETENTION_SECONDS * scale)
  await store[step](claim)
  return undefined
}

describe.skipIf(redisUrl === '')('RedisReplayStore', () => {
  it('keeps leases and retentions by the clock of Redis, and for ever where that is asked', async () => {
    const redis = plain()
    const keyPrefix = `${uniqueName('time')}:`
    const store = new RedisReplayStore(redis, { keyPrefix })
    const ttl = async (): Promise<number> => redis.pttl((await redis.keys(`${keyPrefix}*`))[0] as string)
    await store.begin(claimOf({ leaseSeconds: 1_000 }))
    expect(await ttl()).toBeGreaterThan(500_000)
    await store.renew(claimOf({ leaseSeconds: 2_000 }))
    expect(await ttl()).toBeGreaterThan(1_500_000)
    await store.commit(claimOf(), 10_000)
    expect(await ttl()).toBeGreaterThan(9_500_000)
    await store.commit(claimOf(), Number.POSITIVE_INFINITY)
    expect(await ttl()).toBe(-1)
  })

  it('takes no more memory than it forecasts', async () => {
    const redis = plain()
    // As long as the default one.
    const keyPrefix = `test:${uniqueName('').slice(1, 12)}:`
    const store = new RedisReplayStore(redis, { keyPrefix })
    const key = JSON.stringify(['some.stream', 'shop', 'a'.repeat(22), 'workers', uniqueName('x')])
    const claim = claimOf({ key, position: '1700000000000-0', owner: `${'a'.repeat(16)}.12345` })
    await store.begin(claim)
    await store.commit(claim, 100)
    const [mine = ''] = await redis.keys(`${keyPrefix}*`)
    expect(Number(await redis.memory('USAGE', mine))).toBeLessThanOrEqual(
      RedisReplayStore.forecast({ messagesPerSecond: 1, maxAgeSeconds: 1 }).bytes,
    )
  })

  it('fails when there is no answer, and when there is no server', async () => {
    const still = plain()
    still.call = () => new Promise(() => undefined)
    const silent = new RedisReplayStore(still, { timeoutSeconds: 0.05 })
    await expect(silent.begin(claimOf())).rejects.toThrow('did not answer')
    const nobody = opened(new Redis6(1, '127.0.0.1', { maxRetriesPerRequest: 0, retryStrategy: () => 10 }))
    nobody.on('error', () => undefined)
    await expect(new RedisReplayStore(nobody).begin(claimOf())).rejects.toThrow()
  })
})
