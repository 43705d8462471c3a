import { describe, expect, it, vi } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import { testKeys } from '../../src/testing.ts'
import { senderOf } from '../../src/verdict.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { FlakyStore, remoteStore } from '../contract/stores.ts'
import { eventually } from '../eventually.ts'
import { type ClientKind, KINDS, opened, plain, type Redis6, redisUrl } from './clients.ts'

const { signer, keys } = testKeys('shop')
const GROUP = 'g'

interface Scene {
  readonly key: string
  readonly physical: string
  readonly producer: Redis6
  readonly consumer: Redis6
  readonly raw: Redis6
  readonly verifier: Verifier
  read(id?: string, count?: number, block?: number): Promise<[unknown, Buffer[]][] | null>
  pending(): Promise<number>
}

async function scene(kind: ClientKind, replay?: Verifier['replay'], options = {}): Promise<Scene> {
  const key = uniqueName('consumed')
  const raw = plain()
  const producer = wrapProducer(opened(kind.open()), signer)
  const verifier = new Verifier({ keys, ...(replay && { replay }) })
  const consumer = wrapConsumer(opened(kind.open(options)), verifier)
  await raw.xgroup('CREATE', kind.prefix + key, GROUP, '0', 'MKSTREAM')
  return {
    ...{ key, physical: kind.prefix + key, producer, consumer, raw, verifier },
    async read(id = '>', count = 10, block = 5) {
      const reply = await consumer.xreadgroupBuffer(
        ...(['GROUP', GROUP, 'c', 'COUNT', count, 'BLOCK', block, 'STREAMS', key, id] as const),
      )
      const entries = Array.isArray(reply) ? reply[0]?.[1] : Object.values(reply ?? {})[0]
      return (entries ?? null) as [unknown, Buffer[]][] | null
    },
    pending: async () => Number(((await raw.xpending(kind.prefix + key, GROUP)) as unknown[])[0]),
  }
}

const noText = (key: string): Buffer => Buffer.from(`${key}\xff`, 'latin1')

const bodies = (entries: [unknown, Buffer[]][] | null): string[] =>
  (entries ?? []).map(([, fields]) => String(fields[1]))

