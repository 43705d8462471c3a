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

  it.each<[string, (channel: Channel, message: ConsumeMessage) => void, readonly string[]]>([
    ['ack', (channel, message) => channel.ack(message), []],
    ['ack allUpTo', (channel, message) => channel.ack(message, true), []],
    ['ack of a spread copy', (channel, message) => channel.ack({ ...message }), []],
    ['nack', (channel, message) => channel.nack(message), ['late']],
  ])('%s after a reconnect is about the message it names, and no other', async (_what, settle, comesAgain) => {
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
    // It came again, as the first of its channel, and waits for the handler that has it still.
    await eventually(() => expect(outcomes).toEqual(['authorized', 'authorized', 'deferred']))
    producer.sendToQueue(queue, Buffer.from('other'))
    await eventually(() => expect(bodies(got)).toEqual(['first', 'late', 'other']))
    expect(got[2]?.fields.deliveryTag).toBe(late.fields.deliveryTag)
    settle(outlasting as unknown as Channel, late)
    await eventually(() => expect(outcomes.slice(4)).toEqual([comesAgain.length > 0 ? 'authorized' : 'skipped']))
    expect(bodies(got).slice(3)).toEqual(comesAgain)
    for (const message of got.slice(3)) outlasting.ack(message)
    // The other one is in hand still, so it goes back when its channel ends.
    await manager.close()
    await eventually(async () => expect(await at.ready(queue)).toBe(1))
    expect(bodies([await at.take(queue)])).toEqual(['other'])
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

  it.each<[string, (channel: Channel, last: ConsumeMessage) => void, readonly string[]]>([
    ['ackAll', (channel) => channel.ackAll(), ['skipped', 'skipped']],
    ['ack allUpTo', (channel, last) => channel.ack(last, true), ['skipped', 'skipped']],
    ['nackAll', (channel) => channel.nackAll(), ['authorized', 'authorized']],
  ])('%s throws as it does on the plain client, and is heard for each of them', async (_what, settle, outcomes) => {
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
    await eventually(() => expect(heard).toEqual(outcomes))
    await other.close()
    expect(await at.ready(queue)).toBe(0)
  })
})

function cut(manager: object): void {
  const { connection } = manager as { connection: { connection: { stream: { destroy(error: Error): void } } } }
  connection.connection.stream.destroy(new Error('the connection broke'))
}
