import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import { wrapProducer } from '../../adapters/redis-streams/index.ts'
import { testKeys } from '../../src/testing.ts'
import { startRedis, uniqueName } from '../brokers/index.ts'
import { builtProgram } from '../built.ts'

const url = inject('redisUrl')
const program = fileURLToPath(new URL('programs/redis-consumer.mjs', import.meta.url))
const { signer } = testKeys('checkout')
const KILLS = 12

describe.skipIf(url === undefined)('Redis Streams: consumers that end at any moment', () => {
  let built: string
  let folder: string
  let raw: Redis
  let signing: Redis
  const children = new Set<ChildProcess>()

  beforeAll(async () => {
    built = await builtProgram()
    folder = await mkdtemp(join(tmpdir(), 'queue-key-auth-redis-'))
    raw = new Redis(url as string)
    signing = wrapProducer(new Redis(url as string), signer)
  })
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL')
    raw.disconnect()
    signing.disconnect()
    await rm(folder, { recursive: true })
  })

  function scene(): {
    stream: string
    effects(): string[]
    start(consumer: string, more?: object): Promise<ChildProcess>
    pending(): Promise<number>
    inHandOf(consumer: string): Promise<number>
    waiting(): Promise<number>
  } {
    const stream = uniqueName('kill')
    const effectsFile = join(folder, stream)
    writeFileSync(effectsFile, '')
    return {
      stream,
      effects: () => readFileSync(effectsFile, 'utf8').split('\n').slice(0, -1),
      async start(consumer, more = {}) {
        const authorizedKeys = signer.authorizedKeysLine('**')
        const job = { built, url, stream, consumer, authorizedKeys, effectsFile, claimIdleSeconds: 1, ...more }
        const child = fork(program, [JSON.stringify(job)], { execArgv: ['--no-warnings'] })
        children.add(child)
        child.once('exit', () => children.delete(child))
        await once(child, 'message')
        return child
      },
      pending: async () => Number(((await raw.xpending(stream, 'workers')) as unknown[])[0]),
      inHandOf: async (consumer) =>
        ((await raw.xpending(stream, 'workers', '-', '+', 10_000, consumer)) as unknown[]).length,
      async waiting() {
        const groups = (await raw.xinfo('GROUPS', stream)) as unknown[][]
        return Number(groups[0]?.[groups[0].indexOf('lag') + 1])
      },
    }
  }

  async function close(child: ChildProcess): Promise<{ held: number }> {
    const said = once(child, 'message')
    child.send('close')
    const [last] = (await said) as [{ held: number }]
    if (child.exitCode === null) await once(child, 'exit')
    expect(child.exitCode).toBe(0)
    return last
  }

  it('kill -9, two consumers, 5,000 messages and more, half of them bad: none is lost', async () => {
    const { stream, effects, start, pending, inHandOf, waiting } = scene()
    const good: string[] = []
    const bad: string[] = []
    const add = async (count: number): Promise<void> => {
      const [signed, plain] = [signing.pipeline(), raw.pipeline()]
      for (const n of numbered('good', count, good.length)) signed.xadd(stream, '*', 'n', n)
      for (const n of numbered('bad', count, bad.length)) plain.xadd(stream, '*', 'n', n, 'queueauth', 'forged')
      good.push(...numbered('good', count, good.length))
      bad.push(...numbered('bad', count, bad.length))
      await Promise.all([signed.exec(), plain.exec()])
    }
    const names = ['a', 'b'] as const
    /** Its handlers come to hang, so that something is in hand when it is killed, whatever the machine's pace. */
    const hanging = (): object => ({ hangAfter: Math.floor(Math.random() * 500) })
    await add(2_500)
    let inHand = 0
    const consumers = [await start('a', hanging()), await start('b', hanging())]
    for (let kills = 0; kills < KILLS; kills++) {
      const index = kills % 2
      const [victim, name] = [consumers[index] as ChildProcess, names[index] as string]
      for (let more = 0; (await inHandOf(name)) === 0; more++) {
        if (more > 0) await add(50)
        await sleep(20)
      }
      await sleep(Math.random() * 100)
      victim.kill('SIGKILL')
      await once(victim, 'exit')
      inHand += await inHandOf(name)
      consumers[index] = await start(name, kills < KILLS - 2 ? hanging() : {})
    }
    await add(100)
    const letters = async (): Promise<string[]> =>
      ((await raw.xrange(`{${stream}}:dlq`, '-', '+')) as [string, string[]][]).map(([, fields]) => fields[1] as string)
    await expect.poll(() => new Set(effects()).size).toBe(good.length)
    await expect.poll(async () => new Set(await letters()).size).toBe(bad.length)
    await expect.poll(pending).toBe(0)
    expect(await waiting()).toBe(0)
    for (const consumer of consumers) await close(consumer)
    expect([...new Set(effects())].sort()).toEqual([...good].sort())
    expect((await letters()).sort()).toEqual([...bad].sort())
    expect(inHand).toBeGreaterThan(0)
    console.log(
      `killed ${KILLS} times with ${inHand} in hand: good ${good.length}, effects ${effects().length}, bad ${bad.length}, letters ${(await letters()).length}`,
    )
  })

  it('two consumers that share a RedisReplayStore: copies of a message have one effect', async () => {
    const { stream, effects, start, pending } = scene()
    const group = await raw.xgroup('CREATE', stream, 'workers', '0', 'MKSTREAM')
    expect(group).toBe('OK')
    const ids = numbered('good', 300)
    for (const n of ids) await signing.xadd(stream, '*', 'n', n)
    const entries = (await raw.xrange(stream, '-', '+')) as [string, string[]][]
    for (const [, fields] of [...entries, ...entries].sort(() => Math.random() - 0.5)) {
      await raw.xadd(stream, '*', ...(fields as [string, string]))
    }
    // What one of them has in hand is not the other's to take over, however long it stands still.
    const more = { storeUrl: url, claimIdleSeconds: 600 }
    const consumers = [await start('a', more), await start('b', more)]
    await expect.poll(() => effects().length).toBeGreaterThanOrEqual(ids.length)
    await expect.poll(pending).toBe(0)
    for (const consumer of consumers) await close(consumer)
    expect(effects().sort()).toEqual([...ids].sort())
    expect(await raw.exists(`{${stream}}:dlq`)).toBe(0)
  })

  it.skipIf(!inject('startableBrokers').includes('redis'))(
    'the server of the replay store is gone for five seconds: messages are deferred, none is lost or dead-lettered',
    async () => {
      const server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
      onTestFinished(() => server.stop())
      const { stream, effects, start, pending } = scene()
      const ids = numbered('good', 600)
      const consumer = await start('a', { storeUrl: server.url })
      for (const n of ids.slice(0, 200)) await signing.xadd(stream, '*', 'n', n)
      // Nothing is in hand then, so what comes next has to be held, and is not waiting for a commit.
      await expect.poll(() => effects().length).toBe(200)
      await expect.poll(pending).toBe(0)
      await server.kill()
      for (const n of ids.slice(200, 400)) await signing.xadd(stream, '*', 'n', n)
      await sleep(5_000)
      const during = effects().length
      expect(during).toBeLessThan(400)
      await server.restart()
      for (const n of ids.slice(400)) await signing.xadd(stream, '*', 'n', n)
      await expect.poll(() => new Set(effects()).size).toBe(ids.length)
      await expect.poll(pending).toBe(0)
      const { held } = await close(consumer)
      expect(held).toBeGreaterThan(0)
      expect(effects().sort()).toEqual([...ids].sort())
      expect(await raw.exists(`{${stream}}:dlq`)).toBe(0)
      console.log(`the store was gone for 5 s: in 600, effects ${effects().length}, held ${held} times`)
    },
  )
})

function numbered(prefix: string, count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${from + index}`)
}
