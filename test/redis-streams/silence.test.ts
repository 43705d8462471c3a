import { describe, expect, it, onTestFinished } from 'vitest'
import { consumeStream, type StreamConsumer, wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { type ClientKind, KINDS, opened, plain, type Redis6, redisUrl } from './clients.ts'
import { SilentProxy } from './silent-proxy.ts'

/** Connections that break without a word: no FIN, no RST, nothing passes any more. */

const { signer, keys } = testKeys('shop')

interface Scene {
  readonly key: string
  readonly raw: Redis6
  readonly proxy: SilentProxy
  readonly handled: string[]
  add(body: string): Promise<void>
  consume(handler?: (body: string) => unknown): StreamConsumer
  pending(): Promise<number>
}

async function scene(kind: ClientKind): Promise<Scene> {
  const key = uniqueName('silent')
  const raw = plain()
  const proxy = await SilentProxy.listen(redisUrl)
  onTestFinished(() => proxy.close())
  const producer = wrapProducer(opened(kind.open()), signer)
  const handled: string[] = []
  await raw.xgroup('CREATE', kind.prefix + key, 'g', '0', 'MKSTREAM')
  return {
    ...{ key, raw, proxy, handled },
    async add(body) {
      await producer.xadd(key, '*', 'n', body)
    },
    consume(handler = () => undefined) {
      // What a user may have set, and what must not end or lose a read of ours.
      const options = { commandTimeout: 10, autoResendUnfulfilledCommands: false, disconnectTimeout: 100 }
      const redis = opened(kind.openAt(proxy.url, options))
      redis.on('error', () => undefined)
      const consumer = consumeStream({
        ...{ redis, stream: key, group: 'g', consumer: 'c', verifier: new Verifier({ keys }) },
        ...{ blockSeconds: 0.1, claimIdleSeconds: 60, drainSeconds: 1 },
        handler: async ({ values }) => {
          handled.push(String(values.n))
          await handler(String(values.n))
        },
      })
      onTestFinished(() => consumer.stop())
      return consumer
    },
    pending: async () => Number(((await raw.xpending(kind.prefix + key, 'g')) as unknown[])[0]),
  }
}

describe
  .skipIf(redisUrl === '')
  .each(KINDS.filter((_, index) => index % 2 === 0).map((kind) => [kind.name, kind] as [string, ClientKind]))(
  '%s',
  (_name, kind) => {
    it('a loop connects again when its connections fall silent, and goes on', async () => {
      const { add, consume, proxy, handled, pending } = await scene(kind)
      consume()
      await add('before')
      await eventually(() => expect(handled).toEqual(['before']))
      await eventually(async () => expect(await pending()).toBe(0))
      proxy.fallSilent()
      proxy.mend()
      await add('after')
      await eventually(() => expect(handled).toEqual(['before', 'after']))
      await eventually(async () => expect(await pending()).toBe(0))
    })

    it('what is being acknowledged when they do is acknowledged after it', async () => {
      const { add, consume, proxy, handled, pending } = await scene(kind)
      let finish: (() => void) | undefined
      const finished = new Promise<void>((resolve) => {
        finish = resolve
      })
      consume(() => finished)
      await add('1')
      await eventually(() => expect(handled).toEqual(['1']))
      proxy.fallSilent()
      finish?.()
      proxy.mend()
      await eventually(async () => expect(await pending()).toBe(0))
      expect(handled).toEqual(['1'])
    })

    it('a loop stops while nothing answers, waiting to read or to acknowledge', async () => {
      const { add, consume, proxy, handled } = await scene(kind)
      const idle = consume()
      const busy = consume()
      await add('1')
      await eventually(() => expect(handled).toEqual(['1']))
      proxy.fallSilent()
      await Promise.all([idle.stop(), busy.stop()])
    })

    it('a loop stops though a handler never ends, and its entry stays pending', async () => {
      const { add, consume, handled, pending } = await scene(kind)
      const consumer = consume(() => new Promise(() => undefined))
      await add('1')
      await eventually(() => expect(handled).toEqual(['1']))
      await consumer.stop()
      expect(await pending()).toBe(1)
    })

    it('dead letters of a guarded client are written when their connection was silent', async () => {
      const { key, raw, proxy, pending } = await scene(kind)
      const client = opened(kind.openAt(proxy.url))
      client.on('error', () => undefined)
      wrapConsumer(client, new Verifier({ keys }))
      const read = (one: Redis6, id = '>'): Promise<unknown> =>
        one.xreadgroup('GROUP', 'g', 'c', 'COUNT', 10, 'BLOCK', 20, 'STREAMS', key, id)
      // Both connections are there now.
      await raw.xadd(kind.prefix + key, '*', 'n', 'forged')
      expect(await read(client)).toBe(null)
      await eventually(async () => expect(await pending()).toBe(0))
      await raw.xadd(kind.prefix + key, '*', 'n', 'forged')
      const reading = read(client)
      await eventually(async () => expect(await raw.xlen(`{${kind.prefix}${key}}:dlq`)).toBeGreaterThan(0))
      proxy.fallSilent()
      proxy.mend()
      client.disconnect(true)
      await raw.xadd(kind.prefix + key, '*', 'n', 'forged')
      await reading
      await eventually(async () => {
        await read(client)
        // What the server gave out while the connection was silent is pending, and comes with those.
        await read(client, '0')
        expect(await raw.xlen(`{${kind.prefix}${key}}:dlq`)).toBe(3)
      })
      await eventually(async () => expect(await pending()).toBe(0))
    })
  },
)
