import type { Channel, ConfirmChannel, Options } from 'amqplib'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { type RabbitmqConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { AuthorizedKeys, Signer, subscribe, unsignedHeaders, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { amqplib010, bench, bodies, deepList, inbox, longString, nested, publishTable } from './helpers.ts'
import { unpack } from './unpack.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

describe.skipIf(url === undefined)('dead letters on RabbitMQ', () => {
  const at = bench(url)
  let producer: ConfirmChannel

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  async function open(
    options?: RabbitmqConsumerOptions,
    verifier: Verifier = new Verifier({ keys }),
  ): Promise<Channel> {
    return wrapConsumer(await (await at.connection()).createChannel(), verifier, options)
  }

  async function consume(queue: string, options?: RabbitmqConsumerOptions): Promise<string[]> {
    const channel = await open(options)
    const got: string[] = []
    await inbox(channel, queue, (message) => {
      got.push(message.content.toString())
      channel.ack(message)
    })
    return got
  }

  function forge(queue: string, text: string, options: Options.Publish = {}): void {
    at.raw.sendToQueue(queue, Buffer.from(text), options)
  }

  it('keep body, token, headers and properties, and say why, when and where from', async () => {
    const [exchange, queue] = [uniqueName('shop'), await at.queue()]
    await at.raw.assertExchange(exchange, 'topic')
    await at.raw.bindQueue(queue, exchange, 'order.*')
    const body = Buffer.from([0, 255, 254])
    const headers = {
      queueauth: 'not.a.token',
      tenant: 'a',
      list: [1, { b: Buffer.from([1]) }],
      when: { '!': 'timestamp', value: 5 },
      'queueauth-reason': 'planted',
    }
    const properties = { type: 't', contentType: 'text/plain', messageId: 'm', timestamp: 7, priority: 2, appId: 'app' }
    at.raw.publish(exchange, 'order.created', body, { headers, ...properties })
    await consume(queue)
    const [letter] = await at.letters(queue)
    expect(letter?.content).toEqual(body)
    expect(letter?.properties).toMatchObject({ ...properties, deliveryMode: 2 })
    expect(letter?.properties.headers).toEqual({
      queueauth: 'not.a.token',
      tenant: 'a',
      list: [1, { b: Buffer.from([1]) }],
      when: { '!': 'timestamp', value: 5 },
      'queueauth-original-queueauth-reason': 'planted',
      'queueauth-reason': 'token-malformed',
      'queueauth-detail': expect.any(String),
      'queueauth-queue': queue,
      'queueauth-at': expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      'queueauth-exchange': exchange,
      'queueauth-routing-key': 'order.created',
      'queueauth-letter': expect.any(String),
    })
  })

  it('name service and key only of a valid signature', async () => {
    const queue = await at.queue()
    const elsewhere = testKeys('checkout', 'elsewhere')
    const foreign = wrapProducer(await (await at.connection()).createConfirmChannel(), elsewhere.signer)
    foreign.sendToQueue(queue, Buffer.from('x'))
    const channel = await open({}, new Verifier({ keys: elsewhere.keys }))
    await channel.consume(queue, () => undefined)
    const [letter] = await at.letters(queue)
    expect(letter?.properties.headers).toMatchObject({
      'queueauth-reason': 'queue-not-authorized',
      'queueauth-service': 'checkout',
      'queueauth-fingerprint': elsewhere.signer.fingerprint,
    })
  })

  it('never carry what the broker would act on', async () => {
    const [queue, other] = [await at.queue(), await at.queue('other')]
    forge(queue, 'x', {
      CC: [other],
      expiration: '60000',
      userId: 'guest',
      replyTo: 'amq.rabbitmq.reply-to.x',
    })
    await consume(queue)
    const [letter] = await at.letters(queue)
    expect(letter?.properties).toMatchObject({ expiration: undefined, userId: undefined, replyTo: undefined })
    expect(letter?.properties.headers).toMatchObject({
      'queueauth-original-CC': [other],
      'queueauth-original-expiration': '60000',
      'queueauth-original-user-id': 'guest',
      'queueauth-original-reply-to': 'amq.rabbitmq.reply-to.x',
    })
    // The forged message itself went there; its dead letter did not.
    expect(await at.ready(other)).toBe(1)
  })

  it('are the same however many clients are wrapped: a forged token does not come out signed', async () => {
    const queue = await at.queue()
    const connection = wrapProducer(wrapConsumer(await at.connection(), new Verifier({ keys })), signer)
    const channel = await connection.createConfirmChannel()
    await channel.consume(queue, () => undefined)
    // The sink's own channel is open by now, so it is covered like any other.
    forge(queue, 'first')
    await at.letters(queue)
    const late = wrapProducer(connection, signer)
    expect(late).toBe(connection)
    forge(queue, 'x', { headers: { queueauth: 'forged' } })
    const [letter] = await at.letters(queue)
    expect(letter?.properties.headers?.queueauth).toBe('forged')
  })

  describe('their queue', () => {
    it('is left alone where it exists with other arguments', async () => {
      const queue = await at.queue()
      await at.raw.assertQueue(`${queue}.dlq`, { maxLength: 1000, durable: false })
      forge(queue, 'x')
      await consume(queue)
      expect(bodies(await at.letters(queue))).toEqual(['x'])
      await at.raw.assertQueue(`${queue}.dlq`, { maxLength: 1000, durable: false })
    })

    it('is declared again where it was deleted', async () => {
      const queue = await at.queue()
      await consume(queue)
      forge(queue, 'first')
      expect(bodies(await at.letters(queue))).toEqual(['first'])
      await at.raw.deleteQueue(`${queue}.dlq`)
      for (const text of ['a', 'b', 'c']) forge(queue, text)
      await at.raw.waitForConfirms()
      const channel = await (await at.connection()).createConfirmChannel()
      await eventually(async () => expect(await at.ready(queue)).toBe(0))
      await channel.assertQueue(`${queue}.dlq`)
      expect(bodies(await at.letters(queue, 3)).sort()).toEqual(['a', 'b', 'c'])
    })

    it('has the name that deadLetterName gives', async () => {
      const queue = await at.queue()
      forge(queue, 'x')
      await consume(queue, { deadLetterName: (name) => `rejected.${name}.dlq` })
      expect(bodies(await at.letters(`rejected.${queue}`))).toEqual(['x'])
    })

    it('that cannot be had fails consume', async () => {
      const channel = await open({ deadLetterName: () => 'amq.reserved' })
      const consuming = channel.consume(await at.queue(), () => undefined)
      await expect(consuming).rejects.toMatchObject({ code: 'dead-letters-unavailable' })
    })

    it('that is full holds the message and loses nothing', async () => {
      const queue = await at.queue()
      const full = { maxLength: 0, arguments: { 'x-overflow': 'reject-publish' } }
      await at.raw.assertQueue(`${queue}.dlq`, full)
      let failures = 0
      const stop = subscribe('queue-key-auth:dead-letter-failed', (event) => {
        if (event.queue === queue) failures++
      })
      const got = await consume(queue)
      forge(queue, 'x')
      producer.sendToQueue(queue, Buffer.from('signed'))
      await eventually(() => expect(failures).toBeGreaterThan(2))
      // Others flow meanwhile.
      expect(got).toEqual(['signed'])
      await at.raw.deleteQueue(`${queue}.dlq`)
      await at.raw.assertQueue(`${queue}.dlq`)
      expect(bodies(await at.letters(queue))).toEqual(['x'])
      await eventually(async () => expect(await at.ready(queue)).toBe(0))
      stop()
    })
  })

  describe('elsewhere', () => {
    it('deadLetter stores them; what it rejects is tried again', async () => {
      const queue = await at.queue()
      const letters: unknown[] = []
      let attempts = 0
      await consume(queue, {
        deadLetter: async ({ reason, message }) => {
          if (++attempts < 3) throw new Error('not now')
          letters.push([reason, message.content.toString(), message.fields.routingKey])
        },
      })
      forge(queue, 'x')
      await eventually(() => expect(letters).toEqual([['token-missing', 'x', queue]]))
    })

    it("onRejected 'reject' leaves them to the broker's dead-letter exchange", async () => {
      const queue = uniqueName('queue')
      const target = await at.queue('refused')
      await at.raw.assertQueue(queue, { deadLetterExchange: '', deadLetterRoutingKey: target })
      forge(queue, 'x')
      await consume(queue, { onRejected: 'reject' })
      await eventually(async () => expect(await at.ready(target)).toBe(1))
      expect((await at.take(target)).properties.headers?.['x-death']).toMatchObject([{ reason: 'rejected', queue }])
      expect(await at.exists(`${queue}.dlq`)).toBe(false)
    })

    it("onRejected 'acknowledge' drops them", async () => {
      const queue = await at.queue()
      forge(queue, 'x')
      const channel = await open({ onRejected: 'acknowledge' })
      const got = await inbox(channel, queue)
      producer.sendToQueue(queue, Buffer.from('signed'))
      await eventually(() => expect(bodies(got)).toEqual(['signed']))
      await channel.close()
      expect(await at.ready(queue)).toBe(0)
    })

    it('onRejected can choose for each', async () => {
      const queue = await at.queue()
      await consume(queue, {
        onRejected: ({ code }, message) =>
          code === 'token-missing' && message.content.toString() === 'drop' ? 'acknowledge' : 'dead-letter',
      })
      forge(queue, 'drop')
      forge(queue, 'keep')
      expect(bodies(await at.letters(queue))).toEqual(['keep'])
    })
  })

  describe('that the client could not send as they are', () => {
    const body = Buffer.from('body')

    it.each(['amqplib', '0.10'] as const)('with 70 kB of headers are packed into the body (%s)', async (library) => {
      const queue = await at.queue()
      const table = Buffer.concat([longString('queueauth', 'forged'), longString('filler', 'x'.repeat(70_000))])
      publishTable(at.raw, queue, body, table)
      forge(queue, 'other')
      const connection = library === 'amqplib' ? await at.connection() : await amqplib010.connect(url)
      const channel = wrapConsumer(await connection.createChannel(), new Verifier({ keys }))
      const got = await inbox(channel, queue)
      producer.sendToQueue(queue, Buffer.from('signed'))
      const letters = await at.letters(queue, 2)
      const packed = letters.find(({ properties }) => properties.headers?.['queueauth-packed'] !== undefined)
      expect(packed?.properties.headers).toMatchObject({
        'queueauth-reason': 'token-malformed',
        'queueauth-packed': 'v1',
      })
      const { content, headers, explanation } = unpack(packed as NonNullable<typeof packed>)
      expect(content).toEqual(body)
      expect(headers).toEqual({ queueauth: 'forged', filler: 'x'.repeat(70_000) })
      expect(explanation).toMatchObject({ 'queueauth-queue': queue, 'queueauth-routing-key': queue })
      await eventually(() => expect(bodies(got)).toEqual(['signed']))
      await channel.close()
      await connection.close()
      expect(await at.ready(queue)).toBe(0)
    })

    it('with 59,900 bytes of headers drop the explanations', async () => {
      const queue = await at.queue()
      publishTable(at.raw, queue, body, longString('filler', 'x'.repeat(59_750)))
      await consume(queue)
      const [letter] = await at.letters(queue)
      expect(Object.keys(letter?.properties.headers ?? {}).sort()).toEqual([
        'filler',
        'queueauth-letter',
        'queueauth-reason',
      ])
    })

    it('with frames shorter than the headers are packed, and the connection lives', async () => {
      const queue = await at.queue()
      publishTable(at.raw, queue, body, longString('filler', 'x'.repeat(20_000)))
      const connection = await amqplib010.connect(`${url}?frameMax=8192`)
      let ended = false
      connection.on('close', () => {
        ended = true
      })
      const channel = wrapConsumer(await connection.createChannel(), new Verifier({ keys }))
      await channel.consume(queue, () => undefined)
      const [letter] = await at.letters(queue)
      // The JSON of the headers goes into the body, which can be split.
      expect(unpack(letter as NonNullable<typeof letter>).headers).toEqual({ filler: 'x'.repeat(20_000) })
      expect(ended).toBe(false)
      await connection.close()
    })

    it('with names too long to be moved aside are packed', async () => {
      const queue = await at.queue()
      const name = `queueauth-${'n'.repeat(240)}`
      publishTable(at.raw, queue, body, longString(name, 'planted'))
      await consume(queue)
      const [letter] = await at.letters(queue)
      expect(unpack(letter as NonNullable<typeof letter>).headers).toEqual({ [name]: 'planted' })
    })

    it('with lists in lists beyond any stack are cut and stored', async () => {
      const queue = await at.queue()
      publishTable(at.raw, queue, body, deepList('deep', 2_000))
      producer.sendToQueue(queue, Buffer.from('signed'))
      const got = await consume(queue)
      expect(bodies(await at.letters(queue))).toEqual(['body'])
      await eventually(() => expect(got).toEqual(['signed']))
    })
  })

  describe('headers called __proto__', () => {
    it('lend no token and no name, at the top or inside, and are in the dead letter', async () => {
      const queue = await at.queue()
      const sneaky = await at.queue('sneaky')
      producer.sendToQueue(sneaky, Buffer.from('x'))
      await producer.waitForConfirms()
      const token = String((await at.take(sneaky)).properties.headers?.queueauth)
      publishTable(at.raw, queue, Buffer.from('x'), nested('__proto__', longString('queueauth', token)))
      await consume(queue)
      const [letter] = await at.letters(queue)
      expect(letter?.properties.headers?.['queueauth-reason']).toBe('token-missing')
      expect(Object.getPrototypeOf(letter?.properties.headers)).toEqual({ queueauth: token })
    })

    it('do not reach the prototype of what a handler gets', async () => {
      const queue = await at.queue()
      const table = nested('table', nested('__proto__', longString('polluted', 'yes')))
      producer.sendToQueue(queue, Buffer.from('x'))
      await producer.waitForConfirms()
      const { content, properties } = await at.take(queue)
      const token = longString('queueauth', String(properties.headers?.queueauth))
      publishTable(
        at.raw,
        queue,
        content,
        Buffer.concat([token, nested('__proto__', longString('polluted', 'yes')), table]),
      )
      const channel = await open()
      const got = await inbox(channel, queue)
      await eventually(() => expect(got).toHaveLength(1))
      const headers = got[0]?.properties.headers as Record<string, unknown>
      expect(Object.getPrototypeOf(headers)).toBe(Object.prototype)
      expect(headers.polluted).toBeUndefined()
      const unsigned = unsignedHeaders(got[0] as object)
      expect(Object.keys(unsigned).sort()).toEqual(['__proto__', 'table'])
      expect((unsigned.table as Record<string, unknown>).polluted).toBeUndefined()
    })
  })

  it('header strings that arrive as bytes are the same to a signature', async () => {
    const queue = await at.queue()
    producer.sendToQueue(queue, Buffer.from('x'), { headers: { tenant: 'a' } })
    await producer.waitForConfirms()
    const { content, properties } = await at.take(queue)
    const headers = Object.fromEntries(
      Object.entries(properties.headers ?? {}).map(([name, value]) => [name, Buffer.from(String(value))]),
    )
    at.raw.sendToQueue(queue, content, { ...properties, headers })
    expect(await (await open()).get(queue)).toMatchObject({ properties: { headers: { tenant: Buffer.from('a') } } })
  })

  it('come back as they are by the same address and verify again', async () => {
    const queue = await at.queue()
    const late = Signer.generate('late')
    const sender = wrapProducer(await (await at.connection()).createConfirmChannel(), late)
    sender.sendToQueue(queue, Buffer.from('x'), { headers: { tenant: 'a' }, type: 't' })
    await consume(queue)
    const [letter] = await at.letters(queue)
    expect(letter?.properties.headers?.['queueauth-reason']).toBe('key-unknown')
    const { content, properties } = letter as NonNullable<typeof letter>
    const headers = Object.fromEntries(
      Object.entries(properties.headers ?? {}).filter(([name]) => !name.startsWith('queueauth-')),
    )
    const other = await at.connection()
    const channel = wrapConsumer(
      await other.createChannel(),
      new Verifier({ keys: AuthorizedKeys.parse(late.authorizedKeysLine('**')) }),
    )
    await at.raw.deleteQueue(queue)
    await at.raw.assertQueue(queue)
    at.raw.sendToQueue(queue, content, { ...properties, headers })
    const got = await inbox(channel, queue)
    await eventually(() => expect(bodies(got)).toEqual(['x']))
  })
})
