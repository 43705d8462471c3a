import { Pipeline as Pipeline6 } from 'ioredis'
import { Pipeline as Pipeline5 } from 'ioredis-5'
import { describe, expect, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { toReceived } from '../../adapters/redis-streams/message.ts'
import type { PreparedMessage } from '../../src/batch/prepared.ts'
import type { Signer } from '../../src/signer.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { entriesOf, KINDS, type Options, opened, plain, Redis5, type Redis6, redisUrl } from './clients.ts'

const { signer, verifier, keys } = testKeys('shop')

type Command = [name: string, ...args: (string | Buffer)[]]

/** Every way to send commands together. */
const WAYS: readonly (readonly [string, Options, (redis: Redis6, commands: Command[]) => Promise<unknown>])[] = [
  ['a pipeline', {}, (redis, commands) => chain(redis.pipeline(), commands).exec()],
  ['a pipeline as an array', {}, (redis, commands) => redis.pipeline(commands).exec()],
  ['multi, chained', {}, (redis, commands) => chain(redis.multi(), commands).exec()],
  ['multi, as an array', {}, (redis, commands) => redis.multi(commands).exec()],
  [
    'autopipelining',
    { enableAutoPipelining: true },
    (redis, commands) => Promise.all(commands.map((command) => Promise.resolve(run(redis, command)))),
  ],
]

function run(target: unknown, [name, ...args]: Command): unknown {
  return (target as Record<string, (...given: unknown[]) => unknown>)[name]?.(...args)
}

function chain<Target>(target: Target, commands: readonly Command[]): Target {
  for (const command of commands) run(target, command)
  return target
}

/** The tokens of a stream, each verified: the signed part that a batch has in common, and the index. */
async function tokensOf(stream: string): Promise<(readonly [shared: string, index: string | undefined])[]> {
  return (await entriesOf(plain(), stream)).map((fields) => {
    const received = toReceived({ stream, group: 'g', id: '1-0', fields })
    verifier.verify(received)
    const [shared, index] = String(received.token).split('~')
    return [shared as string, index] as const
  })
}

function indices(tokens: readonly (readonly [string, string | undefined])[]): (string | undefined)[] {
  return tokens.map(([, index]) => index)
}

/** A signer whose key fails for one destination. */
function failingFor(destination: string): Signer {
  return {
    service: signer.service,
    prepare: (message: Parameters<Signer['prepare']>[0]) => signer.prepare(message),
    sign: (message: Parameters<Signer['sign']>[0]) => signer.sign(message),
    signPrepared: (prepared: readonly PreparedMessage[]) => {
      if (prepared.some((message) => 'destination' in message && message.destination === destination)) {
        throw new Error('no signature today')
      }
      return signer.signPrepared(prepared)
    },
  } as unknown as Signer
}

describe.skipIf(redisUrl === '').each(KINDS.map((kind) => [kind.name, kind] as const))('%s', (_name, kind) => {
  const names = (): { one: string; other: string; streams: [string, string] } => {
    const [one, other] = [uniqueName('batch'), uniqueName('batch')]
    return { one, other, streams: [kind.prefix + one, kind.prefix + other] }
  }

  describe.each(WAYS)('%s', (way, options, send) => {
    const isMulti = way.startsWith('multi')
    const answersOf = (results: unknown): unknown[] =>
      (results as unknown[]).map((result) =>
        way === 'autopipelining' ? result : (result as unknown[])[(result as unknown[])[0] ? 0 : 1],
      )

    it('has one signature for each stream', async () => {
      const redis = wrapProducer(opened(kind.open(options)), signer, { batch: true })
      const { one, other, streams } = names()
      const results = await send(redis, [
        ['set', `${one}:x`, 'before'],
        ['xadd', one, '1-1', 'a', '1'],
        ['xadd', other, '1-1', 'a', Buffer.from('fffe00', 'hex'), 'c', ''],
        ['xadd', one, 'MAXLEN', '~', '100', '1-2', 'grüße', 'grüße'],
        ['get', `${one}:x`],
        ['xaddBuffer', one, '1-3', Buffer.from('a'), Buffer.alloc(0)],
        ['xadd', other, '1-2', 'a', '2'],
        ['xlen', one],
      ])
      expect(answersOf(results)).toEqual(['OK', '1-1', '1-1', '1-2', 'before', Buffer.from('1-3'), '1-2', 3])
      const [first, second] = [await tokensOf(streams[0]), await tokensOf(streams[1])]
      expect(indices(first)).toEqual(['0', '1', '2'])
      expect(indices(second)).toEqual(['0', '1'])
      expect(new Set([...first, ...second].map(([shared]) => shared)).size).toBe(2)
    })

    it('refuses by itself what cannot be signed', async () => {
      const redis = wrapProducer(opened(kind.open(options)), signer, { batch: true })
      const { one, streams } = names()
      const sent = send(redis, [
        ['xadd', one, '1-1', 'a', '1'],
        ['xadd', one, 'IDMPAUTO', 'p', '1-2', 'a', '1'],
        ['xadd', one, 'FUTURE', '1-3', 'a', '1'],
        ['xadd', one, '1-4', 'queueauth-reason', '1'],
        ['xadd', one, '1-5', 'a', '2'],
      ])
      const codes = ['option-invalid', 'option-invalid', 'header-reserved']
      const refusals = codes.map((code) => expect.objectContaining({ name: 'SetupError', code }))
      if (isMulti) {
        await expect(sent).rejects.toMatchObject({ message: /^EXECABORT/, previousErrors: refusals })
        expect(await tokensOf(streams[0])).toEqual([])
      } else {
        if (way === 'autopipelining') await expect(sent).rejects.toEqual(refusals[0])
        else expect(answersOf(await sent)).toEqual(['1-1', ...refusals, '1-5'])
        const tokens = await tokensOf(streams[0])
        expect(indices(tokens)).toEqual(['0', '1'])
      }
      expect(await redis.ping()).toBe('PONG')
    })

    it('refuses the entries of a stream whose signature fails, and no others', async () => {
      const { one, other, streams } = names()
      const failing = failingFor(`redis:${encodeURIComponent(streams[1])}`)
      const redis = wrapProducer(opened(kind.open(options)), failing, { batch: true })
      const sent = send(redis, [
        ['xadd', one, '1-1', 'a', '1'],
        ['xadd', other, '1-1', 'a', '1'],
        ['get', 'nothing'],
        ['xadd', other, '1-2', 'a', '2'],
        ['xadd', one, '1-2', 'a', '2'],
      ])
      const failure = expect.objectContaining({ message: 'no signature today' })
      if (isMulti) {
        await expect(sent).rejects.toMatchObject({ message: /^EXECABORT/, previousErrors: [failure, failure] })
      } else {
        if (way === 'autopipelining') await expect(sent).rejects.toEqual(failure)
        else expect(answersOf(await sent)).toEqual(['1-1', failure, null, failure, '1-2'])
        expect(indices(await tokensOf(streams[0]))).toEqual(['0', '1'])
      }
      expect(await tokensOf(streams[1])).toEqual([])
      expect(await redis.ping()).toBe('PONG')
    })

    it('gives a lone entry a plain token, and leaves streams alone that are not listed', async () => {
      const { one, other, streams } = names()
      const redis = wrapProducer(opened(kind.open(options)), signer, { batch: true, streams: [streams[0]] })
      await send(redis, [
        ['xadd', one, '*', 'a', '1'],
        ['xadd', other, '*', 'a', '1'],
      ])
      expect(indices(await tokensOf(streams[0]))).toEqual([undefined])
      expect((await entriesOf(plain(), streams[1]))[0]).toHaveLength(2)
    })
  })

  it('signs entries that are added one by one each by itself, in their order', async () => {
    const redis = wrapProducer(opened(kind.open()), signer, { batch: true })
    const { one, streams } = names()
    const results = await Promise.all([
      redis.xadd(one, '1-1', 'a', '1'),
      redis.xlen(one),
      redis.xadd(one, '1-2', 'a', '1'),
      redis.xlen(one),
    ])
    expect(results).toEqual(['1-1', 1, '1-2', 2])
    await redis.multi({ pipeline: false })
    void redis.xadd(one, '1-3', 'a', '1')
    void redis.xadd(one, '1-4', 'a', '1')
    await redis.exec()
    const tokens = await tokensOf(streams[0])
    expect(indices(tokens)).toEqual([undefined, undefined, undefined, undefined])
    expect(new Set(tokens.map(([shared]) => shared)).size).toBe(4)
  })

  it('signs as often as it must', async () => {
    const redis = wrapProducer(opened(kind.open()), signer, { batch: true })
    const { one, streams } = names()
    const commands = Array.from({ length: 1500 }, (_, index): Command => ['xadd', one, '*', 'order', String(index)])
    await redis.pipeline(commands).exec()
    const shared = (await tokensOf(streams[0])).map(([first]) => first)
    const sizes = [...new Set(shared)].map((signed) => shared.filter((other) => other === signed).length)
    expect(sizes).toEqual([1024, 476])
    const orders = (await entriesOf(plain(), streams[0])).map(([, order]) => String(order))
    expect(orders).toEqual(commands.map((command) => command[4]))
  })

  it.each([
    ['alone', false],
    ['in batches', true],
  ])('sends the bytes that were signed, whatever becomes of them afterwards: %s', async (_how, batch) => {
    // Nothing is sent before there is a connection.
    const redis = wrapProducer(opened(kind.open({ lazyConnect: true })), signer, { batch })
    const { one, streams } = names()
    const value = Buffer.from('as it was')
    const commands: Command[] = [
      ['xadd', one, '*', 'a', value],
      ['xadd', one, '*', 'b', value],
    ]
    for (const command of commands) Object.freeze(command)
    const sent = [
      redis.pipeline(Object.freeze(commands) as Command[]).exec(),
      chain(redis.multi(), commands).exec(),
      redis.xadd(one, '*', 'a', value),
    ]
    value.fill(0)
    await Promise.all(sent)
    const entries = await entriesOf(plain(), streams[0])
    expect(entries.map((fields) => String(fields[1]))).toEqual(Array.from({ length: 5 }, () => 'as it was'))
    await tokensOf(streams[0])
  })

  it('signs what a pipeline of another making holds, one by one', async () => {
    const redis = wrapProducer(opened(kind.open()), signer, { batch: true })
    const { one, streams } = names()
    const Pipeline = (redis instanceof Redis5 ? Pipeline5 : Pipeline6) as unknown as new (client: Redis6) => Pipeline6
    await new Pipeline(redis).xadd(one, '*', 'a', '1').xadd(one, '*', 'a', '2').exec()
    expect(indices(await tokensOf(streams[0]))).toEqual([undefined, undefined])
  })

  it('goes with a guarded consumer on the same client, wrapped before or after', async () => {
    for (const before of [true, false]) {
      const redis = opened(kind.open())
      const consume = (): unknown => wrapConsumer(redis, new Verifier({ keys }))
      if (before) consume()
      wrapProducer(redis, signer, { batch: true })
      if (!before) consume()
      const { one, streams } = names()
      await redis.xgroup('CREATE', one, 'g', '0', 'MKSTREAM')
      await redis.pipeline().xadd(one, '1-1', 'a', '1').xadd(one, '1-2', 'a', '2').exec()
      const read = await redis.xreadgroupBuffer('GROUP', 'g', 'c', 'COUNT', 10, 'STREAMS', one, '>')
      const [[, entries]] = (Array.isArray(read) ? read : Object.entries(read ?? {})) as [
        [Buffer, [Buffer, Buffer[]][]],
      ]
      expect(entries.map(([, fields]) => String(fields))).toEqual(['a,1', 'a,2'])
      // What is read is acknowledged, and more is added, in one go.
      const results = await redis.pipeline().xack(one, 'g', '1-1', '1-2').xadd(one, '1-3', 'a', '3').exec()
      expect(results).toEqual([
        [null, 2],
        [null, '1-3'],
      ])
      expect(indices(await tokensOf(streams[0]))).toEqual(['0', '1', undefined])
    }
  })
})
