import type { Channel, ConfirmChannel, ConsumeMessage, GetMessage, Options } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import {
  type QueuePolicy,
  releaseForRetry,
  Signer,
  senderOf,
  unsignedHeaders,
  type Verdict,
  Verifier,
} from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { amqplib010, bench, bodies, inbox } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, verifier, keys } = testKeys('checkout')

describe.skipIf(url === undefined)('what a wrapped producer sends', () => {
  const at = bench(url)

  /** Sends through a wrapped channel and reads through another. */
  async function roundTrip(
    options: Options.Publish | undefined | null,
    library: 'amqplib' | '0.10' = 'amqplib',
  ): Promise<GetMessage> {
    const queue = await at.queue()
    const connection = library === 'amqplib' ? await at.connection() : await amqplib010.connect(url)
    const channel = wrapProducer(await connection.createConfirmChannel(), signer)
    channel.sendToQueue(queue, Buffer.from('body'), options as Options.Publish)
    await channel.waitForConfirms()
    const consumer = wrapConsumer(await connection.createChannel(), verifier)
    const message = await consumer.get(queue)
    if (message === false) throw new Error('the message was rejected')
    consumer.ack(message)
    await connection.close()
    return message
  }

  it('is signed once, by publish and by sendToQueue', async () => {
    const queue = await at.queue()
    const channel = await (await at.connection()).createConfirmChannel()
    const tokens: unknown[] = []
    const outlet = channel as unknown as { sendMessage(fields: object, properties: Sent, content: Buffer): boolean }
    const { sendMessage } = outlet
    outlet.sendMessage = (fields, properties, content) => {
      tokens.push(properties.headers.queueauth)
      return sendMessage.call(channel, fields, properties, content)
    }
    wrapProducer(channel, signer)
    channel.sendToQueue(queue, Buffer.from('a'))
    channel.publish('', queue, Buffer.from('b'), null as never)
    expect(tokens).toEqual([expect.any(String), expect.any(String)])
    expect(new Set(tokens).size).toBe(2)
    await channel.waitForConfirms()
    const got = await inbox(wrapConsumer(await (await at.connection()).createChannel(), verifier), queue)
    await eventually(() => expect(bodies(got)).toEqual(['a', 'b']))
  })

  it.each(['amqplib', '0.10'] as const)(
    'headers of every type arrive verified and as the plain client has them (%s)',
    async (library) => {
      const headers = {
        text: 'é',
        number: 12,
        large: 2 ** 40,
        fraction: 0.1,
        no: false,
        nothing: null,
        absent: undefined,
        bytes: Buffer.from([0, 255]),
        list: ['a', 1, { b: [Buffer.from('c')] }],
        table: { nested: { deep: true }, absent: undefined },
        when: { '!': 'timestamp', value: 1_700_000_000 },
        price: { '!': 'decimal', value: { places: 2, digits: 314 } },
        float: { '!': 'float', value: 0.1 },
        int64: { '!': 'int64', value: 5 },
        unsigned: { '!': 'uint32', value: 4_000_000_000 },
      }
      const wrapped = (await roundTrip({ headers }, library)).properties.headers as Record<string, unknown>
      delete wrapped.queueauth
      const queue = await at.queue()
      at.raw.sendToQueue(queue, Buffer.from('body'), { headers })
      await at.raw.waitForConfirms()
      const plain = await at.take(queue)
      expect(Object.entries(wrapped)).toEqual(Object.entries(plain.properties.headers ?? {}))
    },
  )

  it('inherited headers and options count, as they do in amqplib', async () => {
    const headers = Object.assign(Object.create({ inherited: 'yes' }) as object, { own: 1 })
    const options = Object.create({ headers, type: 'inherited' }) as Options.Publish
    const { properties } = await roundTrip(options)
    expect(properties.headers).toMatchObject({ inherited: 'yes', own: 1 })
    expect(properties.type).toBe('inherited')
  })

  it('options with accessors are read, and once', async () => {
    let reads = 0
    class Message {
      get type(): string {
        return 'event'
      }
      get headers(): Record<string, unknown> {
        return { read: ++reads }
      }
    }
    const { properties } = await roundTrip(new Message())
    expect(properties).toMatchObject({ type: 'event', headers: { read: 1 } })
  })

  it.each([
    [undefined],
    [null],
    [{}],
    [{ headers: undefined }],
    [{ headers: null }],
    [{ type: null, correlationId: null }],
  ])('options %j', async (options) => {
    const { properties } = await roundTrip(options as Options.Publish)
    expect(Object.keys(properties.headers ?? {})).toEqual(['queueauth'])
  })

  it('every property that is covered arrives; the others are apart', async () => {
    const covered = {
      type: 't',
      contentType: 'application/json',
      contentEncoding: 'identity',
      correlationId: 'c',
      messageId: 'm',
      appId: 'a',
      replyTo: 'answers',
    }
    const message = await roundTrip({
      ...covered,
      priority: 3,
      timestamp: 5,
      userId: 'guest',
      expiration: 60_000,
      persistent: true,
    })
    expect(message.properties).toMatchObject(covered)
    expect(message.properties).toMatchObject({
      priority: undefined,
      timestamp: undefined,
      userId: undefined,
      expiration: undefined,
    })
    expect(message.properties.deliveryMode).toBe(2)
    expect({ ...unsignedHeaders(message) }).toEqual({
      '@priority': 3,
      '@timestamp': 5,
      '@user-id': 'guest',
      '@expiration': '60000',
    })
  })

  it('what the caller passed is not touched', async () => {
    const options = deepFreeze({ headers: { a: { b: ['c'] } }, CC: ['nowhere'], type: 't' })
    const { properties } = await roundTrip(options)
    expect(properties.headers?.a).toEqual({ b: ['c'] })
    expect(options).toEqual({ headers: { a: { b: ['c'] } }, CC: ['nowhere'], type: 't' })
  })

  it('CC reaches other queues, where a message addressed elsewhere needs destinations', async () => {
    const [first, second] = [await at.queue('a'), await at.queue('b')]
    const channel = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
    channel.sendToQueue(first, Buffer.from('x'), { CC: [second] })
    await channel.waitForConfirms()
    const queues = { [second]: { destinations: [`amqp:/${first}`] } }
    const consumer = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys, queues }))
    const message = await consumer.get(second)
    expect(message).toMatchObject({ fields: { routingKey: first } })
    expect(message && unsignedHeaders(message).CC).toEqual([second])
  })

  it('a forwarded message gets a token of its own', async () => {
    const [first, second] = [await at.queue('a'), await at.queue('b')]
    const relay = Signer.generate('relay')
    const channel = await (await at.connection()).createConfirmChannel()
    wrapProducer(wrapConsumer(channel, verifier), relay)
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
    producer.sendToQueue(first, Buffer.from('x'), { headers: { tenant: 'a' }, persistent: true })
    await producer.waitForConfirms()
    const got = await channel.get(first)
    if (got === false) throw new Error('nothing there')
    channel.sendToQueue(second, got.content, got.properties)
    await channel.waitForConfirms()
    const forwarded = await at.take(second)
    const payload = String(forwarded.properties.headers?.queueauth).split('.')[1] as string
    expect(JSON.parse(Buffer.from(payload, 'base64url').toString())).toMatchObject({
      iss: 'relay',
      aud: `amqp:/${second}`,
      hs: ['tenant'],
    })
    // Else a message that is passed on with its properties would quietly become transient.
    expect(forwarded.properties.deliveryMode).toBe(2)
  })

  it.each([
    [
      'more than 32 of them',
      Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`h${index}`, 1])),
      'header-unsupported',
      '33',
    ],
    ['a reserved name', { 'queueauth-reason': 'x' }, 'header-reserved', 'queueauth-reason'],
    ['a function', { callback: () => 0 }, 'header-unsupported', 'callback'],
    ['a date', { when: new Date() }, 'header-unsupported', 'when'],
    ['a map', { map: new Map() }, 'header-unsupported', 'map'],
    ['a bigint', { id: 5n }, 'header-unsupported', 'id'],
    ['an integer that is not safe', { id: 2 ** 60 }, 'header-unsupported', 'id'],
    ['a typed integer that is not safe', { id: { '!': 'int64', value: 2n ** 60n } }, 'header-unsupported', 'id'],
    ['a prototype name', JSON.parse('{"__proto__":{"a":1}}') as object, 'header-unsupported', '__proto__'],
    ['a lone surrogate', { text: '\ud800' }, 'header-unsupported', 'text'],
  ])('an error names the header: %s', async (_what, headers, code, name) => {
    const channel = wrapProducer(await (await at.connection()).createChannel(), signer)
    let error: unknown
    try {
      channel.sendToQueue('nowhere', Buffer.from('x'), { headers })
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ code, message: expect.stringContaining(name) })
  })

  it('a routing key that changes on the wire is an error', async () => {
    const channel = wrapProducer(await (await at.connection()).createChannel(), signer)
    expect(() => channel.sendToQueue('\ud800', Buffer.from('x'))).toThrow(
      expect.objectContaining({ code: 'destination-invalid' }),
    )
  })

  it.each<[string, (channel: Channel) => unknown]>([
    ['content that is a string', (channel) => channel.publish('', 'q', 'x' as never)],
    ['content that is a Uint8Array', (channel) => channel.publish('', 'q', new Uint8Array(1) as never)],
    ['no content', (channel) => channel.sendToQueue('q', undefined as never)],
    ['an exchange that is null', (channel) => channel.publish(null as never, 'q', Buffer.from('x'))],
    ['an exchange that is undefined', (channel) => channel.publish(undefined as never, 'q', Buffer.from('x'))],
    ['a routing key that is a number', (channel) => channel.publish('', 5 as never, Buffer.from('x'))],
    ['a routing key that is too long', (channel) => channel.publish('', 'k'.repeat(256), Buffer.from('x'))],
    ['a far too long one', (channel) => channel.publish('', 'k'.repeat(5_000), Buffer.from('x'))],
    ['headers that are a text', (channel) => channel.publish('', 'q', Buffer.from('x'), { headers: 'a' })],
    ['headers that are zero', (channel) => channel.publish('', 'q', Buffer.from('x'), { headers: 0 })],
    [
      'an expiration that is null',
      (channel) => channel.publish('', 'q', Buffer.from('x'), { expiration: null as never }),
    ],
    ['a type that is a number', (channel) => channel.publish('', 'q', Buffer.from('x'), { type: 5 as never })],
    [
      'a typed header of an unknown type',
      (channel) => channel.publish('', 'q', Buffer.from('x'), { headers: { a: { '!': 'complex', value: 1 } } }),
    ],
    [
      'headers that are too long',
      (channel) => channel.publish('', 'q', Buffer.from('x'), { headers: { a: 'x'.repeat(70_000) } }),
    ],
    ['an ordinary message', (channel) => channel.publish('', 'q', Buffer.from('x'))],
    ['a large message', (channel) => channel.publish('', 'q', Buffer.alloc(300_000))],
  ])('%s: returns or throws what the plain client does', async (_what, call) => {
    const outcome = async (wrapped: boolean): Promise<unknown> => {
      const channel = await (await at.connection()).createChannel()
      if (wrapped) wrapProducer(channel, signer)
      try {
        return call(channel)
      } catch (error) {
        return `${(error as Error).name}: ${(error as Error).message}`
      }
    }
    expect(await outcome(true)).toEqual(await outcome(false))
  })

  it('a closed channel throws what the plain one does', async () => {
    const outcome = async (wrapped: boolean): Promise<unknown> => {
      const channel = await (await at.connection()).createChannel()
      if (wrapped) wrapProducer(wrapConsumer(channel, verifier), signer)
      await channel.close()
      return await Promise.all(
        [
          () => channel.sendToQueue('q', Buffer.from('x')),
          () => channel.consume('q', () => undefined),
          () => channel.get('q'),
          () => channel.cancel('tag'),
          () => channel.ack({ fields: { deliveryTag: 1 } } as never),
          () => channel.close(),
        ].map(async (call) => {
          try {
            return await call()
          } catch (error) {
            return `${(error as Error).name}: ${(error as Error).message}`
          }
        }),
      )
    }
    expect(await outcome(true)).toEqual(await outcome(false))
  })

  /** What amqplib makes of the options of a publish. */
  interface Sent {
    readonly headers: Readonly<Record<string, unknown>>
  }

  describe('a retry by publishing again', () => {
    it('with preserveToken keeps its first signature and is handled once more', async () => {
      const queue = await at.queue()
      const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
      const worker = await (await at.connection()).createConfirmChannel()
      wrapProducer(wrapConsumer(worker, verifier), signer, { preserveToken: true })
      const attempts: unknown[] = []
      await worker.consume(queue, (message) => {
        if (message === null) return
        attempts.push([senderOf(message)?.tokenId, unsignedHeaders(message)['x-attempt'] ?? 1])
        if (attempts.length === 1) {
          const headers = { ...message.properties.headers, 'x-attempt': 2 }
          worker.sendToQueue(queue, message.content, { ...message.properties, headers })
        }
        worker.ack(message)
      })
      producer.sendToQueue(queue, Buffer.from('x'), { type: 't' })
      await eventually(() => expect(attempts).toHaveLength(2))
      const [[id]] = attempts as [[string]]
      expect(attempts).toEqual([
        [id, 1],
        [id, 2],
      ])
      await eventually(async () => expect(await at.ready(queue)).toBe(0))
    })

    /** A consumer that passes everything on with its token before it acknowledges, and copies that an attacker makes. */
    async function passOn(
      policy: QueuePolicy,
      publish: (worker: ConfirmChannel, message: ConsumeMessage, audit: string) => void,
    ): Promise<{ handled: number; skipped: number; audited: number }> {
      const [queue, audit] = [await at.queue(), await at.queue()]
      const names = (list: readonly string[] = []) => list.map((name) => name.replace('{audit}', audit))
      const { retryDestinations } = policy
      const judging = new Verifier({
        keys,
        ...(retryDestinations && { queues: { [queue]: { retryDestinations: names(retryDestinations) } } }),
      })
      const worker = await (await at.connection()).createConfirmChannel()
      const seen = { handled: 0, skipped: 0 }
      const onVerdict = ({ outcome }: Verdict): void => {
        if (outcome === 'skipped') seen.skipped++
      }
      wrapProducer(wrapConsumer(worker, judging, { onVerdict }), signer, { preserveToken: true })
      const plain = await (await at.connection()).createConfirmChannel()
      const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
      producer.sendToQueue(queue, Buffer.from('x'), { type: 't' })
      await producer.waitForConfirms()
      const captured = await plain.get(queue, { noAck: true })
      if (captured === false) throw new Error('the message is not there')
      for (let copies = 4; copies > 0; copies--) plain.sendToQueue(queue, captured.content, captured.properties)
      await plain.waitForConfirms()
      await worker.prefetch(1)
      await worker.consume(queue, (message) => {
        if (message === null) return
        seen.handled++
        publish(worker, message, audit)
        worker.ack(message)
      })
      await eventually(() => expect(seen.handled + seen.skipped).toBe(4))
      await worker.waitForConfirms()
      return { ...seen, audited: await at.ready(audit) }
    }

    const toAudit = (worker: ConfirmChannel, { content, properties }: ConsumeMessage, audit: string): void =>
      void worker.sendToQueue(audit, content, properties)

    it('to an audit queue with preserveToken leaves it handled: copies of it are skipped', async () => {
      expect(await passOn({}, toAudit)).toEqual({ handled: 1, skipped: 3, audited: 1 })
    })

    it.each([
      ['by name', ['amqp:/{audit}']],
      ['by a pattern', ['amqp:orders/*', 'amqp:/*']],
    ])('to a queue that its policy names for retries, %s, frees its id', async (_how, retryDestinations) => {
      expect(await passOn({ retryDestinations }, toAudit)).toEqual({ handled: 4, skipped: 0, audited: 4 })
    })

    it('to an address that its policy does not name leaves it handled', async () => {
      const policy = { retryDestinations: ['amqp:/another', 'amqp:audit/{audit}'] }
      expect(await passOn(policy, toAudit)).toEqual({ handled: 1, skipped: 3, audited: 1 })
    })

    it.each(['CC', 'BCC'] as const)('by %s to a queue that its policy names frees its id', async (option) => {
      const publish: typeof toAudit = (worker, { content, properties }, audit) =>
        void worker.publish('', 'nowhere', content, { ...properties, [option]: [audit] } as Options.Publish)
      const policy = { retryDestinations: ['amqp:/{audit}'] }
      expect(await passOn(policy, publish)).toEqual({ handled: 4, skipped: 0, audited: 4 })
      expect(await passOn({}, publish)).toEqual({ handled: 1, skipped: 3, audited: 1 })
    })

    it.each([
      [true, ['first', 'again']],
      [false, ['first']],
    ])('through a plain client needs releaseForRetry (called: %s)', async (released, expected) => {
      const queue = await at.queue()
      const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
      const worker = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys }))
      const handled: string[] = []
      await worker.consume(queue, async (message) => {
        if (message === null) return
        if (message.content.toString() === 'end') {
          handled.push('end')
        } else if (handled.length > 0) {
          handled.push('again')
        } else {
          handled.push('first')
          if (released) await releaseForRetry(message)
          at.raw.sendToQueue(queue, message.content, message.properties)
          await at.raw.waitForConfirms()
          producer.sendToQueue(queue, Buffer.from('end'))
        }
        worker.ack(message)
      })
      producer.sendToQueue(queue, Buffer.from('x'))
      await eventually(() => expect(handled).toContain('end'))
      await eventually(() => expect(handled.filter((what) => what !== 'end')).toEqual(expected))
    })

    it('with preserveToken signs what has no token yet', async () => {
      const queue = await at.queue()
      const worker = wrapProducer(await (await at.connection()).createConfirmChannel(), signer, { preserveToken: true })
      worker.sendToQueue(queue, Buffer.from('x'), { headers: { queueauth: undefined } })
      await worker.waitForConfirms()
      const consumer = wrapConsumer(await (await at.connection()).createChannel(), verifier)
      expect(await consumer.get(queue)).not.toBe(false)
    })
  })
})

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null) for (const item of Object.values(value)) deepFreeze(item)
  return Object.freeze(value)
}
