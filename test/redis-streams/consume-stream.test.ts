import { randomBytes } from 'node:crypto'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  type ConsumeStreamOptions,
  consumeStream,
  type StreamConsumer,
  type StreamMessage,
  wrapConsumer,
  wrapProducer,
} from '../../adapters/redis-streams/index.ts'
import { subscribe } from '../../src/events.ts'
import { testKeys } from '../../src/testing.ts'
import { senderOf } from '../../src/verdict.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { opened, plain, Redis6, redisUrl } from './clients.ts'

const { signer, keys } = testKeys('shop')

interface Scene {
  readonly key: string
  readonly raw: Redis6
  readonly producer: Redis6
  readonly handled: string[]
  consume(options?: Partial<ConsumeStreamOptions>): StreamConsumer
  pending(): Promise<number>
  letters(count: number): Promise<Record<string, string>[]>
}

function scene(): Scene {
  const key = uniqueName('loop')
  const [raw, producer] = [plain(), wrapProducer(plain(), signer)]
  const handled: string[] = []
  const verifier = new Verifier({ keys })
  return {
    ...{ key, raw, producer, handled },
    consume(options = {}) {
      const consumer = consumeStream({
        ...{ redis: raw, stream: key, group: 'g', consumer: 'c', verifier, blockSeconds: 0.02, claimIdleSeconds: 0.1 },
        handler: ({ values }) => handled.push(String(values.n)),
        ...options,
      })
      onTestFinished(() => consumer.stop())
      return consumer
    },
    pending: async () => Number(((await raw.xpending(key, 'g')) as unknown[])[0]),
    letters: (count) =>
      eventually(async () => {
        const found = (await raw.xrange(`{${key}}:dlq`, '-', '+')) as [string, string[]][]
        expect(found).toHaveLength(count)
        return found.map(([, fields]) => Object.fromEntries(chunk(fields)))
      }),
  }
}

function chunk(fields: readonly string[]): [string, string][] {
  return Array.from({ length: fields.length / 2 }, (_, index) => fields.slice(2 * index, 2 * index + 2) as never)
}

