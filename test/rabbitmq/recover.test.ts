import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { MemoryReplayStore, type ReplayStore, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { bench } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

/** Takes its time to let go of an id. */
class SlowToRelease implements ReplayStore {
  readonly waiting: (() => void)[] = []
  readonly #store = new MemoryReplayStore()

  begin: ReplayStore['begin'] = (claim) => this.#store.begin(claim)
  commit: ReplayStore['commit'] = (claim, retentionSeconds) => this.#store.commit(claim, retentionSeconds)
  renew: ReplayStore['renew'] = (claim) => this.#store.renew(claim)

  release: ReplayStore['release'] = (claim) =>
    new Promise((resolve) => {
      this.waiting.push(() => resolve(this.#store.release(claim)))
    })

  goOn(): void {
    for (const release of this.waiting.splice(0)) release()
  }
}

describe.skipIf(url === undefined)('recover', () => {
  const at = bench(url)
  let producer: ConfirmChannel

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  it('takes back what arrives while the replay store is being told: every tag in hand is good', async () => {
    const queue = await at.queue()
    const replay = new SlowToRelease()
    const outcomes: string[] = []
    const channel = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys, replay }), {
      onVerdict: ({ outcome }) => outcomes.push(outcome),
    })
    const errors: unknown[] = []
    channel.on('error', (error) => errors.push(error))
    const got: string[] = []
    const inHand = new Map<string, ConsumeMessage>()
    await channel.consume(queue, (message) => {
      if (message === null) return
      got.push(message.content.toString())
      inHand.set(message.content.toString(), message)
    })
    producer.sendToQueue(queue, Buffer.from('a'))
    await eventually(() => expect(got).toEqual(['a']))
    const recovering = channel.recover()
    producer.sendToQueue(queue, Buffer.from('b'))
    await eventually(() => expect(outcomes).toHaveLength(2))
    expect(got).toEqual(['a'])
    replay.goOn()
    await recovering
    await eventually(() => {
      replay.goOn()
      expect(got.slice(1).sort()).toEqual(['a', 'b'])
    })
    for (const message of inHand.values()) channel.ack(message)
    await channel.close()
    expect(errors).toEqual([])
    expect(await at.ready(queue)).toBe(0)
  })
})
