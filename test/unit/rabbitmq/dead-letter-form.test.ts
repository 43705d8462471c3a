import { describe, expect, it } from 'vitest'
import type { AmqpMessage, AmqpProperties } from '../../../adapters/rabbitmq/client.ts'
import { FORMS, type Form, fits } from '../../../adapters/rabbitmq/dead-letter-form.ts'
import { encodedSize } from '../../../adapters/rabbitmq/size.ts'
import { createDeadLetter, type DeadLetter } from '../../../src/dead-letter.ts'
import { amqpEncode, amqpRoundTrip } from './codec.ts'

type Make = (letter: DeadLetter<AmqpMessage>, id: string) => Form
const [full, bare, packed] = FORMS.map(
  (make): Make =>
    (letter, id) =>
      make(letter, id)[0] as Form,
) as [Make, Make, Make]
const inTwo = FORMS[3] as (typeof FORMS)[number]

function letterOf(properties: AmqpProperties, content: Buffer = Buffer.from('body')): DeadLetter<AmqpMessage> {
  const fields = { deliveryTag: 1, redelivered: false, exchange: 'shop', routingKey: 'order.created' }
  const message = { content, fields, properties }
  const received = { queue: 'orders', deliveredBy: [], token: undefined, payload: content }
  return createDeadLetter({ outcome: 'rejected', code: 'token-missing', detail: 'why' }, received, message)
}

describe('a dead letter in full', () => {
  it('keeps body, token, headers and properties, and says why and where from', () => {
    const kept = {
      contentType: 'text/plain',
      contentEncoding: 'identity',
      correlationId: 'c',
      messageId: 'm',
      type: 't',
      appId: 'a',
      timestamp: 5,
      priority: 3,
      replyTo: 'answers',
    }
    const { content, options } = full(letterOf({ ...kept, headers: { queueauth: 'token', tenant: 'x' } }), 'id')
    expect(content.toString()).toBe('body')
    expect(options).toMatchObject({ ...kept, persistent: true, mandatory: true })
    expect(options.headers).toEqual({
      queueauth: 'token',
      tenant: 'x',
      'queueauth-reason': 'token-missing',
      'queueauth-detail': 'why',
      'queueauth-queue': 'orders',
      'queueauth-at': expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      'queueauth-exchange': 'shop',
      'queueauth-routing-key': 'order.created',
      'queueauth-letter': 'id',
    })
  })

  it('moves aside what the broker would act on, and what was planted', () => {
    const properties = { expiration: '1', userId: 'guest', clusterId: 'c', replyTo: 'amq.rabbitmq.reply-to.abc' }
    const headers = { CC: ['other'], BCC: ['third'], 'queueauth-reason': 'planted', QueueAuth: 'planted too' }
    const { options } = full(letterOf({ ...properties, headers }), 'id')
    expect(options.headers).toMatchObject({
      'queueauth-original-CC': ['other'],
      'queueauth-original-BCC': ['third'],
      'queueauth-original-queueauth-reason': 'planted',
      'queueauth-original-QueueAuth': 'planted too',
      'queueauth-original-expiration': '1',
      'queueauth-original-user-id': 'guest',
      'queueauth-original-cluster-id': 'c',
      'queueauth-original-reply-to': 'amq.rabbitmq.reply-to.abc',
      'queueauth-reason': 'token-missing',
    })
    for (const name of ['CC', 'BCC', 'QueueAuth']) expect(options.headers).not.toHaveProperty(name)
    for (const name of ['expiration', 'userId', 'clusterId', 'replyTo', 'CC', 'BCC']) {
      expect(options[name]).toBeUndefined()
    }
  })

  it('has a header called __proto__ as it came', () => {
    const headers = Object.setPrototypeOf({ a: 1 }, { b: 2 }) as Record<string, unknown>
    const sent = amqpEncode(full(letterOf({ headers }), 'id').options.headers as object)
    expect(sent.includes('__proto__')).toBe(true)
    expect(Object.hasOwn(amqpRoundTrip(full(letterOf({ headers }), 'id').options.headers as object), 'b')).toBe(false)
  })
})

describe('the ladder', () => {
  it('drops the explanations first', () => {
    const { options } = bare(letterOf({ headers: { queueauth: 'token' } }), 'id')
    expect(options.headers).toEqual({
      queueauth: 'token',
      'queueauth-reason': 'token-missing',
      'queueauth-letter': 'id',
    })
  })

  it('then packs everything into the body', () => {
    const body = Buffer.from([0, 255, 1])
    const headers = { queueauth: 'token', bytes: Buffer.from([1, 2]), table: { list: [Buffer.from([3])] } }
    const { content, options } = packed(letterOf({ type: 't', timestamp: 2 ** 64, headers }, body), 'id')
    const length = content.readUInt32BE(0)
    expect(content.subarray(4 + length)).toEqual(body)
    expect(JSON.parse(content.subarray(4, 4 + length).toString())).toMatchObject({
      properties: { type: 't', timestamp: 2 ** 64 },
      headers: {
        queueauth: 'token',
        bytes: { '!': 'bytes', value: 'AQI=' },
        table: { list: [{ '!': 'bytes', value: 'Aw==' }] },
      },
      explanation: { 'queueauth-detail': 'why', 'queueauth-exchange': 'shop' },
    })
    expect(options.headers).toEqual({
      'queueauth-reason': 'token-missing',
      'queueauth-packed': 'v1',
      'queueauth-letter': 'id',
    })
  })

  it('and at last sends the body by itself, and the rest packed', () => {
    const letter = letterOf({ type: 't', headers: { tenant: 'x' } })
    const [body, headers] = inTwo(letter, 'id') as [Form, Form]
    expect(body.content.toString()).toBe('body')
    expect(body.options.headers).toEqual({
      'queueauth-reason': 'token-missing',
      'queueauth-part': 'body',
      'queueauth-letter': 'id',
    })
    expect(4 + headers.content.readUInt32BE(0)).toBe(headers.content.length)
    expect(JSON.parse(headers.content.subarray(4).toString())).toMatchObject({
      properties: { type: 't' },
      headers: { tenant: 'x' },
      explanation: { 'queueauth-detail': 'why' },
    })
    expect(headers.options.headers).toEqual({
      'queueauth-reason': 'token-missing',
      'queueauth-packed': 'v1',
      'queueauth-part': 'headers',
      'queueauth-letter': 'id',
    })
    for (const { options } of [body, headers]) expect(options).toMatchObject({ persistent: true, mandatory: true })
  })

  it('a form fits when its table does, and when all properties go into one frame', () => {
    const form = (bytes: number): Form => full(letterOf({ headers: { filler: 'x'.repeat(bytes) } }), 'id')
    expect(fits(form(50_000), 131_072)).toBe(true)
    expect(fits(form(60_000), 131_072)).toBe(false)
    expect(fits(form(3_000), 4_096)).toBe(true)
    expect(fits(form(4_000), 4_096)).toBe(false)
    expect(fits(form(4_000), 0)).toBe(true)
    expect(fits(form(4_000), undefined)).toBe(true)
  })

  it('what fits never takes more than was counted', () => {
    const table = {
      a: 'é'.repeat(9),
      b: [1, 2 ** 40, 0.5, true, null, { '!': 'timestamp', value: 1 }],
      c: { d: Buffer.alloc(9) },
    }
    expect(amqpEncode(table).length).toBeLessThanOrEqual(encodedSize(table))
  })
})