describe.skipIf(redisUrl === '')('consumeStream', () => {
  it('makes group and stream, and hands over what was signed, in order', async () => {
    const { consume, producer, handled, key, pending } = scene()
    const messages: StreamMessage[] = []
    const consumer = consume({
      concurrency: 1,
      handler: async (message) => {
        messages.push(message)
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 3))
        handled.push(String(message.values.n))
      },
    })
    for (let n = 0; n < 50; n++) await producer.xadd(key, '*', 'n', n, 'n', n + 100)
    await eventually(() => expect(handled).toHaveLength(50))
    await consumer.stop()
    expect(handled).toEqual(Array.from({ length: 50 }, (_, n) => String(n + 100)))
    expect(messages[0]).toMatchObject({ stream: key, group: 'g', values: { n: '100' } })
    expect(messages[0]?.fields.map(String)).toEqual(['n', '0', 'n', '100'])
    expect(senderOf(messages[0] as object)?.service).toBe('shop')
    expect(await pending()).toBe(0)
  })

  it('handles own pending entries before new ones', async () => {
    const { consume, producer, handled, key, raw } = scene()
    await raw.xgroup('CREATE', key, 'g', '0', 'MKSTREAM')
    for (let n = 0; n < 30; n++) await producer.xadd(key, '*', 'n', n)
    await raw.xreadgroup('GROUP', 'g', 'c', 'COUNT', 20, 'STREAMS', key, '>')
    consume({ concurrency: 7 })
    await eventually(() => expect(handled).toHaveLength(30))
    expect(handled.slice(0, 20).sort()).toEqual(Array.from({ length: 20 }, (_, n) => String(n)).sort())
  })

  it('takes over what another consumer let lie', async () => {
    const { consume, producer, handled, key, raw, pending } = scene()
    await raw.xgroup('CREATE', key, 'g', '0', 'MKSTREAM')
    await producer.xadd(key, '*', 'n', 'left')
    await raw.xreadgroup('GROUP', 'g', 'gone', 'STREAMS', key, '>')
    consume()
    await eventually(() => expect(handled).toEqual(['left']))
    await eventually(async () => expect(await pending()).toBe(0))
  })

  it('says again and again that an entry is worked on, however long that takes, and counts no delivery', async () => {
    const { consume, producer, key, raw, pending } = scene()
    let finish: (() => void) | undefined
    consume({ claimIdleSeconds: 3, handler: () => new Promise<void>((resolve) => (finish = resolve)) })
    onTestFinished(() => finish?.())
    await producer.xadd(key, '*', 'n', '1')
    await eventually(() => expect(finish).toBeDefined())
    for (let renewals = 0; renewals < 2; renewals++) {
      let longest = 0
      await eventually(async () => {
        const [[, , idle, deliveries]] = (await raw.xpending(key, 'g', '-', '+', 1)) as [
          [string, string, number, number],
        ]
        expect(deliveries).toBe(1)
        longest = Math.max(longest, idle)
        expect(idle).toBeLessThan(longest)
      })
    }
    finish?.()
    await eventually(async () => expect(await pending()).toBe(0))
  })

  it('runs no more handlers at a time than it may, and stops by draining', async () => {
    const { consume, producer, key, handled, raw } = scene()
    for (let n = 0; n < 30; n++) await producer.xadd(key, '*', 'n', n)
    let [running, most] = [0, 0]
    const abort = new AbortController()
    const consumer = consume({
      concurrency: 3,
      signal: abort.signal,
      handler: async ({ id }) => {
        most = Math.max(most, ++running)
        await new Promise((resolve) => setTimeout(resolve, 20))
        running--
        if (handled.push(id) === 6) abort.abort()
      },
    })
    await consumer.finished
    expect([running, most]).toEqual([0, 3])
    expect(handled.length).toBeLessThan(10)
    // What was on its way here when it stopped is pending; what was handled is not.
    const left = (await raw.xpending(key, 'g', '-', '+', 30)) as [string][]
    expect(left.filter(([id]) => handled.includes(id))).toEqual([])
  })

  it('gives an entry to the dead letters whose handler always fails, under a reason of its own', async () => {
    const { consume, producer, key, letters, pending, handled } = scene()
    const errors: unknown[] = []
    const bug = new Error('a bug')
    consume({
      maxDeliveries: 3,
      onError: (error) => errors.push(error),
      handler: ({ values }) => {
        if (values.n === 'poison') throw bug
        handled.push(String(values.n))
      },
    })
    await producer.xadd(key, '*', 'n', 'poison')
    await producer.xadd(key, '*', 'n', 'good')
    const [letter] = await letters(1)
    expect(errors).toEqual([bug, bug, bug])
    expect(letter).toMatchObject({ n: 'poison', 'queueauth-reason': 'deliveries-exceeded', 'queueauth-group': 'g' })
    expect(letter?.queueauth).toMatch(/\./)
    await eventually(async () => expect(await pending()).toBe(0))
    expect(handled).toEqual(['good'])
  })

  it('lives through the loss of its connections, its group and its stream', async () => {
    const { consume, producer, key, raw, handled } = scene()
    consume({ redis: opened(new Redis6(redisUrl, { connectionName: key })) })
    await producer.xadd(key, '*', 'n', 'before')
    await eventually(() => expect(handled).toEqual(['before']))
    const own = await eventually(async () => {
      const connections = String(await raw.client('LIST')).split('\n')
      const named = connections.filter((line) => line.includes(`name=${key}`))
      expect(named).toHaveLength(3)
      return named.map((line) => /id=(\d+)/.exec(line)?.[1])
    })
    for (const id of own) await raw.client('KILL', 'ID', String(id))
    await eventually(() => producer.xadd(key, '*', 'n', 'killed'))
    await eventually(() => expect(handled).toContain('killed'))
    await raw.del(key)
    await producer.xadd(key, '*', 'n', 'deleted')
    await eventually(() => expect(handled).toContain('deleted'))
    await raw.xgroup('DESTROY', key, 'g')
    await producer.xadd(key, '*', 'n', 'destroyed')
    await eventually(() => expect(handled).toContain('destroyed'))
  })

  it('acknowledges what was trimmed away while it was pending', async () => {
    const { consume, producer, key, raw, pending, handled } = scene()
    await raw.xgroup('CREATE', key, 'g', '0', 'MKSTREAM')
    for (let n = 0; n < 3; n++) await producer.xadd(key, '*', 'n', n)
    await raw.xreadgroup('GROUP', 'g', 'c', 'STREAMS', key, '>')
    await raw.xtrim(key, 'MAXLEN', 1)
    consume()
    await eventually(() => expect(handled).toEqual(['2']))
    await eventually(async () => expect(await pending()).toBe(0))
  })

  it('acknowledges nothing while the stream for dead letters is of another type, says so, and stores all after it', async () => {
    const { consume, producer, key, raw, pending, letters, handled } = scene()
    const events: unknown[] = []
    onTestFinished(
      subscribe('queue-key-auth:dead-letter-failed', ({ queue, error, permanent }) => {
        if (queue === key) events.push([String(error).includes('WRONGTYPE'), permanent])
      }),
    )
    await raw.lpush(`{${key}}:dlq`, 'x')
    const consumer = consume()
    for (let n = 0; n < 20; n++) await raw.xadd(key, '*', 'n', `forged ${n}`)
    await producer.xadd(key, '*', 'n', 'good')
    await eventually(() => expect(handled).toEqual(['good']))
    await eventually(() => expect(events.length).toBeGreaterThanOrEqual(20))
    expect(new Set(events.map(String))).toEqual(new Set(['true,false']))
    await eventually(async () => expect(await pending()).toBe(20))
    await raw.del(`{${key}}:dlq`)
    await letters(20)
    await eventually(async () => expect(await pending()).toBe(0))
    await consumer.stop()
  })

  it('stores dead letters that are too large for a script packed, each field and value', async () => {
    const { consume, key, raw, letters, pending } = scene()
    consume()
    const large = Array.from({ length: 4_500 }, (_, n) => [`f${n}`, `v${n}`]).flat()
    await raw.xadd(key, '*', ...(large as [string, string]))
    const almost = Array.from({ length: 3_946 }, (_, n) => [`f${n}`, `v${n}`]).flat()
    await raw.xadd(key, '*', ...(almost as [string, string]))
    const bulky = randomBytes(8_000_000)
    await raw.xadd(key, '*', 'bulky', bulky as never)
    const found = await letters(3)
    const [packed, bare, whole] = [4, 3_948, 10].map((size) =>
      found.find((letter) => (size === 4 ? 'queueauth-packed' in letter : Object.keys(letter).length >= size - 3)),
    )
    expect(Object.keys(packed ?? {})).toEqual(['queueauth-packed', 'queueauth-reason'])
    expect(packed?.['queueauth-packed']).toContain('f4499')
    expect(bare?.['queueauth-reason']).toBe('token-missing')
    expect(whole?.['queueauth-reason']).toBe('token-missing')
    await eventually(async () => expect(await pending()).toBe(0))
  })

  it('leaves the client it was given alone, with a prefix, wrapped or not', async () => {
    const { key, raw, pending } = scene()
    const redis = opened(new Redis6(redisUrl, { keyPrefix: 'app:' }))
    const verifier = new Verifier({ keys })
    wrapProducer(wrapConsumer(redis, verifier), signer)
    const handled: string[] = []
    const consumer = consumeStream({
      ...{ redis, stream: key, group: 'g', consumer: 'c', verifier, blockSeconds: 0.02 },
      handler: ({ stream, values }) => handled.push(`${stream} ${values.n}`),
    })
    await redis.xadd(key, '*', 'n', '1')
    await eventually(() => expect(handled).toEqual([`app:${key} 1`]))
    await raw.xadd(`app:${key}`, '*', 'n', 'forged')
    await eventually(async () => expect(await raw.xlen(`{app:${key}}:dlq`)).toBe(1))
    await consumer.stop()
    expect(await redis.ping()).toBe('PONG')
    const [[, letter]] = (await raw.xrange(`{app:${key}}:dlq`, '-', '+')) as unknown as [[string, string[]]]
    expect(letter).not.toContain('queueauth')
    expect(await pending().catch(String)).toContain('NOGROUP')
  })

  it.each([
    { stream: '' },
    { group: 1 },
    { consumer: undefined },
    { handler: undefined },
    { verifier: {} },
    { concurrency: 0 },
    { blockSeconds: 0 },
    { claimIdleSeconds: Number.POSITIVE_INFINITY },
    { maxDeliveries: 0 },
    { startId: '-' },
    { onRejected: 'reject' },
  ])('refuses %o', (wrong) => {
    expect(() => scene().consume(wrong as object)).toThrow(expect.objectContaining({ code: 'option-invalid' }))
  })
})
