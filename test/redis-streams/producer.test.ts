import type { ChainableCommander } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { wrapProducer } from '../../adapters/redis-streams/index.ts'
import { toReceived } from '../../adapters/redis-streams/message.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { type ClientKind, entriesOf, KINDS, opened, plain, type Redis6, redisUrl } from './clients.ts'

const { signer, verifier } = testKeys('shop')
const bytes = Buffer.from('fffe8000', 'hex')

/** Every way to add an entry with the fields `a` (given) and `b` (bytes). */
const WAYS: readonly (readonly [string, (redis: Redis6, key: string, a: string) => unknown])[] = [
  ['xadd', (redis, key, a) => redis.xadd(key, '*', 'a', a, 'b', bytes)],
  ['xaddBuffer', (redis, key, a) => redis.xaddBuffer(key, '*', 'a', a, 'b', bytes)],
  ['xadd with a callback', (redis, key, a) => new Promise((done) => redis.xadd(key, '*', 'a', a, 'b', bytes, done))],
  ['call', (redis, key, a) => redis.call('XADD', prefixed(redis, key), '*', 'a', a, 'b', bytes)],
  ['call with an array', (redis, key, a) => redis.call('xAdd', [prefixed(redis, key), '*', 'a', a, 'b', bytes])],
  ['a pipeline', (redis, key, a) => redis.pipeline().set('x', '1').xadd(key, '*', 'a', a, 'b', bytes).exec()],
  ['a pipeline as an array', (redis, key, a) => redis.pipeline([['xadd', key, '*', 'a', a, 'b', bytes]]).exec()],
  ['multi, chained', (redis, key, a) => redis.multi().xadd(key, '*', 'a', a, 'b', bytes).exec()],
  ['multi, as an array', (redis, key, a) => redis.multi([['xadd', key, '*', 'a', a, 'b', bytes]]).exec()],
  [
    'multi without a pipeline',
    async (redis, key, a) => {
      await redis.multi({ pipeline: false })
      await redis.xadd(key, '*', 'a', a, 'b', bytes)
      return redis.exec()
    },
  ],
  [
    'every option of Redis 7',
    (redis, key, a) =>
      (redis.xadd as (...args: unknown[]) => unknown)(
        ...[key, 'NOMKSTREAM', 'MAXLEN', '~', 1000, 'LIMIT', 10, '*', 'a', a, 'b', bytes],
      ),
  ],
]

function addTwo(pipeline: ChainableCommander, key: string, a: string): ChainableCommander {
  return pipeline.xadd(key, '*', 'a', a, 'b', bytes).xadd(key, '*', 'a', `${a}, too`, 'b', bytes)
}

/** `call` adds the prefix as well. */
function prefixed(_redis: Redis6, key: string): string {
  return key
}

function expectSigned(stream: string, fields: Buffer[]): void {
  expect(fields.filter((_, index) => index % 2 === 0).map(String)).toEqual(['a', 'b', 'queueauth'])
  const received = toReceived({ stream, group: 'g', id: '1-0', fields })
  expect(verifier.verify(received).sender).toMatchObject({ service: 'shop', destination: `redis:${escaped(stream)}` })
}

function escaped(key: string): string {
  return encodeURIComponent(key)
}

describe.skipIf(redisUrl === '').each(KINDS.map((kind) => [kind.name, kind] as const))(
  '%s',
  (_name, kind: ClientKind) => {
    describe.each([
      ['plain', {}, false],
      ['with autopipelining', { enableAutoPipelining: true }, false],
      ['in batches', {}, true],
      ['in batches, with autopipelining', { enableAutoPipelining: true }, true],
    ])('%s', (_mode, options, batch) => {
      it.each(WAYS)('signs exactly once: %s', async (way, add) => {
        // The library's own MULTI without a pipeline does not go with autopipelining.
        if ('enableAutoPipelining' in options && way === 'multi without a pipeline') return
        // Plain ioredis 5.0 loses the name of the command there: `call` sends the key as the command.
        if ('enableAutoPipelining' in options && kind.name === 'ioredis 5.0' && way.startsWith('call')) return
        const redis = opened(kind.open(options))
        const key = uniqueName('produced')
        await redis.xadd(key, '*', 'a', 'unsigned', 'b', bytes)
        wrapProducer(redis, signer, { batch })
        await add(redis, key, 'grüße')
        const [unsigned, signed] = await entriesOf(plain(), kind.prefix + key)
        expect(unsigned).toHaveLength(4)
        expectSigned(kind.prefix + key, signed as Buffer[])
        expect(String(signed?.[1])).toBe('grüße')
        expect(signed?.[3]).toEqual(bytes)
      })
    })

    it.each([
      ['alone', false],
      ['in batches', true],
    ])('signs once what is sent again after the connection broke: %s', async (_how, batch) => {
      const redis = opened(kind.open({ retryStrategy: () => 1 }))
      redis.on('error', () => undefined)
      wrapProducer(redis, signer, { batch })
      const key = uniqueName('resent')
      await redis.ping()
      const adding: Promise<unknown>[] = []
      for (let count = 0; count < 60; count++) {
        adding.push(redis.xadd(key, '*', 'a', String(count), 'b', bytes))
        if (count % 20 === 10) adding.push(addTwo(redis.pipeline(), key, `p${count}`).exec())
        if (count % 20 === 11) adding.push(addTwo(redis.multi(), key, `m${count}`).exec())
        if (count % 20 !== 15) continue
        // In mid-flight: written, not answered; and while it reconnects more is added.
        redis.stream.destroy()
        await new Promise((resolve) => setImmediate(resolve))
      }
      await Promise.all(adding)
      const entries = await entriesOf(plain(), kind.prefix + key)
      expect(new Set(entries.map(([, a]) => String(a))).size).toBe(60 + 3 * 2 + 3 * 2)
      for (const fields of entries) expectSigned(kind.prefix + key, fields)
    })

    it('replaces a token that was there already, and refuses fields that only we write', async () => {
      const redis = wrapProducer(opened(kind.open()), signer)
      const key = uniqueName('forwarded')
      await redis.xadd(key, '*', 'queueauth', 'old', 'a', '1', 'b', '2')
      const [fields] = await entriesOf(plain(), kind.prefix + key)
      expectSigned(kind.prefix + key, fields as Buffer[])
      await expect(redis.xadd(key, '*', 'queueauth-reason', 'x')).rejects.toMatchObject({ code: 'header-reserved' })
    })

    it('leaves streams alone that are not listed', async () => {
      const key = uniqueName('orders')
      const redis = wrapProducer(opened(kind.open()), signer, { streams: [`${kind.prefix}orders-*`] })
      await redis.xadd(key, '*', 'a', '1', 'b', '2')
      await redis.xadd(`x${key}`, '*', 'a', '1')
      await redis.xadd(Buffer.from(`${key}\xff`, 'latin1'), '*', 'a', '1')
      expectSigned(kind.prefix + key, (await entriesOf(plain(), kind.prefix + key))[0] as Buffer[])
      expect((await entriesOf(plain(), `${kind.prefix}x${key}`))[0]).toHaveLength(2)
    })
  },
)

