import { type Channel, type ChannelModel, connect } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { isWrapped, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { testKeys } from '../../src/testing.ts'
import { bench, errorOf } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, verifier } = testKeys('checkout')
const other = testKeys('other')

describe.skipIf(url === undefined)('wrapping a client of RabbitMQ', () => {
  const at = bench(url)

  it('gives back the same object and leaves its prototype alone', async () => {
    const connection = await at.connection()
    const channel = await connection.createChannel()
    for (const client of [connection, channel]) {
      const prototype = Object.getPrototypeOf(client) as object
      const before = Object.getOwnPropertyDescriptors(prototype)
      expect(wrapProducer(client, signer)).toBe(client)
      expect(wrapConsumer(client, verifier)).toBe(client)
      expect(Object.getPrototypeOf(client)).toBe(prototype)
      expect(Object.getOwnPropertyDescriptors(prototype)).toEqual(before)
    }
  })

  it('adds nothing that could be enumerated', async () => {
    const channel = await (await at.connection()).createChannel()
    const before = Object.keys(channel)
    wrapProducer(wrapConsumer(channel, verifier), signer)
    expect(Object.keys(channel)).toEqual(before)
  })

  it('works on clients with private fields', async () => {
    const channel = await (await at.connection()).createChannel()
    class Counted {
      #published = 0
      readonly ack = channel.ack.bind(channel)
      readonly consume = channel.consume.bind(channel)
      readonly nack = channel.nack.bind(channel)
      readonly cancel = channel.cancel.bind(channel)
      readonly get = channel.get.bind(channel)
      readonly assertQueue = channel.assertQueue.bind(channel)
      readonly connection = channel.connection
      publish(...args: Parameters<Channel['publish']>): boolean {
        this.#published++
        return channel.publish(...args)
      }
      get published(): number {
        return this.#published
      }
    }
    const counted = wrapProducer(new Counted(), signer)
    const queue = await at.queue()
    counted.publish('', queue, Buffer.from('x'))
    expect(counted.published).toBe(1)
    await expect.poll(() => at.ready(queue)).toBe(1)
  })

  it('twice by the same is once; by another is an error', async () => {
    const connection = await at.connection()
    const channel = await wrapConsumer(wrapProducer(connection, signer), verifier).createChannel()
    const { publish, consume } = channel
    for (const client of [connection, channel]) {
      wrapProducer(client, signer)
      wrapConsumer(client, verifier)
      expect(() => wrapProducer(client, other.signer)).toThrow(expect.objectContaining({ code: 'already-wrapped' }))
      expect(() => wrapConsumer(client, other.verifier)).toThrow(expect.objectContaining({ code: 'already-wrapped' }))
    }
    expect(channel.publish).toBe(publish)
    expect(channel.consume).toBe(consume)
  })

  it('isWrapped tells, by role', async () => {
    const connection = await at.connection()
    expect(isWrapped(connection)).toBe(false)
    wrapProducer(connection, signer)
    const channel = await connection.createChannel()
    for (const client of [connection, channel]) {
      expect(isWrapped(client)).toBe(true)
      expect(isWrapped(client, 'producer')).toBe(true)
      expect(isWrapped(client, 'consumer')).toBe(false)
    }
  })

  it('is refused once the channel consumes, also through its connection, and changes nothing then', async () => {
    const connection = await at.connection()
    const idle = await connection.createChannel()
    const busy = await connection.createChannel()
    await busy.consume(await at.queue(), () => undefined)
    for (const client of [busy, connection]) {
      expect(() => wrapConsumer(client, verifier)).toThrow(expect.objectContaining({ code: 'already-consuming' }))
      expect(isWrapped(client)).toBe(false)
    }
    expect(isWrapped(idle)).toBe(false)
  })

  it('a consume on its way when the channel is wrapped ends the channel, and its handler gets nothing', async () => {
    const queue = await at.queue()
    at.raw.sendToQueue(queue, Buffer.from('forged'))
    await at.raw.waitForConfirms()
    const channel = await (await at.connection()).createChannel()
    const got: unknown[] = []
    const consuming = channel.consume(queue, (message) => got.push(message))
    const failed = errorOf(channel)
    wrapConsumer(channel, verifier)
    expect(await failed).toMatchObject({ code: 541 })
    await consuming
    await expect.poll(() => at.ready(queue)).toBe(1)
    expect(got).toEqual([])
  })

  it('a consumer that is wrapped again by the same may go on consuming', async () => {
    const connection = wrapConsumer(await at.connection(), verifier)
    const channel = await connection.createChannel()
    await channel.consume(await at.queue(), () => undefined)
    expect(wrapConsumer(channel, verifier)).toBe(channel)
    expect(wrapConsumer(connection, verifier)).toBe(connection)
  })

  it('covers a channel that came from a connection of the recovering client only once', async () => {
    const client = await connect(url, { recovery: { waitForConnect: false } })
    wrapProducer(client, signer)
    const raw = new Promise<ChannelModel>((resolve) => {
      client.on('connect', resolve)
    })
    wrapProducer(await raw, signer)
    const channel = await client.createConfirmChannel()
    const queue = await at.queue()
    channel.sendToQueue(queue, Buffer.from('x'))
    await channel.waitForConfirms()
    await client.close()
    const message = await at.take(queue)
    expect(message).toMatchObject({ properties: { headers: { queueauth: expect.any(String) } } })
  })

  it.each([
    ['nothing of RabbitMQ', { publish: (): number => 0, subscribe: (): number => 0 }],
    ['a promise of one', Promise.resolve()],
    [
      'a recovering client of an unknown version',
      { createChannel() {}, createConfirmChannel() {}, close() {}, waitForConnect() {} },
    ],
    ['a channel of an unknown manager', { addSetup() {}, publish() {}, waitForConnect() {} }],
  ])('refuses %s', (_what, client) => {
    const unsupported = expect.objectContaining({ code: 'client-unsupported' })
    expect(() => wrapProducer(client as never, signer)).toThrow(unsupported)
    expect(() => wrapConsumer(client as never, verifier)).toThrow(unsupported)
  })
})
