import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { type RabbitmqConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { type QueuePolicy, senderOf, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies, inbox } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

describe.skipIf(url === undefined)('destinations on RabbitMQ', () => {
  const at = bench(url)
  let producer: ConfirmChannel

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  async function consume(
    queue: string,
    policy: QueuePolicy = {},
    options?: RabbitmqConsumerOptions,
  ): Promise<ConsumeMessage[]> {
    const verifier = new Verifier({ keys, queues: { [queue]: policy } })
    return await inbox(wrapConsumer(await (await at.connection()).createChannel(), verifier, options), queue)
  }

  async function reasons(queue: string, count = 1): Promise<unknown[]> {
    return (await at.letters(queue, count)).map(({ properties }) => properties.headers?.['queueauth-reason'])
  }

  /** Copies a message to wherever an attacker wants it, token and all. */
  async function copy(from: string, exchange: string, routingKey: string, more: object = {}): Promise<void> {
    const { content, properties } = await at.take(from)
    at.raw.publish(exchange, routingKey, content, { ...properties, headers: { ...properties.headers, ...more } })
    await at.raw.waitForConfirms()
  }

  async function sent(queue: string, body = 'x'): Promise<string> {
    producer.sendToQueue(queue, Buffer.from(body))
    await producer.waitForConfirms()
    return queue
  }

  it('a message is bound to the queue it was sent to', async () => {
    const [a, b] = [await at.queue('a'), await at.queue('b')]
    await copy(await sent(a), '', b)
    const got = await consume(b)
    expect(await reasons(b)).toEqual(['destination-mismatch'])
    expect(got).toEqual([])
  })

  it.each(['BCC', 'CC'])('a %s from one queue to another is refused there', async (name) => {
    const [a, b] = [await at.queue('a'), await at.queue('b')]
    await copy(await sent(a), '', a, { [name]: [b] })
    const atB = await consume(b)
    expect(await reasons(b)).toEqual(['destination-mismatch'])
    expect(bodies(await consume(a))).toEqual(['x'])
    expect(atB).toEqual([])
  })

  it('a topic exchange bound to a fanout keeps the address that was signed', async () => {
    const [topic, fanout, queue] = [uniqueName('topic'), uniqueName('fanout'), await at.queue()]
    await at.raw.assertExchange(topic, 'topic')
    await at.raw.assertExchange(fanout, 'fanout')
    await at.raw.bindExchange(fanout, topic, 'order.*')
    await at.raw.bindQueue(queue, fanout, '')
    const got = await consume(queue)
    producer.publish(topic, 'order.created', Buffer.from('x'))
    await eventually(() => expect(bodies(got)).toEqual(['x']))
    expect(got[0]?.fields).toMatchObject({ exchange: topic, routingKey: 'order.created' })
    expect(senderOf(got[0] as object)?.destination).toBe(`amqp:${topic}/order.created`)
  })

  it.each(['fanout', 'headers'])('a %s exchange: the routing key is bound although it routes nothing', async (type) => {
    const [exchange, queue] = [uniqueName(type), await at.queue()]
    await at.raw.assertExchange(exchange, type)
    await at.raw.bindQueue(queue, exchange, '')
    producer.publish(exchange, 'signed.key', Buffer.from('x'))
    await producer.waitForConfirms()
    await copy(queue, exchange, 'other.key')
    const got = await consume(queue)
    expect(await reasons(queue)).toEqual(['destination-mismatch'])
    expect(got).toEqual([])
  })

  it('names that need encoding are bound like any other', async () => {
    const [exchange, queue] = [`${uniqueName('ex')} /%é`, await at.queue()]
    await at.raw.assertExchange(exchange, 'topic')
    await at.raw.bindQueue(queue, exchange, '#')
    const got = await consume(queue)
    producer.publish(exchange, 'a/b%2F*.ü', Buffer.from('x'))
    await eventually(() => expect(got).toHaveLength(1))
  })

  describe('with destinations', () => {
    it('a message republished under another routing key shows the one that was signed', async () => {
      const [exchange, queue] = [uniqueName('shop'), await at.queue()]
      await at.raw.assertExchange(exchange, 'topic')
      await at.raw.bindQueue(queue, exchange, 'order.*')
      producer.publish(exchange, 'order.created', Buffer.from('x'))
      await producer.waitForConfirms()
      await copy(queue, exchange, 'order.deleted')
      const got = await consume(queue, { destinations: [`amqp:${exchange}/order.*`] })
      await eventually(() => expect(got).toHaveLength(1))
      expect(got[0]?.fields).toMatchObject({ exchange, routingKey: 'order.created' })
    })

    it('what is not listed is refused', async () => {
      const [a, b] = [await at.queue('a'), await at.queue('b')]
      await copy(await sent(a), '', b)
      const got = await consume(b, { destinations: ['amqp:shop/*'] })
      expect(await reasons(b)).toEqual(['destination-mismatch'])
      expect(got).toEqual([])
    })

    it('"delivered" in the list demands both', async () => {
      const [exchange, queue] = [uniqueName('shop'), await at.queue()]
      await at.raw.assertExchange(exchange, 'topic')
      await at.raw.bindQueue(queue, exchange, '#')
      const got = await consume(queue, { destinations: ['delivered', `amqp:${exchange}/order.*`] })
      producer.publish(exchange, 'order.created', Buffer.from('listed'))
      producer.publish(exchange, 'refund.created', Buffer.from('not listed'))
      await eventually(() => expect(bodies(got)).toEqual(['listed']))
      expect(bodies(await at.letters(queue))).toEqual(['not listed'])
    })

    it('a retry loop through a dead-letter exchange works', async () => {
      const queue = uniqueName('work')
      const retry = `${queue}.retry`
      await at.raw.assertQueue(queue, { deadLetterExchange: '', deadLetterRoutingKey: retry })
      await at.raw.assertQueue(retry, { messageTtl: 20, deadLetterExchange: '', deadLetterRoutingKey: queue })
      const exchange = uniqueName('shop')
      await at.raw.assertExchange(exchange, 'direct')
      await at.raw.bindQueue(queue, exchange, 'job')
      const verifier = new Verifier({ keys, queues: { [queue]: { destinations: [`amqp:${exchange}/job`] } } })
      const channel = wrapConsumer(await (await at.connection()).createChannel(), verifier)
      const deaths: unknown[] = []
      const got = await inbox(channel, queue, (message) => {
        deaths.push(message.properties.headers?.['x-death']?.find((death) => death.reason === 'rejected')?.count)
        if (deaths.length < 3) channel.reject(message, false)
        else channel.ack(message)
      })
      producer.publish(exchange, 'job', Buffer.from('x'))
      await eventually(() => expect(deaths).toEqual([undefined, 1, 2]))
      expect(got.map(({ fields }) => [fields.exchange, fields.routingKey])).toEqual(Array(3).fill([exchange, 'job']))
    })
  })

  it('x-death and its like, planted by a publisher, relax nothing', async () => {
    const [a, b] = [await at.queue('a'), await at.queue('b')]
    const death = { queue: b, exchange: '', 'routing-keys': [a], reason: 'rejected', count: 1 }
    await copy(await sent(a), '', b, {
      'x-death': [death],
      'x-first-death-queue': a,
      'x-shovelled': [{ 'src-queue': a }],
    })
    const got = await consume(b)
    expect(await reasons(b)).toEqual(['destination-mismatch'])
    expect(got).toEqual([])
  })

  it('a queue with a dead-letter exchange and no destinations brings one warning that says what to write', async () => {
    const queue = uniqueName('loop')
    const warnings: string[] = []
    const listen = (warning: Error): void => {
      if (warning.message.includes(queue)) warnings.push(warning.message)
    }
    process.on('warning', listen)
    const channel = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys }))
    await channel.assertQueue(queue, { deadLetterExchange: 'amq.direct' })
    await channel.consume(queue, () => undefined)
    await channel.consume(queue, () => undefined)
    await channel.get(queue)
    await eventually(() => expect(warnings).toHaveLength(1))
    process.off('warning', listen)
    expect(warnings[0]).toContain(`{ destinations: ['amqp:<exchange>/<routing key>'] }`)
  })

  it('a queue without a name is no name a policy could match', async () => {
    const channel = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys }))
    await channel.assertQueue('', { exclusive: true })
    await expect(channel.consume('', () => undefined)).rejects.toMatchObject({ code: 'destination-invalid' })
    await expect(channel.get('')).rejects.toMatchObject({ code: 'destination-invalid' })
  })

  it('queueName gives server-named queues a name for policies and key lines', async () => {
    const { signer: limited, keys: limitedKeys } = testKeys('checkout', 'updates')
    const channel = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys: limitedKeys }), {
      queueName: (queue) => (queue.startsWith('amq.gen-') ? 'updates' : queue),
    })
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const got = await inbox(channel, queue)
    const sender = wrapProducer(await (await at.connection()).createConfirmChannel(), limited)
    at.raw.sendToQueue(queue, Buffer.from('forged'))
    await at.raw.waitForConfirms()
    sender.sendToQueue(queue, Buffer.from('signed'))
    await eventually(() => expect(bodies(got)).toEqual(['signed']))
    const [letter] = await at.letters('updates')
    expect(letter?.properties.headers).toMatchObject({ 'queueauth-queue': 'updates', 'queueauth-routing-key': queue })
  })

  it('maxAgeSeconds Infinity needs the replay store off, since nothing bounds what it would keep', async () => {
    const queue = await at.queue()
    const channel = await (await at.connection()).createChannel()
    wrapConsumer(channel, new Verifier({ keys, maxAgeSeconds: Number.POSITIVE_INFINITY }))
    await expect(channel.consume(queue, () => undefined)).rejects.toMatchObject({ code: 'option-invalid' })
  })
})
