import { mkdir, rmdir, truncate, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConfirmChannel } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import {
  AuthorizedKeys,
  type DirectoryOptions,
  MemoryReplayStore,
  type ReplayStore,
  Signer,
  Verifier,
} from '../../src/index.ts'
import { MountedDirectory, plainDirectory, replaceFile } from '../keys/directories.ts'
import { report, Scene } from './rabbitmq-scene.ts'

const url = inject('amqpUrl')

describe.skipIf(url === undefined)('RabbitMQ: a key is revoked under traffic', () => {
  let scene: Scene
  beforeAll(() => {
    scene = new Scene(url as string)
  })
  afterAll(() => scene.end())

  async function keysOf(directory: string, options: DirectoryOptions = {}): Promise<AuthorizedKeys> {
    const keys = await AuthorizedKeys.fromDirectory(directory, { onError: () => undefined, ...options })
    onTestFinished(() => keys.close())
    return keys
  }

  async function producer(signer: Signer): Promise<ConfirmChannel> {
    const channel = await (await scene.connection()).createConfirmChannel()
    wrapProducer(channel, signer)
    return channel
  }

  /** Counts what is handled and refused, with the time of each. */
  async function consume(queue: string, keys: AuthorizedKeys, replay?: ReplayStore) {
    const handledAt: number[] = []
    const refused: { at: number; code: string }[] = []
    const verifier = new Verifier(replay === undefined ? { keys } : { keys, replay })
    const guarded = wrapConsumer(await scene.connection(), verifier, {
      onVerdict: (verdict) => {
        if ('code' in verdict) refused.push({ at: performance.now(), code: verdict.code })
      },
    })
    const consumer = await guarded.createChannel()
    await consumer.prefetch(50)
    await consumer.consume(queue, (message) => {
      if (message === null) return
      handledAt.push(performance.now())
      consumer.ack(message)
    })
    return { handledAt, refused }
  }

  it.each(['plain', 'mounted'] as const)(
    'in a %s directory: refused from some moment on, and for good',
    async (kind) => {
      const queue = await scene.queue('revocation')
      const thief = Signer.generate('checkout')
      const files = { authorized_keys: `${thief.authorizedKeysLine(queue)}\n`, revoked_keys: '# none\n' }
      const revoked = { ...files, revoked_keys: `${thief.fingerprint} # stolen\n` }
      const mounted = kind === 'mounted' ? await MountedDirectory.create(files) : undefined
      const directory = mounted?.path ?? (await plainDirectory(files))
      const { handledAt, refused } = await consume(queue, await keysOf(directory))
      const channel = await producer(thief)
      let published = 0
      let stop = false
      const stealing = (async () => {
        while (!stop) {
          channel.sendToQueue(queue, Buffer.from(`m-${published++}`))
          await channel.waitForConfirms()
          await sleep(1)
        }
      })()
      await expect.poll(() => handledAt.length).toBeGreaterThan(200)
      const handledBefore = handledAt.length
      await (mounted === undefined
        ? replaceFile(directory, 'revoked_keys', revoked.revoked_keys)
        : mounted.swap(revoked))
      const changedAt = performance.now()
      await expect.poll(() => refused.length).toBeGreaterThan(200)
      stop = true
      await stealing
      await expect.poll(() => handledAt.length + refused.length).toBe(published)
      const window = Math.max(...handledAt) - changedAt
      report(`revocation in a ${kind} directory`, {
        'handled before': handledBefore,
        'handled after the change': handledAt.length - handledBefore,
        'ms from the change to the last one handled': Math.round(window),
        'refused after that': refused.length,
      })
      expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['key-revoked']))
      expect(Math.min(...refused.map(({ at }) => at))).toBeGreaterThanOrEqual(Math.max(...handledAt))
    },
  )

  it('a message that was verified and waits for its handler is refused as well', async () => {
    const queue = await scene.queue('revocation-waiting')
    const thief = Signer.generate('checkout')
    const directory = await plainDirectory({
      authorized_keys: `${thief.authorizedKeysLine(queue)}\n`,
      revoked_keys: '',
    })
    const keys = await keysOf(directory)
    const store = new WaitingStore()
    const { handledAt, refused } = await consume(queue, keys, store)
    const channel = await producer(thief)
    for (let number = 0; number < 20; number++) channel.sendToQueue(queue, Buffer.from(`m-${number}`))
    await channel.waitForConfirms()
    await expect.poll(() => store.asked).toBe(20)
    const key = keys.snapshot?.keys.get(thief.keyId)
    await replaceFile(directory, 'revoked_keys', `${thief.fingerprint}\n`)
    const changedAt = performance.now()
    await expect.poll(() => key !== undefined && keys.snapshot?.isRevoked(key)).toBe(true)
    store.open()
    await expect.poll(() => refused.length).toBe(20)
    report('revocation of verified messages', {
      verified: store.asked,
      handled: handledAt.length,
      refused: refused.length,
      'ms from the change to the last one refused': Math.round(Math.max(...refused.map(({ at }) => at)) - changedAt),
    })
    expect(handledAt).toEqual([])
    expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['key-revoked']))
    await expect.poll(() => scene.waiting(`${queue}.dlq`)).toBe(20)
  })

  it.each<[string, (file: string) => Promise<unknown>]>([
    ['truncated', (file) => truncate(file, 20)],
    ['emptied', (file) => truncate(file)],
    ['missing', (file) => unlink(file)],
    ['unreadable', (file) => unlink(file).then(() => mkdir(file))],
  ])('a revoked_keys that is %s takes no revocation back', async (_, breaks) => {
    const queue = await scene.queue('revocation-kept')
    const [thief, honest] = [Signer.generate('checkout'), Signer.generate('billing')]
    const directory = await plainDirectory({
      authorized_keys: `${thief.authorizedKeysLine(queue)}\n${honest.authorizedKeysLine(queue)}\n`,
      revoked_keys: `${thief.fingerprint}\n`,
    })
    const keys = await keysOf(directory)
    const { handledAt, refused } = await consume(queue, keys)
    const file = join(directory, 'revoked_keys')
    await breaks(file)
    await expect.poll(() => keys.health.state).toBe('broken')
    const channels = [await producer(thief), await producer(honest)]
    for (const channel of channels) {
      for (let number = 0; number < 100; number++) channel.sendToQueue(queue, Buffer.from(`m-${number}`))
      await channel.waitForConfirms()
    }
    await expect.poll(() => [handledAt.length, refused.length]).toEqual([100, 100])
    expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['key-revoked']))
    await rmdir(file)
      .catch(() => unlink(file))
      .catch((error: { code: string }) => expect(error.code).toBe('ENOENT'))
    await replaceFile(directory, 'revoked_keys', '# the laptop was found\n')
    await expect.poll(() => keys.health.state).toBe('ok')
    expect(keys.can('checkout', queue)).toBe(true)
  })
})

/** A store that answers once it is opened, as one on the network that is slow. */
class WaitingStore implements ReplayStore {
  readonly #memory = new MemoryReplayStore()
  readonly #opened: Promise<void>
  open!: () => void
  asked = 0

  constructor() {
    this.#opened = new Promise((resolve) => {
      this.open = resolve
    })
  }

  begin: ReplayStore['begin'] = async (claim) => {
    this.asked++
    await this.#opened
    return this.#memory.begin(claim)
  }
  renew: ReplayStore['renew'] = (claim) => this.#memory.renew(claim)
  commit: ReplayStore['commit'] = (claim, retentionSeconds) => this.#memory.commit(claim, retentionSeconds)
  release: ReplayStore['release'] = (claim) => this.#memory.release(claim)
}
