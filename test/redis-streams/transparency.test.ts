import { describe, expect, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { KINDS, opened, type Redis6, redisUrl } from './clients.ts'

const { signer, keys } = testKeys('shop')
const binary = Buffer.from('fffe00', 'hex')

type Run = (redis: Redis6, key: string) => unknown

/** Commands whose answers depend on nothing but the commands before them. */
const COMMANDS: readonly Run[] = [
  (redis, key) => redis.set(key, 'grüße'),
  (redis, key) => redis.get(key),
  (redis, key) => redis.getBuffer(key),
  (redis, key) => redis.set(key, binary),
  (redis, key) => redis.getBuffer(key),
  (redis, key) => redis.append(key, 'x'),
  (redis, key) => redis.strlen(key),
  (redis, key) => redis.incr(key),
  (redis, key) => redis.hset(`${key}h`, { a: 1, b: 'two' }),
  (redis, key) => redis.hset(`${key}h`, new Map([['c', 3]])),
  (redis, key) => redis.hgetall(`${key}h`),
  (redis, key) => redis.hgetallBuffer(`${key}h`),
  (redis, key) => redis.hincrbyfloat(`${key}h`, 'a', 0.5),
  (redis, key) => redis.rpush(`${key}l`, 'a', 'b', binary),
  (redis, key) => redis.lrange(`${key}l`, 0, -1),
  (redis, key) => redis.lpop(`${key}l`, 2),
  (redis, key) => redis.zadd(`${key}z`, 1, 'one', 2, 'two'),
  (redis, key) => redis.zrange(`${key}z`, '0', '-1', 'WITHSCORES'),
  (redis, key) => redis.sadd(`${key}s`, ['x', 'y']),
  (redis, key) => redis.smembers(`${key}s`),
  (redis, key) => redis.mget(key, `${key}none`),
  (redis, key) => redis.eval("return {KEYS[1] == ARGV[1], 1, 'a', redis.error_reply('MY error')}", 1, key, key),
  (redis, key) => redis.eval('return redis.call("TYPE", KEYS[1])', 1, key),
  (redis) => redis.call('nonsense', 'a'),
  (redis) => redis.call('GET'),
  (redis, key) => redis.pipeline().get(key).incr(key).hgetall(`${key}h`).exec(),
  (redis, key) => redis.multi().set(key, '1').incr(key).exec(),
  (redis, key) => redis.multi().set(key, 'a').incr(key).exec(),
  (redis, key) => redis.multi([['get', key]]).exec(),
  (redis, key) => redis.multi().call('NONSENSE').get(key).exec(),
  (redis) => redis.pipeline().exec(),
  async (redis, key) => {
    await redis.multi({ pipeline: false })
    const queued = await redis.set(key, '7')
    return [queued, await redis.exec()]
  },
  (redis, key) => new Promise((done) => redis.get(key, (error, value) => done([error, value]))),
  (redis, key) =>
    new Promise((done) =>
      redis
        .pipeline()
        .get(key)
        .exec((error, results) => done([error, results])),
    ),
  (redis, key) => redis.xadd(`${key}x`, '5-1', 'a', '1'),
  (redis, key) => redis.xadd(`${key}x`, '5-1', 'a', '1'),
  (redis, key) => redis.xadd(`${key}x`, 'NOMKSTREAM', '6-1', 'a', '1'),
  (redis, key) => redis.xadd(`${key}none`, 'NOMKSTREAM', '*', 'a', '1'),
  (redis, key) => redis.pipeline().xadd(`${key}x`, '7-1', 'a', '1').xlen(`${key}x`).exec(),
  (redis, key) => redis.multi().xadd(`${key}x`, '8-1', 'a', '1').xadd(`${key}x`, '8-1', 'a', '1').exec(),
  (redis, key) => redis.pipeline([['multi'], ['xadd', `${key}x`, '9-1', 'a', '1'], ['exec'], ['get', key]]).exec(),
  (redis, key) => redis.xlen(`${key}x`),
  (redis, key) => redis.xgroup('CREATE', `${key}x`, 'g', '0'),
  (redis, key) => redis.xgroup('CREATE', `${key}x`, 'g', '0'),
  (redis, key) => redis.xreadgroup('GROUP', 'none', 'c', 'STREAMS', `${key}x`, '>'),
  (redis, key) => redis.xreadgroup('GROUP', 'g', 'c', 'COUNT', 2, 'STREAMS', `${key}x`, '>'),
  (redis, key) => redis.xreadgroup('GROUP', 'g', 'c', 'COUNT', 2, 'STREAMS', `${key}x`, '0'),
  (redis, key) => redis.xreadgroup('GROUP', 'g', 'c', 'STREAMS', `${key}x`, '99'),
  (redis, key) => redis.xpending(`${key}x`, 'g'),
  (redis, key) => redis.xclaim(`${key}x`, 'g', 'd', 0, '5-1'),
  (redis, key) => redis.xclaim(`${key}x`, 'g', 'd', 0, '5-1', 'JUSTID'),
  (redis, key) => redis.xautoclaim(`${key}x`, 'g', 'c', 0, '0'),
  (redis, key) => redis.xack(`${key}x`, 'g', '5-1', '1-1'),
  (redis, key) => redis.xack(`${key}x`, 'g'),
  (redis, key) => redis.pipeline().xack(`${key}x`, 'g', '6-1').xack(`${key}x`, 'g', '6-1').exec(),
  (redis, key) => redis.xreadgroup('GROUP', 'g', 'c', 'STREAMS', `${key}x`, '>'),
  (redis, key) => redis.xreadgroup('GROUP', 'g', 'c', 'BLOCK', 1, 'STREAMS', `${key}x`, '>'),
  (redis, key) => redis.xreadgroup('GROUP', 'g', 'c', 'STREAMS', `${key}x`),
  (redis, key) => redis.xdel(`${key}x`, '7-1'),
  (redis, key) => redis.xreadgroup('GROUP', 'g', 'c', 'STREAMS', `${key}x`, '0'),
  (redis, key) => redis.del(key, `${key}h`, `${key}l`, `${key}z`, `${key}s`, `${key}x`),
]

/** What a command gave, as text, with the name of the key, random parts of errors and the token taken out. */
async function outcome(run: Run, redis: Redis6, key: string): Promise<string> {
  const shown = (value: unknown): unknown => {
    if (value instanceof Error) return [value.constructor.name, value.message]
    if (Buffer.isBuffer(value)) return `bytes ${value.toString('hex')}`
    if (Array.isArray(value)) return value.map(shown)
    if (value instanceof Map) return [...value].map(shown)
    if (typeof value !== 'object' || value === null) return value === undefined ? 'undefined' : value
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, shown(item)]))
  }
  const result = await Promise.resolve()
    .then(() => run(redis, key))
    .catch((error: unknown) => error)
  return JSON.stringify(shown(result)).replaceAll(key, 'KEY')
}

describe
  .skipIf(redisUrl === '')
  .each(
    KINDS.flatMap((kind) =>
      [false, true].flatMap((automatic) => [false, true].map((batch) => [kind.name, automatic, batch, kind] as const)),
    ),
  )('%s, autopipelining %s, batch %s', (_name, enableAutoPipelining, batch, kind) => {
  it('a wrapped client does what a plain one does', async () => {
    const [bare, wrapped] = [opened(kind.open({ enableAutoPipelining })), opened(kind.open({ enableAutoPipelining }))]
    wrapConsumer(wrapProducer(wrapped, signer, { batch }), new Verifier({ keys }))
    const [one, other] = [uniqueName('plain'), uniqueName('plain')]
    for (const [index, run] of COMMANDS.entries()) {
      // Version 5.0 loses the name of the command there, and with it the program.
      if (enableAutoPipelining && kind.name === 'ioredis 5.0' && /redis\d*\.call\(/.test(String(run))) continue
      // ioredis cannot do that.
      if (enableAutoPipelining && String(run).includes('pipeline: false')) continue
      const theirs = await outcome(run, bare, one)
      expect([index, await outcome(run, wrapped, other)]).toEqual([index, theirs])
    }
  })
})