const REFUSED: readonly (readonly [string, unknown[], string])[] = [
  ['an option it does not know', ['FUTURE', '*', 'a', '1'], 'option-invalid'],
  ['IDMPAUTO', ['IDMPAUTO', 'p1', '*', 'a', '1'], 'option-invalid'],
  ['a reserved field', ['*', 'queueauth-reason', '1'], 'header-reserved'],
]

describe
  .skipIf(redisUrl === '')
  .each(KINDS.flatMap((kind) => [false, true].map((batch) => [kind.name, batch, kind] as const)))(
  '%s, batch %s, refuses',
  (_name, batch, kind) => {
    it.each(REFUSED)('%s', async (_what, args, code) => {
      const redis = wrapProducer(opened(kind.open()), signer, { batch })
      const key = uniqueName('refused')
      const add = [key, ...args] as [string, string]
      const refusal = expect.objectContaining({ name: 'SetupError', code })
      await expect(redis.xadd(...add)).rejects.toEqual(refusal)
      const results = await redis
        .pipeline()
        .set(key + 1, '1')
        .xadd(...add)
        .get(key + 1)
        .exec()
      expect(results).toEqual([[null, 'OK'], [refusal], [null, '1']])
      const multi = redis
        .multi()
        .set(key + 2, '1')
        .xadd(...add)
        .exec()
      await expect(multi).rejects.toMatchObject({ message: /^EXECABORT/, previousErrors: [refusal] })
      await redis.multi({ pipeline: false })
      await redis.set(key + 3, '1')
      await expect(redis.xadd(...add)).rejects.toEqual(refusal)
      await expect(redis.exec()).rejects.toThrow('EXECABORT')
      const automatic = wrapProducer(opened(kind.open({ enableAutoPipelining: true })), signer, { batch })
      const both = await Promise.allSettled([
        automatic.set(key + 4, '1'),
        automatic.xadd(...add),
        automatic.get(key + 4),
      ])
      expect(both.map((one) => (one.status === 'fulfilled' ? one.value : one.reason))).toEqual(['OK', refusal, '1'])
      expect(await redis.exists(key, key + 2, key + 3)).toBe(0)
      expect(await redis.ping()).toBe('PONG')
    })

    it('a stream whose key is no text, and none beside it', async () => {
      const redis = wrapProducer(opened(kind.open()), signer, { batch })
      const keys = ['before', 'beside'].map((name) => uniqueName(name)) as [string, string]
      const [before, beside] = keys
      const noText = Buffer.from(`${uniqueName('refused')}\xff`, 'latin1')
      const refusal = expect.objectContaining({ name: 'SetupError', code: 'destination-invalid' })
      await expect(redis.xadd(noText, '*', 'a', '1', 'b', '2')).rejects.toEqual(refusal)
      const pipeline = redis.pipeline()
      for (const key of [before, noText, before, beside]) pipeline.xadd(key, '*', 'a', '1', 'b', '2')
      const results = await pipeline.exec()
      expect(results?.map(([error]) => error)).toEqual([null, refusal, null, null])
      expect(await redis.exists(noText)).toBe(0)
      for (const [key, count] of [
        [before, 2],
        [beside, 1],
      ] as const) {
        const entries = await entriesOf(plain(), kind.prefix + key)
        expect(entries).toHaveLength(count)
        for (const fields of entries) expectSigned(kind.prefix + key, fields)
      }
    })

    it('nothing that Redis refuses itself, with its own words', async () => {
      const [wrapped, bare] = [wrapProducer(opened(kind.open()), signer, { batch }), opened(kind.open())]
      const key = uniqueName('incomplete')
      for (const args of [[key], [key, '*'], [key, '*', 'a'], [key, '*', 'a', 'b', 'c'], []]) {
        const [ours, theirs] = await Promise.all(
          [wrapped, bare].map((redis) =>
            (redis.xadd as (...given: unknown[]) => Promise<unknown>)(...args).catch(String),
          ),
        )
        expect(theirs).toContain('wrong number of arguments')
        expect(ours).toBe(theirs)
      }
    })
  },
)
