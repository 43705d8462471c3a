import { describe, expect, it } from 'vitest'
import { toDeadLetter } from '../../../adapters/memory/message.ts'
import type { AmqpMessage } from '../../../adapters/rabbitmq/client.ts'
import { FORMS } from '../../../adapters/rabbitmq/dead-letter-form.ts'
import { destinationOf, Routes, toMessage, toReceived } from '../../../adapters/rabbitmq/message.ts'
import { AuthorizedKeys } from '../../../src/authorized-keys/authorized-keys.ts'
import { explanationOf, originalOf } from '../../../src/cli/messages/dead-letter.ts'
import { type CliMessage, fromMessageJson, toMessageJson } from '../../../src/cli/messages/message-json.ts'
import { unpacked } from '../../../src/cli/messages/packed.ts'
import { fromRabbitmqadmin } from '../../../src/cli/messages/rabbitmqadmin.ts'
import { judge } from '../../../src/cli/messages/receive.ts'
import { createDeadLetter } from '../../../src/dead-letter.ts'
import { address } from '../../../src/message.ts'
import { Signer } from '../../../src/signer.ts'

const signer = Signer.generate('checkout')
const { snapshot } = AuthorizedKeys.parse(signer.authorizedKeysLine('orders'))
const rejected = { outcome: 'rejected', code: 'age-exceeded', detail: 'why', fingerprint: signer.fingerprint } as const

function verdictOf(letter: CliMessage): string {
  if (snapshot === undefined) throw new Error('a parsed text has a snapshot')
  const result = judge(snapshot, originalOf(letter), explanationOf(letter).queue ?? '', {})
  return 'outcome' in result ? ('code' in result ? result.code : result.outcome) : result.sender.service
}

const SNAKE = { contentType: 'content_type', replyTo: 'reply_to', appId: 'app_id', messageId: 'message_id' } as const

/** The dead letter of a signed delivery, as the management API shows it; `spoil` changes the delivery before that. */
function fromRabbit(
  form: number,
  exchange: string,
  spoil: (message: AmqpMessage) => unknown = () => undefined,
): CliMessage {
  const [content, routingKey] = [Buffer.from([1, 2, 255]), exchange === '' ? 'orders' : 'order.created']
  const options = {
    contentType: 'x/y',
    appId: 'shop',
    replyTo: 'amq.rabbitmq.reply-to.g1',
    headers: { tenant: 'eu', n: 5 },
  }
  const token = signer.sign(toMessage(destinationOf(exchange, routingKey), content, options))
  const properties = {
    ...options,
    replyTo: 'amq.rabbitmq.reply-to.rewritten',
    expiration: '60000',
    headers: { ...options.headers, CC: ['other'], queueauth: token },
  }
  const message = {
    content,
    fields: { deliveryTag: 1, redelivered: false, exchange, routingKey },
    properties,
  } as AmqpMessage
  spoil(message)
  const letter = createDeadLetter(rejected, toReceived(message, new Routes('orders', 'orders')), message)
  const written = FORMS[form]?.(letter, 'id')
  if (written === undefined) throw new Error('there is no such form')
  const { headers, ...others } = written.options
  const named = Object.entries(others).flatMap(([name, value]) => {
    const known = SNAKE[name as keyof typeof SNAKE]
    return known === undefined || value === undefined ? [] : [[known, value]]
  })
  const api = {
    exchange: '',
    routing_key: 'orders.dlq',
    properties: { delivery_mode: 2, ...Object.fromEntries(named), headers },
    payload: written.content.toString('base64'),
    payload_encoding: 'base64',
  }
  return unpacked(fromRabbitmqadmin(JSON.parse(JSON.stringify(api))))
}

describe('a dead letter', () => {
  it.each([
    ['in full', 0],
    ['packed', 2],
  ])('of RabbitMQ, %s: what it was before is authorized again', (_, form) => {
    for (const exchange of ['shop', '']) {
      const letter = fromRabbit(form, exchange)
      expect(explanationOf(letter)).toMatchObject({ reason: 'age-exceeded', queue: 'orders' })
      expect(verdictOf(letter)).toBe('checkout')
    }
  })

  it.each([
    ['in full', 0],
    ['packed', 2],
  ])('of RabbitMQ, %s: what was forged stays forged', (_, form) => {
    const spoilt = (spoil: (message: AmqpMessage) => unknown): string => verdictOf(fromRabbit(form, 'shop', spoil))
    const headers = (message: AmqpMessage): Record<string, unknown> =>
      message.properties.headers as Record<string, unknown>
    expect(spoilt((message) => message.content.fill(9, 0, 1))).toBe('body-mismatch')
    expect(spoilt((message) => Object.assign(headers(message), { tenant: 'us' }))).toBe('headers-mismatch')
    expect(spoilt((message) => Object.assign(headers(message), { 'queueauth-reason': 'duplicate' }))).toBe(
      'headers-mismatch',
    )
    expect(spoilt((message) => Object.assign(message.fields, { routingKey: 'order.paid' }))).toBe(
      'destination-mismatch',
    )
    expect(spoilt((message) => Reflect.deleteProperty(headers(message), 'queueauth'))).toBe('token-missing')
  })

  it('of RabbitMQ without its explanations still says why', () => {
    expect(explanationOf(fromRabbit(1, 'shop'))).toMatchObject({ reason: 'age-exceeded', queue: undefined })
  })

  it('in memory: the same, through the JSON of the commands', () => {
    const payload = Buffer.from('1 tea')
    const headers = { tenant: 'eu' }
    const token = signer.sign({ destination: address('memory', 'orders'), payload, headers })
    const message = { id: '1', queue: 'orders', payload, headers: { ...headers, queueauth: token }, properties: {} }
    const received = { queue: 'orders', deliveredBy: [], token, payload, headers }
    const { headers: written = {} } = toDeadLetter(createDeadLetter(rejected, received, message as never))
    const json = { destination: 'memory:orders.dlq', payload: '1 tea', headers: written }
    const letter = fromMessageJson(JSON.parse(JSON.stringify(json)))
    expect(verdictOf(letter)).toBe('checkout')
    expect(fromMessageJson(JSON.parse(JSON.stringify(toMessageJson(letter))))).toEqual(letter)
  })
})

describe('the JSON of a message', () => {
  it.each([
    [{}],
    [{ payload: 'x', payloadBase64: 'eA==' }],
    [{ payload: 5 }],
    [{ payloadBase64: 'eA' }],
    [{ payload: 'x', header: {} }],
    [{ payload: 'x', properties: { contenttype: 'x' } }],
    [{ payload: 'x', properties: { contentType: 5 } }],
    [{ payload: 'x', headers: [] }],
    [{ payload: 'x', deliveredBy: 'memory:x' }],
    [{ payload: 'x', token: 'a', headers: { queueauth: 'b' } }],
    [[]],
    [null],
  ])('refuses %j', (value) => {
    expect(() => fromMessageJson(value)).toThrow(expect.objectContaining({ name: 'CommandError', exitCode: 2 }))
  })

  it('keeps bytes that are no text, a body that is none, and names that prototypes have', () => {
    for (const payload of [Buffer.from([255, 0]), Buffer.from('\ufeffx'), Buffer.alloc(0), null]) {
      const json = JSON.stringify({ ...toMessageJson({ payload, properties: {}, headers: {}, token: undefined }) })
      const read = fromMessageJson(JSON.parse(json.replace('"headers":{}', '"headers":{"__proto__":"x"}')))
      expect(read.payload).toEqual(payload)
      expect(Object.keys(read.headers)).toEqual(['__proto__'])
    }
  })
})