describe.skipIf(redisUrl === '').each(KINDS.map((kind) => [kind.name, kind] as const))('%s', (_name, kind) => {
  it('hands over fields byte for byte: binary, repeated, empty; and who signed them', async () => {
    const { producer, consumer, key, read } = await scene(kind)
    const binary = Buffer.from('ff00fe80', 'hex')
    const fields = ['a', binary, 'a', 'again', binary, '', '', 'x', '__proto__', '1']
    await producer.xadd(key, '*', ...(fields as [string, string]))
    const entries = await read()
    expect(entries?.map(([, got]) => [...got])).toEqual([fields.map((field) => Buffer.from(field))])
    expect(senderOf(entries?.[0] as object)?.service).toBe('shop')
    const id = String(entries?.[0]?.[0])
    const [[, text]] = (await consumer.xclaim(key, GROUP, 'd', 0, id)) as unknown as [[string, string[]]]
    expect(text.slice(2, 4)).toEqual(['a', 'again'])
    expect(senderOf(text)?.service).toBe('shop')
  })

  it('refuses two tokens, also two that are the same', async () => {
    const { producer, raw, physical, key, read } = await scene(kind)
    await producer.xadd(key, '*', 'a', '1')
    const [[, fields]] = (await raw.xrange(physical, '-', '+')) as [[string, string[]]]
    await raw.xadd(physical, '*', ...(fields as [string, string]), 'queueauth', fields[3] as string)
    expect(bodies(await read())).toEqual(['1'])
    const [letter] = await letters(raw, physical, 1)
    expect(letter?.[1]).toContain('token-duplicated')
  })

  it('reads on when all of a page was refused, in new entries and in pending ones', async () => {
    const { producer, raw, physical, key, read, pending } = await scene(kind)
    for (let count = 0; count < 25; count++) await raw.xadd(physical, '*', 'a', `forged ${count}`)
    await producer.xadd(key, '*', 'a', 'good')
    expect(bodies(await read('>', 10))).toEqual(['good'])
    await letters(raw, physical, 25)
    for (let count = 0; count < 25; count++) await raw.xadd(physical, '*', 'a', `forged ${count}`)
    await producer.xadd(key, '*', 'a', 'pending')
    await raw.xreadgroup('GROUP', GROUP, 'c', 'STREAMS', physical, '>')
    expect(bodies(await read('0', 10))).toEqual(['good'])
    expect(bodies(await read('0', 30))).toEqual(['good', 'pending'])
    await letters(raw, physical, 50)
    await eventually(async () => expect(await pending()).toBe(2))
    expect(await read('>')).toBe(null)
  })

  it('writes one dead letter however often an entry is read meanwhile, on one client and on several', async () => {
    const { raw, physical, key, consumer, read, pending } = await scene(kind)
    const other = wrapConsumer(opened(kind.open()), new Verifier({ keys }))
    for (let count = 0; count < 50; count++) await raw.xadd(physical, '*', 'a', `forged ${count}`)
    const again = (): Promise<unknown> => other.xreadgroup('GROUP', GROUP, 'c', 'STREAMS', key, '0')
    await Promise.all([read('>', 60), ...Array.from({ length: 5 }, () => [read('0', 60), again()]).flat()])
    await Promise.all([consumer.quit(), other.quit()])
    expect(await pending()).toBe(0)
    expect(await raw.xlen(`{${physical}}:dlq`)).toBe(50)
  })

  it('writes the dead letter of an entry that a callback acknowledges while it is judged', async () => {
    const { raw, physical, key, pending } = await scene(kind)
    const acknowledged: Promise<number>[] = []
    const consumer = wrapConsumer(opened(kind.open()), new Verifier({ keys }), {
      onVerdict: (_verdict, { id }) => acknowledged.push(consumer.xack(key, GROUP, id)),
    })
    await raw.xadd(physical, '*', 'a', 'forged')
    await consumer.xreadgroup('GROUP', GROUP, 'c', 'COUNT', 10, 'STREAMS', key, '0')
    await consumer.xreadgroup('GROUP', GROUP, 'c', 'COUNT', 10, 'BLOCK', 5, 'STREAMS', key, '>')
    expect(await Promise.all(acknowledged)).toEqual([0])
    await letters(raw, physical, 1)
    await vi.waitFor(async () => expect(await pending()).toBe(0))
  })

  it('guards XAUTOCLAIM and XCLAIM, shows what was deleted, and lets ids alone pass', async () => {
    const { producer, consumer, raw, physical, key } = await scene(kind)
    await raw.xadd(physical, '*', 'a', 'forged')
    const good = (await producer.xadd(key, '*', 'a', 'good')) as string
    await raw.xreadgroup('GROUP', GROUP, 'other', 'STREAMS', physical, '>')
    expect(await consumer.xclaim(key, GROUP, 'c', 0, good, 'JUSTID')).toEqual([good])
    const [cursor, entries] = (await consumer.xautoclaim(key, GROUP, 'c', 0, '0')) as [string, [string, string[]][]]
    expect(JSON.stringify([cursor, entries])).toBe(JSON.stringify(['0-0', [[good, ['a', 'good']]]]))
    await letters(raw, physical, 1)
    const both = await consumer.pipeline().xclaim(key, GROUP, 'c', 0, good).ping().exec()
    expect(JSON.stringify(both)).toBe(
      JSON.stringify([
        [null, [[good, ['a', 'good']]]],
        [null, 'PONG'],
      ]),
    )
    await raw.xdel(physical, good)
    const history = await consumer.xreadgroup('GROUP', GROUP, 'c', 'STREAMS', key, '0')
    expect(JSON.stringify(history)).toContain(`["${good}",null]`)
  })

  it.each([
    ['XREAD', 'option-invalid', (redis: Redis6, key: string) => redis.xread('STREAMS', key, '0')],
    ['XRANGE', 'option-invalid', (redis: Redis6, key: string) => redis.xrange(key, '-', '+')],
    ['XREVRANGE', 'option-invalid', (redis: Redis6, key: string) => redis.call('XREVRANGE', key, '+', '-')],
    [
      'NOACK',
      'no-ack-refused',
      (redis: Redis6, key: string) => redis.xreadgroup('GROUP', GROUP, 'c', 'NOACK', 'STREAMS', key, '>'),
    ],
    [
      'an unknown option',
      'option-invalid',
      (redis: Redis6, key: string) => redis.call('XREADGROUP', 'GROUP', GROUP, 'c', 'PEEK', 'STREAMS', key, '>'),
    ],
    [
      'a read in a pipeline, with others around it',
      'option-invalid',
      async (redis: Redis6, key: string) => {
        const results = await redis.pipeline().ping().xrange(key, '-', '+').ping().exec()
        expect(results?.map(([, result]) => result)).toEqual(['PONG', undefined, 'PONG'])
        throw results?.[1]?.[0]
      },
    ],
    [
      'a group read in a MULTI',
      'option-invalid',
      async (redis: Redis6, key: string) => {
        const reading = redis.multi().xreadgroup('GROUP', GROUP, 'c', 'STREAMS', key, '>').exec()
        throw await reading.catch(({ previousErrors }) => previousErrors[0])
      },
    ],
    [
      'a group read in a MULTI without a pipeline',
      'option-invalid',
      async (redis: Redis6, key: string) => {
        await redis.multi({ pipeline: false })
        const refusal = await redis.xreadgroup('GROUP', GROUP, 'c', 'STREAMS', key, '>').catch((error) => error)
        await expect(redis.exec()).rejects.toThrow('EXECABORT')
        throw refusal
      },
    ],
    [
      'a group read of a stream whose key is no text',
      'destination-invalid',
      (redis: Redis6, key: string) => redis.xreadgroup('GROUP', GROUP, 'c', 'STREAMS', noText(key), '>'),
    ],
    [
      'a claim in a stream whose key is no text',
      'destination-invalid',
      (redis: Redis6, key: string) => redis.xautoclaim(noText(key), GROUP, 'c', 0, '0'),
    ],
  ])('refuses %s', async (_what, code, read) => {
    const { producer, consumer, key, pending } = await scene(kind)
    await producer.xadd(key, '*', 'a', 'secret')
    await expect(read(consumer, key)).rejects.toMatchObject({ name: 'SetupError', code })
    expect(await pending()).toBe(0)
    expect(await consumer.ping()).toBe('PONG')
  })

  it.each([
    ['xack', (redis: Redis6, key: string, id: string) => redis.xack(key, GROUP, id)],
    ['call', (redis: Redis6, key: string, id: string) => redis.call('XACK', key, GROUP, id)],
    [
      'a pipeline',
      (redis: Redis6, key: string, id: string) => redis.pipeline().ping().xack(key, GROUP, id).ping().exec(),
    ],
    ['multi', (redis: Redis6, key: string, id: string) => redis.multi().xack(key, GROUP, id).exec()],
    [
      'a pipeline with a callback',
      (redis: Redis6, key: string, id: string) =>
        new Promise((done) =>
          redis
            .pipeline()
            .xack(key, GROUP, id)
            .exec((_error, results) => done(results)),
        ),
    ],
  ])('commits to a remote replay store before %s, on any client of the verifier', async (what, acknowledge) => {
    for (const enableAutoPipelining of [false, true]) {
      // That version sends such a call without the name of its command, wrapped or not.
      if (enableAutoPipelining && kind.name === 'ioredis 5.0' && what === 'call') continue
      const store = remoteStore()
      const commit = vi.spyOn(store, 'commit')
      const { producer, key, read, verifier, pending } = await scene(kind, store)
      const other = wrapConsumer(opened(kind.open({ enableAutoPipelining })), verifier)
      await producer.xadd(key, '*', 'a', '1')
      const entries = await read()
      const result = await acknowledge(other, key, String(entries?.[0]?.[0]))
      expect(JSON.stringify(result)).toMatch(/1/)
      expect(commit).toHaveBeenCalledTimes(1)
      expect(await pending()).toBe(0)
    }
  })

  it('does not let the user acknowledge what is not handed over: its dead letter is pending', async () => {
    const { producer, consumer, raw, physical, key, read, pending } = await scene(kind)
    await raw.set(`{${physical}}:dlq`, 'not a stream')
    const forged = (await raw.xadd(physical, '*', 'a', 'forged')) as string
    const good = (await producer.xadd(key, '*', 'a', 'good')) as string
    expect(bodies(await read())).toEqual(['good'])
    expect(await consumer.xack(key, GROUP, forged, good)).toBe(1)
    expect(await pending()).toBe(1)
    await raw.del(`{${physical}}:dlq`)
    await letters(raw, physical, 1)
    await eventually(async () => expect(await pending()).toBe(0))
  })

  it('hands over with a later read what could not be judged at the first', async () => {
    const replay = new FlakyStore()
    const { producer, key, read } = await scene(kind, replay)
    await producer.xadd(key, '*', 'a', 'early')
    replay.up = false
    expect(bodies(await read())).toEqual([])
    replay.up = true
    await eventually(async () => expect(bodies(await read())).toEqual(['early']))
    await producer.xadd(key, '*', 'a', 'later')
    expect(bodies(await read())).toEqual(['later'])
  })

  it('hands over once what was read again while it waited', async () => {
    const replay = new FlakyStore()
    const { producer, key, read } = await scene(kind, replay)
    await producer.xadd(key, '*', 'a', 'early')
    replay.up = false
    for (const id of ['>', '0', '0']) expect(bodies(await read(id))).toEqual([])
    replay.up = true
    const handed: string[] = []
    await eventually(async () => expect(handed.push(...bodies(await read()))).toBeGreaterThan(0))
    for (const body of ['later', 'last']) {
      await producer.xadd(key, '*', 'a', body)
      handed.push(...bodies(await read()))
    }
    expect(handed).toEqual(['early', 'later', 'last'])
  })

  it('waits for dead letters under way before it quits', async () => {
    const { consumer, raw, physical, read, pending } = await scene(kind)
    for (let count = 0; count < 20; count++) await raw.xadd(physical, '*', 'a', `forged ${count}`)
    await read('>', 30, 1)
    expect(await consumer.quit()).toBe('OK')
    expect(await raw.xlen(`{${physical}}:dlq`)).toBe(20)
    expect(await pending()).toBe(0)
  })

  it('groups are apart: each handles a message once', async () => {
    const replay = new MemoryReplayStore()
    const { producer, raw, consumer, physical, key, read } = await scene(kind, replay)
    await raw.xgroup('CREATE', physical, 'other', '0')
    await producer.xadd(key, '*', 'a', '1')
    const [[, fields]] = (await raw.xrange(physical, '-', '+')) as [[string, string[]]]
    const first = await read()
    await consumer.xack(key, GROUP, String(first?.[0]?.[0]))
    const reply = await consumer.xreadgroup('GROUP', 'other', 'c', 'STREAMS', key, '>')
    expect(JSON.stringify(reply)).toContain('["a","1"]')
    // A copy at another place is none of both groups' any more.
    await raw.xadd(physical, '*', ...(fields as [string, string]))
    expect(await read()).toBe(null)
  })
})

