import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { AuthorizedKeys, Signer, senderOf, Verifier } from '../../src/index.ts'
import { generatePrivateKey } from '../../src/keys/generate.ts'
import { openSshPublicKey, publicKeyOf } from '../../src/keys/public-key.ts'
import { MountedDirectory } from '../keys/directories.ts'
import { numbered, report, Scene } from './rabbitmq-scene.ts'

const url = inject('amqpUrl')
const SWAPS = 200

describe.skipIf(url === undefined)('RabbitMQ: keys are rotated under traffic', () => {
  let scene: Scene
  beforeAll(() => {
    scene = new Scene(url as string)
  })
  afterAll(() => scene.end())

  it(`two rotations and ${SWAPS} swaps of the mounted directory: not one message is rejected`, async () => {
    const queue = await scene.queue('rotation')
    const pairs = [newPair(), newPair(), newPair()] as const
    const lineOf = (pair: Pair, options = ''): string => `checkout queues="${queue}"${options} ${pair.publicLine}\n`
    const mountedKey = await MountedDirectory.create({ 'checkout.key': pairs[0].pem })
    let lines = lineOf(pairs[0])
    let swaps = 0
    const generation = () => ({ authorized_keys: `# generation ${swaps}\n${lines}`, revoked_keys: '# none\n' })
    const mountedLines = await MountedDirectory.create(generation())
    const keys = await AuthorizedKeys.fromDirectory(mountedLines.path)
    const signer = await Signer.fromFile(join(mountedKey.path, 'checkout.key'), { service: 'checkout' })

    const handled: string[] = []
    const handledBy = new Map<string, number>()
    const refused: string[] = []
    const guarded = wrapConsumer(await scene.connection(), new Verifier({ keys }), {
      onVerdict: (verdict) => {
        if (verdict.outcome !== 'authorized') refused.push(JSON.stringify(verdict))
      },
    })
    const consumer = await guarded.createChannel()
    await consumer.prefetch(500)
    await consumer.consume(queue, (message) => {
      if (message === null) return
      const keyId = senderOf(message)?.keyId ?? 'none'
      handledBy.set(keyId, (handledBy.get(keyId) ?? 0) + 1)
      handled.push(message.content.toString())
      consumer.ack(message)
    })
    const channel = await (await scene.connection()).createConfirmChannel()
    wrapProducer(channel, signer)

    let published = 0
    let rotated = false
    const producing = (async () => {
      while (!rotated) {
        for (let burst = 0; burst < 20; burst++) channel.sendToQueue(queue, Buffer.from(`m-${published++}`))
        await channel.waitForConfirms()
        // Room for the swaps.
        await sleep(5)
      }
    })()
    const swapping = (async () => {
      while (swaps < SWAPS || !rotated) {
        swaps++
        await mountedLines.swap(generation())
        await sleep(50)
      }
    })()

    for (const [from, to] of [
      [pairs[0], pairs[1]],
      [pairs[1], pairs[2]],
    ] as const) {
      await expect.poll(() => swaps).toBeGreaterThan(from === pairs[0] ? 40 : 120)
      // 1: the new public line everywhere, and every consumer has read it
      lines = lineOf(from) + lineOf(to)
      await expect.poll(() => keys.snapshot?.keys.has(to.keyId)).toBe(true)
      // 2: the producer's key
      await mountedKey.swap({ 'checkout.key': to.pem })
      await expect.poll(() => signer.keyId).toBe(to.keyId)
      // 3: an end for the old line, once nobody signs with it
      const end = new Date(Date.now() + 1_000).toISOString().replace(/\.\d+/, '')
      lines = lineOf(from, `,valid-before="${end}"`) + lineOf(to)
      // 4: nothing signed with it waits any more, which is certain after maxAge
      const signedBefore = published
      await expect.poll(() => handled.length).toBeGreaterThanOrEqual(signedBefore)
      lines = lineOf(to)
      await expect.poll(() => keys.snapshot?.keys.has(from.keyId)).toBe(false)
    }
    await expect.poll(() => swaps).toBeGreaterThanOrEqual(SWAPS)
    rotated = true
    await Promise.all([producing, swapping])
    await expect.poll(() => handled.length).toBe(published)

    expect(refused).toEqual([])
    expect(handled).toEqual(numbered('m', published))
    expect([...handledBy.keys()]).toEqual(pairs.map(({ keyId }) => keyId))
    expect(await scene.waiting(`${queue}.dlq`)).toBe(0)
    await expect.poll(() => keys.health.state).toBe('ok')
    keys.close()
    signer.close()
    report('rotation', { published, handled: handled.length, rejected: refused.length, swaps, keys: handledBy.size })
    report('signed with each', Object.fromEntries(handledBy))
  })
})

interface Pair {
  readonly pem: string
  readonly keyId: string
  /** `ssh-ed25519 AAAA…` */
  readonly publicLine: string
}

function newPair(): Pair {
  const key = generatePrivateKey()
  const publicKey = publicKeyOf(key)
  const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString()
  return { pem, keyId: publicKey.keyId, publicLine: openSshPublicKey(publicKey) }
}
