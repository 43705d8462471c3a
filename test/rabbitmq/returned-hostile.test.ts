import { type Channel, connect } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies, inbox } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

/** Values that a JSON text can hold where something else is expected. */
const ODD = [
  ...['null', '5', '-1', '1e400', '"x"', '"\\ud800"', 'true', '[]', '[1]', '{}', '{"a":1}', '{"toString":1}'],
  ...['{"length":5}', '{"__proto__":{"x":1}}', '{"!":"bytes","value":"AAAA"}', '{"!":"bytes","value":5}'],
  ...[
    '{"!":"double","value":"x"}',
    '{"!":"float","value":1e300}',
    '{"!":"odd"}',
    `${'['.repeat(500)}${']'.repeat(500)}`,
  ],
]
const PROPERTIES = [
  ...[
    'contentType',
    'contentEncoding',
    'headers',
    'deliveryMode',
    'priority',
    'correlationId',
    'replyTo',
    'expiration',
  ],
  ...['messageId', 'timestamp', 'type', 'userId', 'appId', 'clusterId', '__proto__', 'toString'],
]
const HEADERS = [
  'a',
  '',
  'queueauth',
  'queueauth-reason',
  'CC',
  'x-death',
  'x-stream-offset',
  '__proto__',
  'hasOwnProperty',
]
const EXPLANATIONS = ['queueauth-detail', 'queueauth-returns', 'queueauth-letter', 'queueauth-packed', '__proto__', 'x']

function* texts(): Generator<string> {
  for (const odd of ODD) {
    for (const name of PROPERTIES) yield `{"properties":{"${name}":${odd}},"headers":{},"explanation":{}}`
    for (const name of HEADERS) yield `{"properties":{},"headers":{"${name}":${odd}},"explanation":{}}`
    for (const name of EXPLANATIONS) yield `{"properties":{},"headers":{},"explanation":{"${name}":${odd}}}`
    yield `{"properties":${odd},"headers":{},"explanation":{}}`
    yield `{"properties":{},"headers":${odd},"explanation":{}}`
    yield `{"properties":{},"headers":{},"explanation":${odd}}`
    yield odd
  }
  for (const name of ['contentType', 'type', 'correlationId']) {
    for (const length of [300, 60_000]) {
      yield `{"properties":{"${name}":"${'x'.repeat(length)}"},"headers":{},"explanation":{}}`
    }
  }
}

function packed(text: string): Buffer {
  const json = Buffer.from(text)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(json.length)
  return Buffer.concat([length, json, Buffer.from('body')])
}

describe.skipIf(url === undefined)('an imitation of a dead letter that came back', () => {
  const at = bench(url)

  async function consumer(): Promise<{ channel: Channel; errors: unknown[] }> {
    const errors: unknown[] = []
    const connection = wrapConsumer(await connect(url), new Verifier({ keys }))
    connection.on('error', (error) => errors.push(error))
    const channel = await connection.createChannel()
    channel.on('error', (error) => errors.push(error))
    await channel.prefetch(20)
    return { channel, errors }
  }

  it('ends as a dead letter whatever is packed in it, and the next message is handled', async () => {
    const queue = await at.queue()
    const all = [...texts()]
    for (const text of all) {
      at.raw.sendToQueue(queue, packed(text), {
        headers: { 'queueauth-reason': 'key-unknown', 'queueauth-packed': 'v1' },
      })
    }
    wrapProducer(await (await at.connection()).createConfirmChannel(), signer).sendToQueue(queue, Buffer.from('next'))
    await at.raw.waitForConfirms()
    const { channel, errors } = await consumer()
    const got = await inbox(channel, queue)
    await eventually(async () => {
      expect(errors).toEqual([])
      expect((await at.ready(`${queue}.dlq`)) + (await at.ready(`${queue}.dlq.parked`))).toBe(all.length)
    })
    await eventually(() => expect(bodies(got)).toEqual(['next']))
  })

  it('a good message that was copied with a count beyond all is handled once, and none is parked', async () => {
    const queue = await at.queue()
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
    producer.sendToQueue(queue, Buffer.from('good'), { headers: { a: 1 } })
    await producer.waitForConfirms()
    const { content, properties } = await at.take(queue)
    const planted = { ...properties.headers, 'queueauth-reason': 'key-unknown', 'queueauth-returns': '999999' }
    for (const headers of [planted, planted, properties.headers, planted]) {
      at.raw.sendToQueue(queue, content, { ...properties, headers })
    }
    producer.sendToQueue(queue, Buffer.from('next'))
    await producer.waitForConfirms()
    const { channel } = await consumer()
    const got = await inbox(channel, queue)
    await eventually(() => expect(bodies(got)).toEqual(['good', 'next']))
    expect(await at.ready(`${queue}.dlq.parked`)).toBe(0)
    expect(await at.ready(`${queue}.dlq`)).toBe(0)
  })
})
