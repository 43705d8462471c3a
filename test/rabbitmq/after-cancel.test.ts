import type { Channel, ConfirmChannel, ConsumeMessage } from 'amqplib'
import { beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { MemoryReplayStore, type ReplayStore, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { bench, inbox } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

/** Says once that a copy is being handled, and takes its time when it is asked again. */
class SlowToAnswer implements ReplayStore {
  asked = 0
  answer: () => void = () => undefined
  readonly #store = new MemoryReplayStore()

  begin(claim: Parameters<ReplayStore['begin']>[0]): ReturnType<ReplayStore['begin']> {
    if (++this.asked === 1) return 'in-progress'
    if (this.asked > 2) return this.#store.begin(claim)
    return new Promise((resolve) => {
      this.answer = () => resolve(this.#store.begin(claim))
    })
  }

  commit: ReplayStore['commit'] = (claim, retentionSeconds) => this.#store.commit(claim, retentionSeconds)
  release: ReplayStore['release'] = (claim) => this.#store.release(claim)
  renew: ReplayStore['renew'] = (claim) => this.#store.renew(claim)
}

describe.skipIf(url === undefined)('a message that is still being judged when its consumer ends', () => {
  const at = bench(url)
  let producer: ConfirmChannel
  let store: SlowToAnswer
  let channel: Channel
  let queue: string

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  beforeEach(async () => {
    queue = await at.queue()
    store = new SlowToAnswer()
    channel = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys, replay: store }))
  })

  async function consumeOne(onMessage: (message: unknown) => void): Promise<void> {
    await channel.consume(queue, onMessage, { consumerTag: 'mine' })
    producer.sendToQueue(queue, Buffer.from('x'))
    await eventually(() => expect(store.asked).toBe(2))
  }

  it('is handed over while it goes on', async () => {
    const got: unknown[] = []
    await consumeOne((message) => got.push(message))
    store.answer()
    await eventually(() => expect(got).toHaveLength(1))
  })

  it('goes back to the queue, and is handled by another, once cancel has resolved', async () => {
    const got: unknown[] = []
    await consumeOne((message) => got.push(message))
    await channel.cancel('mine')
    store.answer()
    const other = await inbox(channel, queue)
    await eventually(() => expect(other).toHaveLength(1))
    expect(got).toEqual([])
    await channel.close()
    expect(await at.ready(queue)).toBe(0)
  })

  it('does not follow the null with which the broker cancels', async () => {
    const got: unknown[] = []
    await consumeOne((message) => got.push(message))
    await at.raw.deleteQueue(queue)
    await eventually(() => expect(got).toEqual([null]))
    store.answer()
    // An answer of the broker is behind whatever the channel had to say.
    await channel.checkQueue(await at.queue())
    expect(got).toEqual([null])
    await channel.close()
  })
})

describe.skipIf(url === undefined)('a message that is in hand when its consumer is cancelled', () => {
  const at = bench(url)

  it.each<[string, (channel: Channel, message: ConsumeMessage) => void, number]>([
    ['comes again when its channel ends, once its lease is over', () => undefined, 1],
    ['does not when it was acknowledged', (channel, message) => channel.ack(message), 0],
  ])('%s', async (_what, settle, again) => {
    const queue = await at.queue()
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
    const connection = wrapConsumer(await at.connection(), new Verifier({ keys, leaseSeconds: 0.5 }))
    const channel = await connection.createChannel()
    const got = await inbox(channel, queue, () => undefined)
    producer.sendToQueue(queue, Buffer.from('x'))
    await eventually(() => expect(got).toHaveLength(1))
    const [message] = got as [ConsumeMessage]
    await channel.cancel(message.fields.consumerTag)
    settle(channel, message)
    await channel.close()
    const other = await connection.createChannel()
    const later = await inbox(other, queue)
    producer.sendToQueue(queue, Buffer.from('y'))
    await eventually(() => expect(later).toHaveLength(1 + again))
    await other.close()
    expect(await at.ready(queue)).toBe(0)
  })
})
