import { describe, expect, it } from 'vitest'
import { toReceived } from '../../../adapters/kafka/message.ts'
import { fromKcat } from '../../../src/cli/messages/kcat.ts'
import { fromRabbitmqadmin } from '../../../src/cli/messages/rabbitmqadmin.ts'

const wrongUsage = expect.objectContaining({ name: 'CommandError', exitCode: 2 })

describe('a record of kcat -J', () => {
  const record = { topic: 'orders.new', partition: 0, offset: 1, tstype: 'create', ts: 5, broker: 1 }

  it.each([
    [['a', '1', 'queueauth', 't', 'a', '2', 'content-type', 'x/y', 'n', null]],
    [{ a: ['1', '2'], queueauth: ['t'], 'content-type': ['x/y'], n: [null] }],
  ])('reads headers as %j', (headers) => {
    const { headers: read, ...rest } = fromKcat({ ...record, headers, key: '', payload: 'ü' })
    expect({ ...read }).toEqual({ a: ['1', '2'], 'content-type': 'x/y', n: null })
    expect(rest).toEqual({
      destination: 'kafka:orders.new',
      queue: 'orders.new',
      payload: Buffer.from('ü'),
      properties: { key: '', contentType: 'x/y' },
      token: 't',
    })
  })

  it('says of a record what the adapter says', () => {
    const [key, payload] = ['7', '1 tea']
    const pairs = ['tenant', 'eu', 'content-type', 'x/y', 'a', '1', 'a', '2', 'queueauth', 't']
    const headers = { tenant: 'eu', 'content-type': 'x/y', a: ['1', '2'], queueauth: 't' }
    const message = { key: Buffer.from(key), value: Buffer.from(payload), offset: '1', timestamp: '5', headers }
    const received = toReceived('orders.new', 0, message as never, undefined)
    const read = fromKcat({ ...record, key, payload, headers: pairs })
    expect({ ...read.headers }).toEqual({ ...received.headers })
    expect(read.properties).toEqual({ ...received.properties, key })
    expect([read.queue, [read.destination], read.payload, read.token]).toEqual([
      received.queue,
      received.deliveredBy,
      received.payload,
      received.token,
    ])
  })

  it('tells no key and no body from empty ones, and one token from two', () => {
    const none = fromKcat({ ...record, key: null, payload: null })
    expect([none.payload, none.properties, none.token]).toEqual([null, {}, undefined])
    expect(fromKcat({ ...record, key: null, payload: '' }).payload).toEqual(Buffer.alloc(0))
    expect(fromKcat({ ...record, payload: '', headers: ['queueauth', 'a', 'queueauth', 'b'] }).token).toEqual([
      'a',
      'b',
    ])
  })

  it.each([
    [{}],
    [{ ...record, headers: ['a'] }],
    [{ ...record, headers: [1, 'a'] }],
    [{ ...record, payload: { decoded: true }, value_schema_id: 3 }],
    [[record]],
  ])('refuses %j', (value) => {
    expect(() => fromKcat(value)).toThrow(wrongUsage)
  })
})

describe('a message of rabbitmqadmin get', () => {
  const message = { exchange: '', routing_key: 'orders', properties: [], payload: 'x', payload_encoding: 'string' }

  it('reads one without properties', () => {
    const { headers, ...rest } = fromRabbitmqadmin(message)
    expect(Object.keys(headers)).toEqual([])
    expect(rest).toEqual({ destination: 'amqp:/orders', payload: Buffer.from('x'), properties: {}, token: undefined })
  })

  it.each([
    [{ ...message, payload_encoding: 'base64', payload: 'x' }],
    [{ ...message, exchange: undefined }],
    [{ ...message, properties: { content_type: 5 } }],
    [{ ...message, payload: null }],
  ])('refuses %j', (value) => {
    expect(() => fromRabbitmqadmin(value)).toThrow(wrongUsage)
  })
})
