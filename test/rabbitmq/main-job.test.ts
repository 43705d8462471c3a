import { type Channel, type ChannelModel, type ConsumeMessage, connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { senderOf, unsignedHeaders } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'

const url = inject('amqpUrl')

describe.skipIf(url === undefined)('RabbitMQ: the main job', () => {
  let plain: ChannelModel
  let raw: Channel
  const open: ChannelModel[] = []

  async function connection(): Promise<ChannelModel> {
    const made = await connect(url as string)
    made.on('error', () => undefined)
    open.push(made)
    return made
  }

  beforeAll(async () => {
    plain = await connection()
    raw = await plain.createChannel()
  })

  afterAll(async () => {
    for (const made of open) await made.close().catch(() => undefined)
  })

  it('hands on what is authorized and dead-letters the rest', async () => {
    const queue = uniqueName('orders')
    const exchange = uniqueName('shop')
    await raw.assertExchange(exchange, 'topic')
    await raw.assertQueue(queue)
    await raw.assertQueue(`${queue}.dlq`)
    await raw.bindQueue(queue, exchange, 'order.*')
    const { signer, verifier } = testKeys('checkout', queue)
    const producer = await wrapProducer(await connection(), signer).createChannel()
    const consumer = await wrapConsumer(await connection(), verifier).createChannel()
    const got: ConsumeMessage[] = []
    await consumer.consume(queue, (message) => {
      if (message === null) return
      got.push(message)
      consumer.ack(message)
    })
    expect(
      producer.publish(exchange, 'order.created', Buffer.from('{"id":1}'), { headers: { tenant: 'a' }, priority: 3 }),
    ).toBe(true)
    raw.publish(exchange, 'order.created', Buffer.from('forged'))
    await expect.poll(() => got.length).toBe(1)
    const [message] = got as [ConsumeMessage]
    expect(message.content.toString()).toBe('{"id":1}')
    expect(message.properties.headers).toMatchObject({ tenant: 'a' })
    expect(message.properties.priority).toBeUndefined()
    expect(unsignedHeaders(message)['@priority']).toBe(3)
    expect(senderOf(message)?.service).toBe('checkout')
    const letter = await expect
      .poll(() => raw.get(`${queue}.dlq`, { noAck: true }))
      .toBeTruthy()
      .then(() => undefined)
    expect(letter).toBeUndefined()
    await expect.poll(async () => (await raw.checkQueue(queue)).messageCount).toBe(0)
  })
})
