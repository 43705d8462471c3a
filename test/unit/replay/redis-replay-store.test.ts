import { Cluster, Redis } from 'ioredis'
import * as ioredis5 from 'ioredis-5'
import * as ioredis50 from 'ioredis-5.0'
import * as redis6 from 'redis'
import * as redis4 from 'redis-4'
import * as redis5 from 'redis-5'
import { describe, expect, it, vi } from 'vitest'
import { Guard } from '../../../src/guard.ts'
import { RedisReplayStore } from '../../../src/replay/redis-replay-store.ts'
import { bad, deliveryOf, fresh, happened, type Log, listenDuringEachTest } from '../deliveries.ts'
import { verifierFor } from '../helpers.ts'

/** Against Redis itself it is tested in test/redis-streams; this is about answers that Redis does not give. */

listenDuringEachTest()

/** A client of ioredis that was never connected, and answers what a test says. */
function answering(set: unknown, script: unknown): RedisReplayStore {
  const redis = new Redis({ lazyConnect: true })
  redis.call = (async (command: string) => (command === 'SET' ? set : script)) as never
  return new RedisReplayStore(redis)
}

describe('answers that make no sense', () => {
  it.each<[string, unknown, unknown]>([
    ['a client in a transaction', 'QUEUED', 'QUEUED'],
    ['a client that says nothing', undefined, undefined],
    ['a number', 1, 1],
    ['true', true, true],
  ])('%s: the message is held, not handled', async (_, set, script) => {
    const log: Log = []
    const controller = new AbortController()
    const guard = new Guard(verifierFor({ replay: answering(set, script) }), { signal: controller.signal })
    const held = happened('queue-key-auth:held', ({ code }) => code === 'store-unavailable')
    const outcome = guard.receive(deliveryOf(log, 'a', fresh()))
    await held
    controller.abort()
    expect(await outcome).toBe('let-go')
    expect(log).toEqual([])
  })

  it('OK: it is handled; and a message that is rejected anyway is', async () => {
    const log: Log = []
    const guard = new Guard(verifierFor({ replay: answering('OK', undefined) }))
    expect(await guard.receive(deliveryOf(log, 'a', fresh()))).toBe('handled')
    expect(await guard.receive(deliveryOf(log, 'b', bad()))).toBe('settled')
    expect(log).toEqual(['handle a', 'dead-letter b body-mismatch', 'stored b', 'acknowledge b'])
  })
})

describe('the client it is given', () => {
  class Own extends Redis {}
  const nodes = [{ host: '127.0.0.1', port: 1 }]
  const lazy = { lazyConnect: true }

  it.each<[string, () => unknown]>([
    ['Redis of ioredis 6', () => new Redis(lazy)],
    ['Redis of ioredis 5', () => new ioredis5.Redis(lazy)],
    ['Redis of ioredis 5.0', () => new (ioredis50.default as unknown as typeof Redis)(lazy)],
    ['a subclass', () => new Own(lazy)],
    ['Cluster of ioredis 6', () => new Cluster(nodes, lazy)],
    ['Cluster of ioredis 5', () => new ioredis5.Cluster(nodes, lazy)],
  ])('%s is taken without a word', (_what, make) => {
    const warned = vi.spyOn(process, 'emitWarning')
    const client = make() as Redis
    expect(new RedisReplayStore(client)).toBeInstanceOf(RedisReplayStore)
    expect(warned).not.toHaveBeenCalled()
    client.disconnect()
  })

  it.each<[string, () => unknown]>([
    ['node-redis 4', () => redis4.createClient()],
    ['node-redis 5', () => redis5.createClient()],
    ['node-redis 6', () => redis6.createClient()],
    ['a pool of node-redis', () => redis5.createClientPool()],
    ['a plain object that looks like it', () => ({ call: async () => 'OK', status: 'ready', sendCommand: () => 'OK' })],
    ['a pipeline', () => new Redis(lazy).pipeline()],
    ['the class', () => Redis],
    ['an address', () => 'redis://localhost'],
    ['nothing', () => undefined],
    ['null', () => null],
  ])('%s is refused', (_what, make) => {
    expect(() => new RedisReplayStore(make() as never)).toThrow(expect.objectContaining({ code: 'client-unsupported' }))
  })

  it.each<[object]>([
    [{ timeoutSeconds: 0 }],
    [{ timeoutSeconds: 61 }],
    [{ timeoutSeconds: Number.NaN }],
    [{ keyPrefix: 7 }],
    [{ messagesPerSecond: 100 }],
    [{ keyprefix: 'a' }],
  ])('the options %o are refused', (options) => {
    const refused = expect.objectContaining({ code: 'option-invalid' })
    expect(() => new RedisReplayStore(new Redis(lazy), options)).toThrow(refused)
  })
})

describe('the forecast', () => {
  it('says what Redis will hold', () => {
    expect(RedisReplayStore.forecast({ messagesPerSecond: 100, maxAgeSeconds: 86_400 })).toEqual({
      entries: 8_640_000,
      bytes: 2_160_000_000,
    })
    expect(RedisReplayStore.forecast({ messagesPerSecond: 1 }).entries).toBe(604_800)
    expect(RedisReplayStore.forecast({ messagesPerSecond: 1, maxAgeSeconds: Number.POSITIVE_INFINITY }).bytes).toBe(
      Number.POSITIVE_INFINITY,
    )
  })

  it.each<[object]>([
    [{}],
    [{ messagesPerSecond: -1 }],
    [{ messagesPerSecond: '1' }],
    [{ messagesPerSecond: 1, maxAgeSeconds: Number.NaN }],
  ])('of %o is refused', (load) => {
    const refused = expect.objectContaining({ code: 'option-invalid' })
    expect(() => RedisReplayStore.forecast(load as never)).toThrow(refused)
  })
})
