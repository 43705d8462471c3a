import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ConfirmChannel } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import type { ReplayStore } from '../../src/replay/replay-store.ts'
import { testKeys } from '../../src/testing.ts'
import { builtProgram } from '../built.ts'
import { expectAll, idOf, numbered, publishAll, report, Scene } from './rabbitmq-scene.ts'

const url = inject('amqpUrl')
const program = fileURLToPath(new URL('programs/rabbitmq-consumer.mjs', import.meta.url))
const KILLS = 5

const QUEUES = {
  classic: {},
  quorum: { arguments: { 'x-queue-type': 'quorum' } },
  stream: { arguments: { 'x-queue-type': 'stream' } },
} as const

type Kind = keyof typeof QUEUES

const KINDS = Object.keys(QUEUES) as Kind[]

describe.skipIf(url === undefined)('RabbitMQ: kill -9 of a consumer', () => {
  const { signer } = testKeys('checkout')
  let scene: Scene
  let built: string
  let folder: string
  let signing: ConfirmChannel
  let plain: ConfirmChannel
  const children = new Set<ChildProcess>()

  beforeAll(async () => {
    scene = new Scene(url as string)
    built = await builtProgram()
    folder = await mkdtemp(join(tmpdir(), 'queue-key-auth-kill-'))
    signing = await wrapProducer(await scene.connection(), signer).createConfirmChannel()
    plain = await (await scene.connection()).createConfirmChannel()
  })

  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL')
    await scene.end()
    await rm(folder, { recursive: true })
  })

  /** Starts the consumer again and again, dying at that point, and once more to finish. */
  async function run(
    kind: Kind,
    queue: string,
    point: string,
    ids: readonly string[],
    { store, isThrough = async () => true }: { store?: ReplayStore; isThrough?: () => Promise<boolean> } = {},
  ): Promise<string[]> {
    const effectsFile = join(folder, queue)
    writeFileSync(effectsFile, '')
    const offsetsFile = kind === 'stream' ? join(folder, `${queue}.offsets`) : undefined
    if (offsetsFile !== undefined) writeFileSync(offsetsFile, '')
    // A stream keeps what was handled.
    const waiting = async (): Promise<number> => (kind === 'stream' ? 0 : await scene.waiting(queue))
    const effects = (): string[] => readFileSync(effectsFile, 'utf8').split('\n').slice(0, -1)
    const start = (after: number): ChildProcess => {
      const authorizedKeys = signer.authorizedKeysLine('**')
      const sharedStore = store !== undefined
      // One at a time where effects are counted: a message between its effect and its commit has it twice.
      const prefetch = sharedStore ? 1 : 50
      const job = { built, url, queue, authorizedKeys, effectsFile, sharedStore, prefetch, point, after, offsetsFile }
      const child = fork(program, [JSON.stringify(job)], { execArgv: [] })
      children.add(child)
      child.once('exit', () => children.delete(child))
      if (store !== undefined) serve(child, store)
      return child
    }
    for (let kills = 0; kills < KILLS; kills++) {
      const [, signal] = await ended(start(Math.floor((Math.random() * ids.length) / (KILLS + 2))))
      expect(signal).toBe('SIGKILL')
    }
    const last = start(Number.MAX_SAFE_INTEGER)
    await expect.poll(() => new Set(effects()).size).toBe(ids.length)
    await expect.poll(isThrough).toBe(true)
    // Behind everything that was in the queue, and that comes again.
    await expect.poll(waiting).toBe(0)
    await publishAll(signing, queue, ['last'])
    await expect.poll(() => effects().includes('last')).toBe(true)
    last.send('close')
    expect(await ended(last)).toEqual([0, null])
    // What the consumer still had in hand would be back by now.
    expect(await waiting()).toBe(0)
    return effects().filter((id) => id !== 'last')
  }

  describe.each(KINDS)('of a %s queue', (kind) => {
    it.each(['before the handler', 'in the handler', 'after the handler, before the ack', 'after the ack'])(
      '%s: every message is handled, none is dead-lettered',
      async (point) => {
        const queue = await scene.queue('kill', QUEUES[kind])
        const ids = numbered('good', 1_000)
        await publishAll(signing, queue, ids)
        const effects = await run(kind, queue, point, ids)
        expectAll(effects, ids)
        const letters = await scene.drain(`${queue}.dlq`)
        expect(letters).toHaveLength(0)
        report(`${kind}: killed ${KILLS} times ${point}`, {
          in: ids.length,
          handled: new Set(effects).size,
          effects: effects.length,
        })
      },
    )

    it.each(['dead letter written', 'dead letter confirmed'])(
      '%s: no dead letter is lost, and no good one becomes one',
      async (point) => {
        const queue = await scene.queue('kill', QUEUES[kind])
        const good = numbered('good', 500)
        const bad = numbered('bad', 500)
        for (let index = 0; index < good.length; index += 50) {
          await publishAll(signing, queue, good.slice(index, index + 50))
          await publishAll(plain, queue, bad.slice(index, index + 50), (_id, content) => {
            plain.sendToQueue(queue, content)
          })
        }
        const letters: string[] = []
        const isThrough = async (): Promise<boolean> => {
          letters.push(...(await scene.drain(`${queue}.dlq`)).map(idOf))
          return new Set(letters).size === bad.length
        }
        const effects = await run(kind, queue, point, good, { isThrough })
        expectAll(effects, good)
        expectAll(letters, bad)
        report(`${kind}: killed ${KILLS} times, ${point}`, {
          in: good.length + bad.length,
          handled: new Set(effects).size,
          'dead-lettered': new Set(letters).size,
          effects: effects.length,
          letters: letters.length,
        })
      },
    )
  })

  // A reader of a stream that goes back in it asks for what it gets: one effect each is not for a store to see to.
  it.each(['classic', 'quorum'] as const)(
    'of a %s queue, between commit and ack: a replay store that outlives the consumer makes it one effect each',
    async (kind) => {
      const queue = await scene.queue('kill', QUEUES[kind])
      const ids = numbered('good', 1_000)
      await publishAll(signing, queue, ids)
      const effects = await run(kind, queue, 'committed, before the ack', ids, { store: new MemoryReplayStore() })
      expectAll(effects, ids)
      expect(effects).toHaveLength(ids.length)
      expect(await scene.drain(`${queue}.dlq`)).toHaveLength(0)
      report(`${kind}: killed ${KILLS} times between commit and ack`, { in: ids.length, effects: effects.length })
    },
  )
})

function ended(child: ChildProcess): Promise<readonly [code: number | null, signal: NodeJS.Signals | null]> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve([code, signal]))
  })
}

/** Answers what the store in the child asks. */
function serve(child: ChildProcess, store: ReplayStore): void {
  child.on('message', (message: { number?: number; method?: keyof ReplayStore; args?: unknown[] }) => {
    const { number, method, args } = message
    if (number === undefined || method === undefined) return
    const answer = (store[method] as (...args: unknown[]) => unknown).apply(store, args ?? [])
    if (child.connected) child.send({ number, answer }, () => undefined)
  })
}