describe.skipIf(redisUrl === '')('wrapConsumer', () => {
  it('refuses a client that waits for entries already, another verifier, and what is no client', async () => {
    const [kind] = KINDS as [ClientKind]
    const redis = opened(kind.open())
    await redis.ping()
    const key = uniqueName('busy')
    await redis.xgroup('CREATE', key, GROUP, '0', 'MKSTREAM')
    const reading = redis.xreadgroup('GROUP', GROUP, 'c', 'BLOCK', 50, 'STREAMS', key, '>')
    const verifier = new Verifier({ keys })
    expect(() => wrapConsumer(redis, verifier)).toThrow(expect.objectContaining({ code: 'already-consuming' }))
    await reading
    expect(wrapConsumer(redis, verifier)).toBe(redis)
    expect(wrapConsumer(redis, verifier)).toBe(redis)
    const again = (): unknown => wrapConsumer(redis, new Verifier({ keys }))
    expect(again).toThrow(expect.objectContaining({ code: 'already-wrapped' }))
    const wrong = (): unknown => wrapConsumer({} as never, verifier)
    expect(wrong).toThrow(expect.objectContaining({ code: 'client-unsupported' }))
    const reject = (): unknown => wrapConsumer(opened(kind.open()), verifier, { onRejected: 'reject' })
    expect(reject).toThrow(expect.objectContaining({ code: 'option-invalid' }))
  })
})

async function letters(raw: Redis6, physical: string, count: number): Promise<[string, string[]][]> {
  return eventually(async () => {
    const found = (await raw.xrange(`{${physical}}:dlq`, '-', '+')) as [string, string[]][]
    expect(found).toHaveLength(count)
    return found
  })
}
