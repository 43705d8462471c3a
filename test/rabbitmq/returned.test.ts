import type { ConfirmChannel, GetMessage } from 'amqplib'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { MAX_RETURNS } from '../../src/dead-letter.ts'
import { AuthorizedKeys, Signer, subscribe, unsignedHeaders, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { amqplib010, bench, bodies, inbox, longString, publishTable } from './helpers.ts'

const url = inject('amqpUrl') as string
const { keys } = testKeys('checkout')

describe.skipIf(url === undefined)('dead letters that come back on RabbitMQ', () => {
  const at = bench(url)
  const late = Signer.generate('late')
  let sender: ConfirmChannel

  beforeAll(async () => {
    sender = wrapProducer(await (await at.connection()).createConfirmChannel(), late)
  })

  async function consume(queue: string, verifier: Verifier = new Verifier({ keys })) {
    const channel = wrapConsumer(await (await at.connection()).createChannel(), verifier)
    return { channel, got: await inbox(channel, queue) }
  }

  /** Puts it back as it is, which is what "Move messages" of the management page and a shovel do. */
  async function move(letter: GetMessage | undefined, queue: string): Promise<void> {
    const { content, properties } = letter as GetMessage
    at.raw.sendToQueue(queue, content, properties)
    await at.raw.waitForConfirms()
  }

  /** A dead letter of a message that was signed by a key nobody had listed yet. */
  async function early(options: object = {}): Promise<{ queue: string; letter: GetMessage }> {
    const queue = await at.queue()
    sender.sendToQueue(queue, Buffer.from('x'), { headers: { tenant: 'a' }, type: 't', ...options })
    const { channel } = await consume(queue)
    const [letter] = await at.letters(queue)
    expect(letter?.properties.headers?.['queueauth-reason']).toBe('key-unknown')
    await channel.close()
    return { queue, letter: letter as GetMessage }
  }

  const authorized = (): Verifier => new Verifier({ keys: AuthorizedKeys.parse(late.authorizedKeysLine('**')) })

  async function returning(queue: string, delay: number): Promise<void> {
    await at.raw.assertQueue(`${queue}.dlq`, {
      messageTtl: delay,
      deadLetterExchange: '',
      deadLetterRoutingKey: queue,
    })
  }

  it.each([
    ['an unsigned one', Buffer.from('8 octets'), undefined],
    ['a packed one', Buffer.from('8 octets'), longString('filler', 'x'.repeat(70_000))],
    ['one without room for explanations', Buffer.from('8 octets'), longString('filler', 'x'.repeat(59_750))],
    ['one with a header that only dead letters have', Buffer.from('8 octets'), longString('queueauth-x', 'planted')],
  ])('%s goes round a few times, keeps its size and its first reason, and is parked', async (_which, body, table) => {
    const queue = await at.queue()
    await returning(queue, 10)
    let rounds = 0
    const notices: string[] = []
    const stops = [
      subscribe('queue-key-auth:settled', (event) => {
        if (event.queue === queue) rounds++
      }),
      subscribe('queue-key-auth:notice', (event) => {
        if (event.queue === queue) notices.push(event.notice)
      }),
    ]
    await consume(queue)
    if (table === undefined) at.raw.sendToQueue(queue, body)
    else publishTable(at.raw, queue, body, table)
    await eventually(async () => expect(await at.exists(`${queue}.dlq.parked`)).toBe(true))
    await eventually(async () => expect(await at.ready(`${queue}.dlq.parked`)).toBe(1))
    // Once as a message, then as a dead letter.
    await eventually(() => expect(rounds).toBe(1 + MAX_RETURNS + 1))
    const parked = await at.take(`${queue}.dlq.parked`)
    for (const stop of stops) stop()
    expect(notices).toEqual(['dead-letter-parked'])
    expect(parked.properties.headers).toMatchObject({
      'queueauth-reason': 'token-missing',
      'queueauth-returns': String(MAX_RETURNS + 1),
      'queueauth-last-reason': 'token-missing',
    })
    const packed = parked.properties.headers?.['queueauth-packed'] === 'v1'
    expect(packed ? parked.content.length < 75_000 : parked.content.equals(body)).toBe(true)
    expect(await at.ready(queue)).toBe(0)
    expect(await at.ready(`${queue}.dlq`)).toBe(0)
  })

  it('verifies again when it was moved as it is and its key is authorized now', async () => {
    const { queue, letter } = await early()
    const { got } = await consume(queue, authorized())
    await move(letter, queue)
    await eventually(() => expect(bodies(got)).toEqual(['x']))
    const [message] = got
    expect(message?.properties).toMatchObject({ type: 't', headers: { tenant: 'a' } })
    const names = [
      ...Object.keys(message?.properties.headers ?? {}),
      ...Object.keys(unsignedHeaders(message as object)),
    ]
    expect(names.filter((name) => name.startsWith('queueauth-'))).toEqual([])
  })

  it('verifies again from get, too', async () => {
    const { queue, letter } = await early()
    const channel = wrapConsumer(await (await at.connection()).createChannel(), authorized())
    await move(letter, queue)
    const message = await channel.get(queue)
    expect(message).toMatchObject({ content: Buffer.from('x') })
  })

  it('verifies again after a rejected return, with the first explanation kept', async () => {
    const { queue, letter } = await early()
    const { channel } = await consume(queue)
    await move(letter, queue)
    const [again] = await at.letters(queue)
    const { headers: first } = letter.properties
    expect(again?.content).toEqual(letter.content)
    expect(again?.properties.headers).toEqual({
      ...first,
      'queueauth-returns': '1',
      'queueauth-last-reason': 'key-unknown',
      'queueauth-return-id': expect.any(String),
    })
    await channel.close()
    const { got } = await consume(queue, authorized())
    await move(again, queue)
    await eventually(() => expect(bodies(got)).toEqual(['x']))
  })

  it('verifies again with a direct reply-to, which is kept under another name', async () => {
    const queue = await at.queue()
    const asking = await (await at.connection()).createChannel()
    await asking.consume('amq.rabbitmq.reply-to', () => undefined, { noAck: true })
    wrapProducer(asking, late).sendToQueue(queue, Buffer.from('x'), { replyTo: 'amq.rabbitmq.reply-to' })
    const { channel } = await consume(queue)
    const [letter] = await at.letters(queue)
    await channel.close()
    const { got } = await consume(queue, authorized())
    await move(letter, queue)
    await eventually(() => expect(bodies(got)).toEqual(['x']))
    expect(got[0]?.properties.replyTo).toMatch(/^amq\.rabbitmq\.reply-to\./)
  })

  it('verifies again when it was packed', async () => {
    const queue = await at.queue()
    const headers = { tenant: 'a', long: 'x'.repeat(20_000), bytes: Buffer.from([0, 255]), list: [1, { b: true }] }
    sender.sendToQueue(queue, Buffer.from('x'), { headers, type: 't' })
    await sender.waitForConfirms()
    // Its frames are too short for such headers.
    const short = await amqplib010.connect(`${url}?frameMax=8192`)
    await wrapConsumer(await short.createChannel(), new Verifier({ keys })).consume(queue, () => undefined)
    const [letter] = await at.letters(queue)
    expect(letter?.properties.headers?.['queueauth-packed']).toBe('v1')
    await move(letter, queue)
    const [again] = await at.letters(queue)
    await short.close()
    expect(again?.content.length).toBeLessThan((letter?.content.length ?? 0) + 200)
    expect(again?.properties.headers).toMatchObject({ 'queueauth-returns': '1', 'queueauth-packed': 'v1' })
    const { got } = await consume(queue, authorized())
    await move(again, queue)
    await eventually(() => expect(bodies(got)).toEqual(['x']))
    expect(got[0]?.properties).toMatchObject({ type: 't', headers })
  })

  describe('an imitation', () => {
    const explanation = { 'queueauth-reason': 'key-unknown', 'queueauth-detail': 'please send me back' }

    it('of a valid message gains nothing but what was signed', async () => {
      const queue = await at.queue()
      sender.sendToQueue(queue, Buffer.from('x'), { headers: { tenant: 'a' } })
      await sender.waitForConfirms()
      const { content, properties } = await at.take(queue)
      const headers = { ...properties.headers, ...explanation, 'queueauth-service': 'root' }
      const { got } = await consume(queue, authorized())
      at.raw.sendToQueue(queue, content, { ...properties, headers })
      await eventually(() => expect(bodies(got)).toEqual(['x']))
      expect(Object.keys(got[0]?.properties.headers ?? {}).sort()).toEqual(['queueauth', 'tenant'])
      expect(Object.keys(unsignedHeaders(got[0] as object))).toEqual([])
    })

    it.each([
      ['of another name', { 'queueauth-x': 'x' }],
      ['that was renamed', { 'queueauth-original-queueauth-reason': 'x' }],
      ['that was renamed and is none of ours', { 'queueauth-original-tenant': 'b' }],
      ['that is no text', { 'queueauth-detail': 5 }],
      ['of no known reason', { 'queueauth-reason': 'duplicate' }],
      ['in upper case', { 'QueueAuth-Detail': 'x' }],
    ])('of a valid message with a header %s is headers-mismatch', async (_which, planted) => {
      const queue = await at.queue()
      sender.sendToQueue(queue, Buffer.from('x'))
      await sender.waitForConfirms()
      const { content, properties } = await at.take(queue)
      at.raw.sendToQueue(queue, content, {
        ...properties,
        headers: { ...properties.headers, ...explanation, ...planted },
      })
      const { got } = await consume(queue, authorized())
      const [letter] = await at.letters(queue)
      const said = letter?.properties.headers ?? {}
      expect(said['queueauth-last-reason'] ?? said['queueauth-reason']).toBe('headers-mismatch')
      expect(got).toEqual([])
    })

    it('does not vanish: not by a count, not by a copied id, not by what the broker acts on', async () => {
      const [queue, other] = [await at.queue(), await at.queue('other')]
      const planted = { ...explanation, 'queueauth-letter': 'same', 'queueauth-return-id': 'same' }
      const options = { expiration: '60000', CC: [other] }
      for (let index = 0; index < 20; index++) {
        const counted = index === 0 ? { 'queueauth-returns': '999999' } : {}
        at.raw.sendToQueue(queue, Buffer.from(String(index)), { headers: { ...planted, ...counted }, ...options })
      }
      await at.raw.waitForConfirms()
      await consume(queue)
      const letters = await at.letters(queue, 19)
      await eventually(async () => expect(await at.ready(`${queue}.dlq.parked`)).toBe(1))
      expect(bodies([await at.take(`${queue}.dlq.parked`)])).toEqual(['0'])
      expect(letters.every(({ properties }) => properties.expiration === undefined)).toBe(true)
      expect(await at.ready(other)).toBe(20)
      expect(letters[0]?.properties.headers).toMatchObject({ 'queueauth-last-reason': 'token-missing' })
    })

    it('of a packed one is stored as it came', async () => {
      const queue = await at.queue()
      const headers = { ...explanation, 'queueauth-packed': 'v1' }
      const contents = ['', 'abc', '\0\0\0\x02[]', '\0\0\0\x02{}', '\0\0\0\x04null', '\x7f\0\0\0{}', '\0\0\0\x05{"a":']
      for (const content of contents) at.raw.sendToQueue(queue, Buffer.from(content), { headers })
      await consume(queue)
      const letters = await at.letters(queue, contents.length)
      expect(bodies(letters).sort()).toEqual([...contents].sort())
    })
  })

  it('in a queue of dead letters that is consumed it keeps saying where it came from', async () => {
    const { queue, letter } = await early()
    await move(letter, `${queue}.dlq`)
    await consume(`${queue}.dlq`)
    const [again] = await at.letters(`${queue}.dlq`)
    expect(again?.properties.headers).toMatchObject({ 'queueauth-queue': queue, 'queueauth-reason': 'key-unknown' })
  })

  describe('the queue for dead letters', () => {
    it.each([
      ['an exclusive queue', { exclusive: true }],
      ['an auto-delete queue', { autoDelete: true }],
      ['an expiring queue', { expires: 60_000 }],
      ['a durable queue', { durable: true }],
    ])('of %s is made by its first dead letter, not before', async (_which, options) => {
      const queue = uniqueName('lazy')
      const channel = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys }))
      await channel.assertQueue(queue, options)
      await channel.consume(queue, () => undefined)
      await channel.get(queue)
      expect(await at.exists(`${queue}.dlq`)).toBe(false)
      for (const text of ['a', 'b', 'c']) channel.sendToQueue(queue, Buffer.from(text))
      await eventually(async () => expect(await at.exists(`${queue}.dlq`)).toBe(true))
      expect(bodies(await at.letters(queue, 3)).sort()).toEqual(['a', 'b', 'c'])
    })

    it.each(['consume', 'get'] as const)('is not made by %s of a queue that is missing', async (verb) => {
      const queue = uniqueName('missing')
      const channel = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys }))
      channel.on('error', () => undefined)
      const call = verb === 'get' ? channel.get(queue) : channel.consume(queue, () => undefined)
      await expect(call).rejects.toThrow(/404/)
      expect(await at.exists(`${queue}.dlq`)).toBe(false)
    })

    it.each([
      ['after consuming started', true],
      ['before', false],
    ])("is the user's, declared %s, by any connection", async (_when, after) => {
      const queue = await at.queue()
      const declare = async (): Promise<void> => {
        const other = await (await at.connection()).createChannel()
        await other.assertQueue(`${queue}.dlq`, { messageTtl: 60_000, maxLength: 100 })
      }
      if (!after) await declare()
      const { channel } = await consume(queue)
      if (after) await declare()
      await channel.assertQueue(`${queue}.dlq`, { messageTtl: 60_000, maxLength: 100 })
      at.raw.sendToQueue(queue, Buffer.from('x'))
      expect(bodies(await at.letters(queue))).toEqual(['x'])
      await channel.assertQueue(`${queue}.dlq`, { messageTtl: 60_000, maxLength: 100 })
    })
  })
})
