import { connect as manage } from 'amqp-connection-manager'
import type { Channel, ConfirmChannel, ConsumeMessage } from 'amqplib'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies, inbox } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

/**
 * A channel of amqp-connection-manager outlives connections and passes on what is acknowledged by its tag. A handler that
 * is through only after a reconnect names a tag that stands for another message by then.
 */
describe.skipIf(url === undefined)('settling by a channel that outlives its connection', () => {
  const at = bench(url)
  let producer: ConfirmChannel

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  it.each<[string, (channel: Channel, message: ConsumeMessage) => void]>([
    ['ack', (channel, message) => channel.ack(message)],
    ['ack allUpTo', (channel, message) => channel.ack(message, true)],
    ['ack of a spread copy', (channel, message) => channel.ack({ ...message })],
    ['nack', (channel, message) => channel.nack(message)],
  ])('%s after a reconnect is about the message it names, and no other', async (_what, settle) => {
    const queue = await at.queue()
    const outcomes: string[] = []
    const manager = manage([url], { reconnectTimeInSeconds: 0.1 } as object)
    wrapConsumer(manager as never, new Verifier({ keys }), { onVerdict: ({ outcome }) => outcomes.push(outcome) })
    const got: ConsumeMessage[] = []
    const outlasting = manager.createChannel()
    await outlasting.addSetup(async (channel: Channel) => {
      await channel.consume(queue, (message) => message && got.push(message))
    })
    await outlasting.waitForConnect()
    for (const text of ['first', 'late']) producer.sendToQueue(queue, Buffer.from(text))
    await eventually(() => expect(bodies(got)).toEqual(['first', 'late']))
    const [first, late] = got as [ConsumeMessage, ConsumeMessage]
    outlasting.ack(first)
    // The broker has heard of it once it answers what comes after.
    await outlasting.checkQueue(queue)
    cut(manager)
    // It comes again at once, as the first of its channel: whether its handler is still at it cannot be known.
    await eventually(() => expect(bodies(got)).toEqual(['first', 'late', 'late']))
    producer.sendToQueue(queue, Buffer.from('other'))
    await eventually(() => expect(bodies(got)).toEqual(['first', 'late', 'late', 'other']))
    const [again, other] = got.slice(2) as [ConsumeMessage, ConsumeMessage]
    expect(other.fields.deliveryTag).toBe(late.fields.deliveryTag)
    settle(outlasting as unknown as Channel, late)
    // The second delivery is its handler's, whatever the first one says.
    outlasting.ack(again)
    await outlasting.checkQueue(queue)
    expect(outcomes).toEqual(['authorized', 'authorized', 'authorized', 'authorized'])
    // The other one is in flight still, so it goes back when its channel ends.
    await manager.close()
    await eventually(async () => expect(await at.ready(queue)).toBe(1))
    expect(bodies([await at.take(queue)])).toEqual(['other'])
  })

  it('an ack after a reconnect counts where the message has not come again yet', async () => {
    const queue = await at.queue()
    const outcomes: string[] = []
    const manager = manage([url], { reconnectTimeInSeconds: 0.1 } as object)
    wrapConsumer(manager as never, new Verifier({ keys }), { onVerdict: ({ outcome }) => outcomes.push(outcome) })
    const got: ConsumeMessage[] = []
    const outlasting = manager.createChannel()
    let consuming: Promise<unknown> = Promise.resolve()
    await outlasting.addSetup(async (channel: Channel) => {
      await consuming
      await channel.consume(queue, (message) => message && got.push(message))
    })
    await outlasting.waitForConnect()
    producer.sendToQueue(queue, Buffer.from('late'))
    await eventually(() => expect(bodies(got)).toEqual(['late']))
    let consume: (value?: unknown) => void = () => undefined
    consuming = new Promise((resolve) => {
      consume = resolve
    })
    const opened = new Promise((resolve) => manager.once('connect', resolve))
    cut(manager)
    await opened
    // The new channel is there, and its consumer is not.
    await eventually(() => expect((outlasting as unknown as { _channel?: object })._channel).toBeDefined())
    outlasting.ack(got[0] as ConsumeMessage)
    consume()
    await eventually(() => expect(outcomes).toEqual(['authorized', 'skipped']))
    await manager.close()
    expect(await at.ready(queue)).toBe(0)
  })

  it('and what is settled in time is settled, whatever the channel that says so', async () => {
    const queue = await at.queue()
    const manager = manage([url])
    wrapConsumer(manager as never, new Verifier({ keys }))
    const outlasting = manager.createChannel()
    const got: ConsumeMessage[] = []
    await outlasting.addSetup(async (channel: Channel) => {
      await channel.consume(queue, (message) => message && got.push(message))
    })
    await outlasting.waitForConnect()
    for (const text of ['a', 'b']) producer.sendToQueue(queue, Buffer.from(text))
    await eventually(() => expect(got).toHaveLength(2))
    outlasting.ack(got[1] as ConsumeMessage, true)
    await manager.close()
    expect(await at.ready(queue)).toBe(0)
  })
})

describe.skipIf(url === undefined)('settling many by a channel that is gone', () => {
  const at = bench(url)

  it.each<[string, (channel: Channel, last: ConsumeMessage) => void]>([
    ['ackAll', (channel) => channel.ackAll()],
    ['ack allUpTo', (channel, last) => channel.ack(last, true)],
    ['nackAll', (channel) => channel.nackAll()],
  ])('%s throws as it does on the plain client, and none of them counts as handled', async (_what, settle) => {
    const queue = await at.queue()
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
    for (const text of ['a', 'b']) producer.sendToQueue(queue, Buffer.from(text))
    await producer.waitForConfirms()
    const verifier = new Verifier({ keys })
    const connection = await at.connection()
    const channel = await wrapConsumer(connection, verifier).createChannel()
    const got: ConsumeMessage[] = []
    await channel.consume(queue, (message) => message && got.push(message))
    await eventually(() => expect(got).toHaveLength(2))
    await connection.close()
    expect(() => settle(channel, got[1] as ConsumeMessage)).toThrow(
      expect.objectContaining({ name: 'IllegalOperationError' }),
    )
    const heard: string[] = []
    const other = wrapConsumer(await (await at.connection()).createChannel(), verifier, {
      onVerdict: ({ outcome }) => heard.push(outcome),
    })
    await inbox(other, queue)
    await eventually(() => expect(heard).toEqual(['authorized', 'authorized']))
    await other.close()
    expect(await at.ready(queue)).toBe(0)
  })
})

function cut(manager: object): void {
  const { connection } = manager as { connection: { connection: { stream: { destroy(error: Error): void } } } }
  connection.connection.stream.destroy(new Error('the connection broke'))
}
