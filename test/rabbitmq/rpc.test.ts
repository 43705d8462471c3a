import { randomUUID } from 'node:crypto'
import type { Channel, ConsumeMessage } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { AuthorizedKeys, Signer, senderOf, Verifier } from '../../src/index.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { amqplib010, bench, bodies } from './helpers.ts'

const url = inject('amqpUrl') as string
const REPLIES = 'amq.rabbitmq.reply-to'

describe.skipIf(url === undefined)('without acknowledgements, and RPC', () => {
  const at = bench(url)
  const client = Signer.generate('client')
  const server = Signer.generate('server')

  function verifier(requests: string): Verifier {
    const lines = [client.authorizedKeysLine(requests), server.authorizedKeysLine(REPLIES)]
    return new Verifier({ keys: AuthorizedKeys.parse(lines.join('\n')) })
  }

  async function serve(requests: string, seen: ConsumeMessage[]): Promise<Channel> {
    const channel = await (await at.connection()).createChannel()
    wrapProducer(wrapConsumer(channel, verifier(requests)), server)
    await channel.consume(requests, (request) => {
      if (request === null) return
      seen.push(request)
      const { replyTo, correlationId } = request.properties
      channel.sendToQueue(replyTo, Buffer.from(`re: ${request.content}`), { correlationId })
      channel.ack(request)
    })
    return channel
  }

  it.each(['amqplib', '0.10'] as const)('direct reply-to works with both sides wrapped (%s)', async (library) => {
    const requests = await at.queue('requests')
    const seen: ConsumeMessage[] = []
    await serve(requests, seen)
    const connection = library === 'amqplib' ? await at.connection() : await amqplib010.connect(url)
    const channel = await wrapProducer(wrapConsumer(connection, verifier(requests)), client).createChannel()
    const replies: ConsumeMessage[] = []
    await channel.consume(REPLIES, (reply) => reply && replies.push(reply), { noAck: true })
    const correlationId = randomUUID()
    channel.sendToQueue(requests, Buffer.from('ping'), { replyTo: REPLIES, correlationId })
    await eventually(() => expect(bodies(replies)).toEqual(['re: ping']))
    expect(replies[0]?.properties.correlationId).toBe(correlationId)
    expect(senderOf(replies[0] as object)?.service).toBe('server')
    expect(senderOf(seen[0] as object)?.service).toBe('client')
    expect(seen[0]?.properties.replyTo).toMatch(/^amq\.rabbitmq\.reply-to\../)
    await connection.close()
  })

  it('a forged reply is copied to the dead letters', async () => {
    const requests = await at.queue('requests')
    const channel = await (await at.connection()).createChannel()
    wrapProducer(wrapConsumer(channel, verifier(requests)), client)
    const replies: unknown[] = []
    await channel.consume(REPLIES, (reply) => replies.push(reply), { noAck: true })
    channel.sendToQueue(requests, Buffer.from('ping'), { replyTo: REPLIES })
    await eventually(async () => expect(await at.ready(requests)).toBe(1))
    const { replyTo } = (await at.take(requests)).properties
    const forged = uniqueName('forged')
    await at.raw.assertQueue('rabbitmq.reply-to.dlq')
    at.raw.sendToQueue(replyTo, Buffer.from(forged))
    // Other clients that wait for replies have their dead letters there as well.
    await eventually(async () => {
      const letter = await at.raw.get('rabbitmq.reply-to.dlq', { noAck: true })
      expect(letter === false ? undefined : letter.content.toString()).toBe(forged)
    })
    expect(replies).toEqual([])
  })

  it('a reply-to that was planted in a request is refused', async () => {
    const requests = await at.queue('requests')
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), client)
    producer.sendToQueue(requests, Buffer.from('fire and forget'))
    await producer.waitForConfirms()
    const { content, properties } = await at.take(requests)
    at.raw.sendToQueue(requests, content, { ...properties, replyTo: 'eavesdropper' })
    const seen: ConsumeMessage[] = []
    await serve(requests, seen)
    const [letter] = await at.letters(requests)
    expect(letter?.properties).toMatchObject({
      replyTo: 'eavesdropper',
      headers: { 'queueauth-reason': 'headers-mismatch' },
    })
    expect(seen).toEqual([])
  })

  it('noAck is refused, or on request works and copies rejected messages to the dead letters', async () => {
    const queue = await at.queue()
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), client)
    const keys = AuthorizedKeys.parse(client.authorizedKeysLine('**'))
    const refusing = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys }))
    await expect(refusing.consume(queue, () => undefined, { noAck: true })).rejects.toMatchObject({
      code: 'no-ack-refused',
    })
    const channel = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys }), {
      noAck: 'drop',
    })
    const got: string[] = []
    await channel.consume(queue, (message) => got.push(String(message?.content)), { noAck: true })
    at.raw.sendToQueue(queue, Buffer.from('forged'))
    producer.sendToQueue(queue, Buffer.from('signed'))
    await eventually(() => expect(got).toEqual(['signed']))
    expect(bodies(await at.letters(queue))).toEqual(['forged'])
    await channel.checkQueue(queue)
  })

  it('with noAck a copy is skipped, too', async () => {
    const queue = await at.queue()
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), client)
    producer.sendToQueue(queue, Buffer.from('once'))
    await producer.waitForConfirms()
    const { content, properties } = await at.take(queue)
    const keys = AuthorizedKeys.parse(client.authorizedKeysLine('**'))
    const channel = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys }), {
      noAck: 'drop',
    })
    const got: string[] = []
    await channel.consume(queue, (message) => got.push(String(message?.content)), { noAck: true })
    for (const copy of [1, 2]) at.raw.sendToQueue(queue, content, { ...properties, priority: copy })
    producer.sendToQueue(queue, Buffer.from('other'))
    await eventually(() => expect(got).toContain('other'))
    await eventually(() => expect(got).toEqual(expect.arrayContaining(['once', 'other'])))
    expect(got).toHaveLength(2)
  })
})
