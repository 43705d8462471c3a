import type { ConfirmChannel, ConsumeMessage, Options } from 'amqplib'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { unsignedHeaders, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

const OFFSET = 'x-stream-offset'
const REASON = { 'queueauth-reason': 'key-unknown' }

type Copy = (original: ConsumeMessage) => [content: Buffer, options: Options.Publish]

const withHeaders =
  (headers: object): Copy =>
  ({ content, properties }) => [content, { ...properties, headers: { ...properties.headers, ...headers } }]

/** As an unsigned dead letter whose table was too long: everything in the body, the offset of the original included. */
const packed: Copy = ({ content, properties: { headers, ...properties } }) => {
  const json = Buffer.from(JSON.stringify({ properties, headers, explanation: {} }))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(json.length)
  return [Buffer.concat([length, json, content]), { headers: { ...REASON, 'queueauth-packed': 'v1' } }]
}

describe.skipIf(url === undefined)('a copy in a stream that says it stands where the original does', () => {
  const at = bench(url)
  let producer: ConfirmChannel

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  async function send(queue: string, text: string): Promise<void> {
    producer.sendToQueue(queue, Buffer.from(text))
    await producer.waitForConfirms()
  }

  async function firstOf(queue: string): Promise<ConsumeMessage> {
    const channel = await (await at.connection()).createChannel()
    await channel.prefetch(1)
    const first = await new Promise<ConsumeMessage>((resolve) => {
      void channel.consume(queue, (message) => message && resolve(message), { arguments: { [OFFSET]: 0 } })
    })
    await channel.close()
    return first
  }

  describe.each<[string, Options.Consume]>([
    ['from the first', { arguments: { [OFFSET]: 'first' } }],
    ['without an offset', {}],
  ])('read %s', (_how, consume) => {
    it.each<[string, Copy]>([
      ['in a packed dead letter', packed],
      ['in a header', withHeaders({ [OFFSET]: 0 })],
      ['in a header of another type', withHeaders({ [OFFSET]: '0' })],
      ['in a header of a dead letter', withHeaders({ ...REASON, [OFFSET]: 0 })],
      [
        'under the name that dead letters keep headers by',
        withHeaders({ ...REASON, [`queueauth-original-${OFFSET}`]: 0 }),
      ],
    ])('%s is not handled again', async (_where, copy) => {
      const queue = uniqueName('stream')
      await at.raw.assertQueue(queue, { arguments: { 'x-queue-type': 'stream' } })
      const channel = await wrapConsumer(await at.connection(), new Verifier({ keys })).createChannel()
      await channel.prefetch(10)
      const got: ConsumeMessage[] = []
      await channel.consume(
        queue,
        (message) => {
          if (message === null) return
          got.push(message)
          channel.ack(message)
        },
        consume,
      )
      await send(queue, 'pay')
      await eventually(() => expect(bodies(got)).toEqual(['pay']))
      at.raw.sendToQueue(queue, ...copy(await firstOf(queue)))
      await at.raw.waitForConfirms()
      await send(queue, 'end')
      await eventually(() => expect(bodies(got)).toContain('end'))
      expect(bodies(got)).toEqual(['pay', 'end'])
    })
  })

  it('shows its handler the offset of this delivery', async () => {
    const queue = uniqueName('stream')
    await at.raw.assertQueue(queue, { arguments: { 'x-queue-type': 'stream' } })
    for (const text of ['a', 'b']) await send(queue, text)
    at.raw.sendToQueue(queue, ...packed(await firstOf(queue)))
    await at.raw.waitForConfirms()
    const channel = await wrapConsumer(await at.connection(), new Verifier({ keys })).createChannel()
    await channel.prefetch(10)
    const got: ConsumeMessage[] = []
    await channel.consume(queue, (message) => message && got.push(message), { arguments: { [OFFSET]: 2 } })
    await eventually(() => expect(bodies(got)).toEqual(['a']))
    const [message] = got as [ConsumeMessage]
    expect({ ...message.properties.headers, ...unsignedHeaders(message) }).toMatchObject({ [OFFSET]: 2 })
  })
})
