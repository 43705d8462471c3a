import { mkdir, rm, truncate, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConfirmChannel } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { AuthorizedKeys, type DirectoryOptions, Signer, Verifier, verdictOf } from '../../src/index.ts'
import { generatePrivateKey } from '../../src/keys/generate.ts'
import { plainDirectory, replaceFile } from '../keys/directories.ts'
import { report, Scene } from './rabbitmq-scene.ts'

const url = inject('amqpUrl')

describe.skipIf(url === undefined)('RabbitMQ: the files of a consumer change under traffic', () => {
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

  /** A consumer of its own, with keys of its own. */
  async function consumed(
    queue: string,
    keys: AuthorizedKeys,
  ): Promise<{ keys: AuthorizedKeys; handled: Set<string> }> {
    const handled = new Set<string>()
    const guarded = wrapConsumer(await scene.connection(), new Verifier({ keys }), { onVerdict: () => undefined })
    const consumer = await guarded.createChannel()
    await consumer.prefetch(100)
    await consumer.consume(queue, (message) => {
      if (message === null) return
      handled.add(message.content.toString())
      consumer.ack(message)
    })
    return { keys, handled }
  }

  it('queue_policy goes from observe to enforce: what the counters said before comes true', async () => {
    const queue = await scene.queue('rollout')
    const signer = Signer.generate('checkout')
    const directory = await plainDirectory({
      authorized_keys: `${signer.authorizedKeysLine(queue)}\n`,
      queue_policy: `${queue} rollout=observe\n`,
    })
    const verifier = new Verifier({ keys: await keysOf(directory) })
    const handled = { signed: 0, unsigned: 0 }
    // While it is not resolved nothing more is taken from the queue.
    let pace = Promise.resolve()
    const guarded = wrapConsumer(await scene.connection(), verifier, { onVerdict: () => undefined })
    const consumer = await guarded.createChannel()
    await consumer.prefetch(4)
    await consumer.consume(queue, (message) => {
      if (message === null) return
      handled[verdictOf(message)?.outcome === 'authorized' ? 'signed' : 'unsigned']++
      void pace.then(() => consumer.ack(message))
    })
    const upgraded = await (await scene.connection()).createConfirmChannel()
    wrapProducer(upgraded, signer)
    const old = await (await scene.connection()).createConfirmChannel()
    const published = { signed: 0, unsigned: 0 }
    const flow = { stop: false }
    const send = async (channel: ConfirmChannel, kind: 'signed' | 'unsigned', options = {}): Promise<void> => {
      while (!flow.stop) {
        for (let burst = 0; burst < 10; burst++, published[kind]++) {
          channel.sendToQueue(queue, Buffer.from(kind), { ...options, persistent: true })
        }
        await channel.waitForConfirms()
        await sleep(20)
      }
    }
    const flowing = [send(upgraded, 'signed'), send(old, 'unsigned', { appId: 'old-shop' })]

    // 1: observe. Whoever is refused here would be dead-lettered, and only messages without a token are.
    await expect.poll(() => Math.min(handled.signed, handled.unsigned)).toBeGreaterThan(300)
    const observed = verifier.counters.of(queue)
    const { 'token-missing': missing = 0, ...otherwise } = observed.refused
    expect(otherwise).toEqual({})
    expect(missing).toBeGreaterThan(0)
    expect(Object.keys(observed.unsignedFrom).join()).toContain('old-shop')
    // So it is safe to enforce while messages without a token still pass.
    const end = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10)
    // Messages of both kinds wait in the queue when it changes.
    let goOn: () => void = () => undefined
    pace = new Promise((resolve) => {
      goOn = resolve
    })
    const sent = { ...published }
    await expect
      .poll(() => Math.min(published.signed - sent.signed, published.unsigned - sent.unsigned))
      .toBeGreaterThan(50)
    await replaceFile(directory, 'queue_policy', `${queue} rollout=enforce accept-unsigned-until=${end}\n`)
    await expect.poll(() => verifier.policyOf(queue).rollout).toBe('enforce')
    const [waiting, before] = [await scene.waiting(queue), { ...handled }]
    expect(waiting).toBeGreaterThan(50)
    goOn()
    await expect.poll(() => handled.unsigned - before.unsigned).toBeGreaterThan(300)
    expect(await scene.waiting(`${queue}.dlq`)).toBe(0)

    // 2: the old producer is stopped. When the count of unsigned ones stands still and the queue ran dry, none is left.
    flow.stop = true
    await Promise.all(flowing)
    await expect.poll(() => handled.signed + handled.unsigned).toBe(published.signed + published.unsigned)
    const enforced = verifier.counters.of(queue)
    expect(handled).toEqual(published)
    expect(enforced.refused).toEqual(
      observed.refused['token-missing'] === undefined ? {} : { 'token-missing': expect.any(Number) },
    )
    expect(enforced.unsigned + (enforced.refused['token-missing'] ?? 0)).toBe(published.unsigned)
    expect(await scene.waiting(`${queue}.dlq`)).toBe(0)

    // 3: enforce without exception. A straggler without a token is now dead-lettered; signed ones go on.
    await replaceFile(directory, 'queue_policy', `${queue} rollout=enforce\n`)
    await expect.poll(() => verifier.policyOf(queue).acceptUnsignedUntil).toBe(undefined)
    old.sendToQueue(queue, Buffer.from('straggler'), { appId: 'old-shop' })
    upgraded.sendToQueue(queue, Buffer.from('signed'))
    await expect.poll(() => scene.waiting(`${queue}.dlq`)).toBe(1)
    await expect.poll(() => handled.signed).toBe(published.signed + 1)
    report('rollout', {
      'signed handled': handled.signed,
      'unsigned handled': handled.unsigned,
      'of these observed': enforced.refused['token-missing'] ?? 0,
      'of these accepted while enforcing': enforced.unsigned,
      'waiting at the switch': waiting,
      'dead-lettered by the switch': 0,
    })
  })

  it('files of every broken kind under traffic: nothing is dead-lettered, and all of it is handled in the end', async () => {
    const queue = await scene.queue('broken-files')
    const [signer, thief] = [Signer.generate('checkout'), Signer.generate('billing')]
    const good = {
      authorized_keys: `${signer.authorizedKeysLine(queue)}\n`,
      revoked_keys: `${thief.fingerprint}\n`,
      queue_policy: `${queue} max-age=1d\n`,
    }
    const pem = generatePrivateKey().export({ type: 'pkcs8', format: 'pem' }).toString()
    const directory = await plainDirectory(good)
    const file = (name: string): string => join(directory, name)
    // One allows for as long as it takes what the last good files allow, the other soon defers everything.
    const patient = await consumed(queue, await keysOf(directory, { pollSeconds: 0.5, staleAfterSeconds: 86_400 }))
    const impatient = await consumed(queue, await keysOf(directory, { pollSeconds: 0.5, staleAfterSeconds: 1 }))
    const all = (): number => new Set([...patient.handled, ...impatient.handled]).size
    const channel = await (await scene.connection()).createConfirmChannel()
    wrapProducer(channel, signer)
    const flow = { stop: false, published: 0 }
    const flowing = (async () => {
      while (!flow.stop) {
        for (let burst = 0; burst < 20; burst++) channel.sendToQueue(queue, Buffer.from(`m-${flow.published++}`))
        await channel.waitForConfirms()
        await sleep(10)
      }
    })()
    const kinds: Readonly<Record<string, () => Promise<unknown>>> = {
      'half written': () => truncate(file('authorized_keys'), good.authorized_keys.length - 30),
      empty: () => truncate(file('authorized_keys')),
      missing: () => unlink(file('authorized_keys')),
      unreadable: () => unlink(file('authorized_keys')).then(() => mkdir(file('authorized_keys'))),
      'bad line': () => replaceFile(directory, 'authorized_keys', `${good.authorized_keys}nonsense\n`),
      'private key inside': () => replaceFile(directory, 'authorized_keys', good.authorized_keys + pem),
      'revocations missing': () => unlink(file('revoked_keys')),
      'policy broken': () => replaceFile(directory, 'queue_policy', `${queue} rollout=\n`),
    }
    for (const [kind, breaks] of Object.entries(kinds)) {
      await breaks()
      await expect.poll(() => [kind, patient.keys.health.state]).toEqual([kind, 'broken'])
      await expect.poll(() => [kind, impatient.keys.health.state]).toEqual([kind, 'stale'])
      const before = { patient: patient.handled.size, impatient: impatient.handled.size }
      await expect.poll(() => patient.handled.size - before.patient).toBeGreaterThan(100)
      expect(impatient.handled.size).toBe(before.impatient)
      expect(await scene.waiting(`${queue}.dlq`)).toBe(0)
      for (const [name, text] of Object.entries(good)) {
        await rm(file(name), { recursive: true, force: true })
        await replaceFile(directory, name, text)
      }
      for (const { keys } of [patient, impatient]) await expect.poll(() => keys.health.state).toBe('ok')
      await expect.poll(() => impatient.handled.size - before.impatient).toBeGreaterThan(100)
    }
    flow.stop = true
    await flowing
    await expect.poll(all).toBe(flow.published)
    expect(await scene.waiting(`${queue}.dlq`)).toBe(0)
    report('broken files', {
      kinds: Object.keys(kinds).length,
      published: flow.published,
      'handled by last good files': patient.handled.size,
      'and by those that come back from being stale': impatient.handled.size,
      'dead-lettered': 0,
    })
  })
})
