import type { Channel, ConfirmChannel, ConsumeMessage } from 'amqplib'
import { afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { type RabbitmqConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { type KeySource, type ReplayStore, subscribe, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies, inbox } from './helpers.ts'
import { RemoteStore } from './remote-store.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

const LETTERS = [...'abcdefghij']

/** Keys that cannot be read for a while. */
class FailingKeys implements KeySource {
  reachable = true
  get snapshot(): KeySource['snapshot'] {
    return this.reachable ? keys.snapshot : undefined
  }
}

describe.skipIf(url === undefined)('messages that cannot be judged now', () => {
  const at = bench(url)
  const unsubscribe: (() => void)[] = []
  let producer: ConfirmChannel

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  afterEach(() => {
    for (const stop of unsubscribe.splice(0)) stop()
  })

  async function send(queue: string, ...texts: string[]): Promise<void> {
    for (const text of texts) producer.sendToQueue(queue, Buffer.from(text))
    await producer.waitForConfirms()
  }

  async function open(
    source: KeySource,
    options: RabbitmqConsumerOptions = {},
    replay?: ReplayStore,
  ): Promise<Channel> {
    const verifier = new Verifier({ keys: source, ...(replay !== undefined && { replay }) })
    return wrapConsumer(await (await at.connection()).createChannel(), verifier, options)
  }

  function notices(queue: string): string[] {
    const heard: string[] = []
    unsubscribe.push(subscribe('queue-key-auth:notice', (event) => event.queue === queue && heard.push(event.notice)))
    return heard
  }

  it('are held, settled by nobody, and handled once they can be', async () => {
    const queue = await at.queue()
    const source = new FailingKeys()
    const held: unknown[] = []
    unsubscribe.push(subscribe('queue-key-auth:held', (event) => event.queue === queue && held.push(event.code)))
    const got = await inbox(await open(source), queue)
    source.reachable = false
    await send(queue, 'a', 'b')
    await eventually(() => expect(held.length).toBeGreaterThan(3))
    expect(new Set(held)).toEqual(new Set(['keys-unavailable']))
    expect(got).toEqual([])
    await eventually(async () => expect(await at.ready(queue)).toBe(0))
    expect(await at.ready(`${queue}.dlq`)).toBe(0)
    source.reachable = true
    await eventually(() => expect(bodies(got).sort()).toEqual(['a', 'b']))
    expect(got.every(({ fields }) => !fields.redelivered)).toBe(true)
  })

  it('one that waits holds up no other', async () => {
    const queue = await at.queue()
    await send(queue, 'x')
    const { content, properties } = await at.take(queue)
    const channel = await open(keys)
    let finish: () => void = () => undefined
    const got: string[] = []
    await channel.consume(queue, (message) => {
      if (message === null) return
      got.push(message.content.toString())
      if (got.length === 1) finish = () => channel.nack(message)
      else channel.ack(message)
    })
    // A copy of a message that is being handled waits for it.
    at.raw.sendToQueue(queue, content, properties)
    await eventually(() => expect(got).toEqual(['x']))
    at.raw.sendToQueue(queue, content, properties)
    await at.raw.waitForConfirms()
    await send(queue, 'y')
    await eventually(() => expect(got).toEqual(['x', 'y']))
    finish()
    await eventually(() => expect(got).toEqual(['x', 'y', 'x']))
  })

  describe('for long', () => {
    it('go back once, in order, and consuming goes on under the same tag when they can be judged', async () => {
      const queue = uniqueName('quorum')
      await at.raw.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 3 } })
      const heard = notices(queue)
      const source = new FailingKeys()
      const channel = await open(source, { maxHoldSeconds: 1 })
      const got: ConsumeMessage[] = []
      source.reachable = false
      await send(queue, ...LETTERS)
      await channel.consume(
        queue,
        (message) => {
          if (message === null) return
          got.push(message)
          channel.ack(message)
        },
        { consumerTag: 'mine' },
      )
      await eventually(async () => expect([heard, await at.ready(queue)]).toEqual([['consumer-paused'], 10]))
      // Not one delivery for each time the keys were asked for.
      await new Promise((resolve) => {
        setTimeout(resolve, 1_000)
      })
      expect(await at.ready(queue)).toBe(10)
      source.reachable = true
      await eventually(() => expect(bodies(got)).toEqual(LETTERS))
      // From 4.3 on, what was given back is counted apart from what failed.
      const counted = (await at.countsRequeues()) ? 'x-delivery-count' : 'x-acquired-count'
      for (const { fields, properties } of got) {
        expect(fields.consumerTag).toBe('mine')
        expect(properties.headers?.[counted]).toBe(1)
      }
      expect(heard).toEqual(['consumer-paused', 'consumer-resumed'])
      expect(await channel.cancel('mine')).toEqual({ consumerTag: 'mine' })
    })

    it("what was handed over before stays the user's to acknowledge, also when its commit waits for the store", async () => {
      const queue = await at.queue()
      const heard = notices(queue)
      const replay = new RemoteStore(() => 1)
      const channel = await open(keys, { maxHoldSeconds: 0.2 }, replay)
      const got: ConsumeMessage[] = []
      await channel.consume(queue, (message) => message && got.push(message))
      await send(queue, 'early', 'later')
      await eventually(() => expect(got).toHaveLength(2))
      replay.reachable = false
      await send(queue, 'held')
      const [early, later] = got as [ConsumeMessage, ConsumeMessage]
      // Its commit is tried before the pause, through it and after it.
      channel.ack(early)
      await eventually(async () => expect(await at.ready(queue)).toBe(1))
      channel.ack(later)
      replay.reachable = true
      await eventually(() => expect(bodies(got)).toEqual(['early', 'later', 'held']))
      expect(heard).toEqual(['consumer-paused', 'consumer-resumed'])
      channel.ack(got[2] as ConsumeMessage)
      await channel.close()
      expect(await at.ready(queue)).toBe(0)
    })

    it('a consumer cancelled in the pause stays away', async () => {
      const queue = await at.queue()
      const heard = notices(queue)
      const source = new FailingKeys()
      const channel = await open(source, { maxHoldSeconds: 0.1 })
      source.reachable = false
      const got: unknown[] = []
      await channel.consume(queue, (message) => got.push(message), { consumerTag: 'mine' })
      await send(queue, 'a')
      await eventually(async () => expect([heard, await at.ready(queue)]).toEqual([['consumer-paused'], 1]))
      expect(await channel.cancel('mine')).toEqual({ consumerTag: 'mine' })
      source.reachable = true
      const other = await inbox(await open(keys), queue)
      await eventually(() => expect(other).toHaveLength(1))
      expect(got).toEqual([])
      await channel.close()
    })

    it('a cancel gives back what is held', async () => {
      const queue = await at.queue()
      const source = new FailingKeys()
      const channel = await open(source)
      source.reachable = false
      const got: unknown[] = []
      await channel.consume(queue, (message) => got.push(message), { consumerTag: 'mine' })
      await send(queue, 'a')
      await eventually(async () => expect(await at.ready(queue)).toBe(0))
      await channel.cancel('mine')
      await eventually(async () => expect(await at.ready(queue)).toBe(1))
      expect(got).toEqual([])
    })

    it('the prefetch that a consumer began with is its own after a pause', async () => {
      const queue = await at.queue()
      const source = new FailingKeys()
      const channel = await open(source, { maxHoldSeconds: 0.1 })
      source.reachable = false
      await channel.prefetch(1)
      const got = await inbox(channel, queue, () => undefined)
      await channel.prefetch(10)
      const heard = notices(queue)
      await send(queue, 'a', 'b')
      await eventually(async () => expect([heard, await at.ready(queue)]).toEqual([['consumer-paused'], 2]))
      source.reachable = true
      await eventually(() => expect(heard).toEqual(['consumer-paused', 'consumer-resumed']))
      await eventually(() => expect(bodies(got)).toEqual(['a']))
      expect(await at.ready(queue)).toBe(1)
      // The channel's own is as the user left it.
      const other = await at.queue()
      await send(other, 'a', 'b')
      const both = await inbox(channel, other, () => undefined)
      await eventually(() => expect(bodies(both)).toEqual(['a', 'b']))
      expect(bodies(got)).toEqual(['a'])
    })

    it('close does not wait for the pause to end', async () => {
      const queue = await at.queue()
      const heard = notices(queue)
      const source = new FailingKeys()
      const channel = await open(source, { maxHoldSeconds: 0.1 })
      source.reachable = false
      await channel.consume(queue, () => undefined)
      await send(queue, 'a')
      await eventually(() => expect(heard).toEqual(['consumer-paused']))
      await channel.close()
      await eventually(async () => expect(await at.ready(queue)).toBe(1))
    })
  })
})
