import { connect as connectManager } from 'amqp-connection-manager'
import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage } from 'amqplib'
import { connect as connectWithCallback } from 'amqplib/callback_api'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { amqplib010, bench, bodies, inbox } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

describe.skipIf(url === undefined)('a message that is copied to another queue of its exchange', () => {
  const at = bench(url)
  let producer: ConfirmChannel
  let exchange: string
  let orders: string
  let refunds: string

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  async function topology(): Promise<void> {
    exchange = uniqueName('shop')
    ;[orders, refunds] = [await at.queue('orders'), await at.queue('refunds')]
    await at.raw.assertExchange(exchange, 'topic')
    await at.raw.bindQueue(orders, exchange, 'order.*')
    await at.raw.bindQueue(refunds, exchange, 'refund.*')
  }

  /** Captures what was signed for orders, and publishes it again with a copy for refunds. */
  async function attack(name: 'CC' | 'BCC', keysOfCopies: unknown = ['refund.now']): Promise<void> {
    producer.publish(exchange, 'order.created', Buffer.from('x'))
    await producer.waitForConfirms()
    const { content, properties } = await at.take(orders)
    const headers = { ...properties.headers, [name]: keysOfCopies }
    at.raw.publish(exchange, 'order.created', content, { ...properties, headers })
    await at.raw.waitForConfirms()
    expect(await at.ready(refunds)).toBe(1)
  }

  async function expectRefused(got: readonly ConsumeMessage[]): Promise<void> {
    const [letter] = await at.letters(refunds)
    expect(letter?.properties.headers?.['queueauth-reason']).toBe('destination-mismatch')
    expect(got).toEqual([])
  }

  const verifier = (): Verifier => new Verifier({ keys })

  it.each([
    ['one key', ['refund.now']],
    ['its own key before it', ['order.created', 'refund.now']],
  ])('by CC with %s is destination-mismatch, whoever declared the bindings', async (_which, copies) => {
    await topology()
    await attack('CC', copies)
    await expectRefused(await inbox(wrapConsumer(await (await at.connection()).createChannel(), verifier()), refunds))
  })

  it.each(['CC', 'BCC'] as const)(
    'by %s is destination-mismatch where the consumer declared its bindings',
    async (name) => {
      await topology()
      await attack(name)
      const channel = await wrapConsumer(await at.connection(), verifier()).createChannel()
      await channel.assertQueue(refunds)
      await channel.bindQueue(refunds, exchange, 'refund.*')
      const got = await inbox(channel, refunds)
      await expectRefused(got)
      producer.publish(exchange, 'refund.now', Buffer.from('meant'))
      await eventually(() => expect(bodies(got)).toEqual(['meant']))
    },
  )

  it('with CC by its own sender is handled where its key leads', async () => {
    await topology()
    const channel = await wrapConsumer(await at.connection(), verifier()).createChannel()
    await channel.bindQueue(orders, exchange, 'order.*')
    const got = await inbox(channel, orders)
    producer.publish(exchange, 'order.created', Buffer.from('x'), { CC: ['refund.now'] })
    await eventually(() => expect(bodies(got)).toEqual(['x']))
  })

  it('with CC by its own sender is handled where destinations list its address', async () => {
    await topology()
    const listed = new Verifier({ keys, queues: { [refunds]: { destinations: [`amqp:${exchange}/order.*`] } } })
    const channel = await wrapConsumer(await at.connection(), listed).createChannel()
    await channel.bindQueue(refunds, exchange, 'refund.*')
    const got = await inbox(channel, refunds)
    producer.publish(exchange, 'order.created', Buffer.from('x'), { BCC: ['refund.now'] })
    await eventually(() => expect(bodies(got)).toEqual(['x']))
  })

  it('by BCC passes where nothing is known of the bindings, as the page says', async () => {
    await topology()
    await attack('BCC')
    const got = await inbox(wrapConsumer(await (await at.connection()).createChannel(), verifier()), refunds)
    await eventually(() => expect(bodies(got)).toEqual(['x']))
  })

  it.each<[string, (run: (channel: Channel) => Promise<unknown>) => Promise<unknown>]>([
    [
      'amqplib with callbacks',
      (run) =>
        new Promise((resolve, reject) => {
          connectWithCallback(url, (error, made) => {
            if (error) return reject(error)
            wrapConsumer(made, verifier()).createChannel((failed, channel) => {
              if (failed) return reject(failed)
              channel.assertQueue(refunds, {}, () => {
                // The last queue that was declared.
                channel.bindQueue('', exchange, 'refund.*', {}, () => resolve(run(channel as unknown as Channel)))
              })
            })
          })
        }),
    ],
    [
      'amqplib 0.10',
      async (run) => {
        const made = await amqplib010.connect(url)
        const channel = await wrapConsumer(made as unknown as ChannelModel, verifier()).createChannel()
        await channel.bindQueue(refunds, exchange, 'refund.*')
        return await run(channel)
      },
    ],
    [
      'a connection manager',
      async (run) => {
        const manager = wrapConsumer(connectManager([url]), verifier())
        const wrapper = manager.createChannel({
          setup: (channel: Channel) => channel.bindQueue(refunds, exchange, 'refund.*').then(() => run(channel)),
        })
        await wrapper.waitForConnect()
      },
    ],
  ])('by BCC is destination-mismatch on %s, too', async (_which, open) => {
    await topology()
    await attack('BCC')
    const got: ConsumeMessage[] = []
    await open(async (channel) => await channel.consume(refunds, (message) => void (message && got.push(message))))
    await expectRefused(got)
  })

  it('a binding that failed tells nothing', async () => {
    await topology()
    const connection = wrapConsumer(await at.connection(), verifier())
    const failing = await connection.createChannel()
    failing.on('error', () => undefined)
    await expect(failing.bindQueue(refunds, uniqueName('missing'), 'other.*')).rejects.toThrow(/404/)
    const got = await inbox(await connection.createChannel(), refunds)
    producer.publish(exchange, 'refund.now', Buffer.from('x'))
    await eventually(() => expect(bodies(got)).toEqual(['x']))
  })
})
