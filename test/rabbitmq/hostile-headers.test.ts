import type { Channel } from 'amqplib'
import fc from 'fast-check'
import { describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { subscribe, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies, inbox, longString, nested, publishTable } from './helpers.ts'
import { unpack } from './unpack.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

/** To amqplib a table with a name "!" says how to encode its value, and it believes whoever published it. */
const tagged = (type: string, ...value: Buffer[]): Buffer =>
  nested('h', Buffer.concat([longString('!', type), ...value]))

const TEXT = 'the text of a header'

describe.skipIf(url === undefined)('header tables that the client decodes and cannot encode again', () => {
  const at = bench(url)

  async function consume(queue: string): Promise<Channel> {
    const channel = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys }))
    await channel.prefetch(1)
    await channel.consume(queue, () => undefined)
    return channel
  }

  it.each<[string, Buffer, unknown]>([
    ['an integer that is text', tagged('long', longString('value', TEXT)), { '!': 'long', value: TEXT }],
    ['a time that is text', tagged('timestamp', longString('value', TEXT)), { '!': 'timestamp', value: TEXT }],
    // The broker cannot read a number that is none, and closes the connection of who sends one.
    ['a double that is text', tagged('double', longString('value', TEXT)), { '!': 'double', value: TEXT }],
    ['a float that is text', tagged('float', longString('value', TEXT)), { '!': 'float', value: TEXT }],
    ['a double without a value', tagged('float64'), { '!': 'float64' }],
    ['a type nobody knows', tagged('odd', longString('value', TEXT)), { '!': 'odd', value: TEXT }],
    ['no value', tagged('decimal'), { '!': 'decimal' }],
  ])('%s: is dead-lettered all the same, and holds up nobody', async (_what, table, header) => {
    const queue = await at.queue()
    const failures: unknown[] = []
    const stop = subscribe(
      'queue-key-auth:dead-letter-failed',
      (event) => event.queue === queue && failures.push(event),
    )
    publishTable(at.raw, queue, Buffer.from('hostile'), table)
    at.raw.sendToQueue(queue, Buffer.from('next'))
    await at.raw.waitForConfirms()
    await consume(queue)
    const [first, second] = await at.letters(queue, 2)
    stop()
    expect(failures).toEqual([])
    expect(bodies([second as NonNullable<typeof second>])).toEqual(['next'])
    expect(unpack(first as NonNullable<typeof first>)).toMatchObject({ headers: { h: header } })
  })

  describe('that have bytes for a prototype, and so count as bytes', () => {
    /** amqplib assigns to `__proto__`; `instanceof` follows that. */
    const disguised = (name: string): Buffer => nested(name, bytes('__proto__', Buffer.from('abc')))

    it.each([
      ['as any header', disguised('h')],
      ['as the token', disguised('queueauth')],
      ['in a list', Buffer.concat([Buffer.from([1]), Buffer.from('h'), sized('A', disguised('').subarray(1))])],
      [
        'behind a null',
        nested('h', Buffer.concat([Buffer.from('\x09__proto__V'), bytes('__proto__', Buffer.from('abc'))])),
      ],
      ['as all the headers', bytes('__proto__', Buffer.from('abc'))],
    ])('%s: dead-lettered, and the consumer lives', async (_what, table) => {
      const queue = await at.queue()
      publishTable(at.raw, queue, Buffer.from('hostile'), table)
      at.raw.sendToQueue(queue, Buffer.from('next'))
      await at.raw.waitForConfirms()
      await consume(queue)
      expect(bodies(await at.letters(queue, 2))).toEqual(['hostile', 'next'])
    })

    it('in the place of a signed header: headers-mismatch', async () => {
      const queue = await at.queue()
      const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
      producer.sendToQueue(queue, Buffer.from('x'), { headers: { h: 'abc' } })
      await producer.waitForConfirms()
      const { content, properties } = await at.take(queue)
      const token = longString('queueauth', String(properties.headers?.queueauth))
      publishTable(at.raw, queue, content, Buffer.concat([token, disguised('h')]))
      const got = await inbox(
        wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys })),
        queue,
      )
      const [letter] = await at.letters(queue)
      expect(letter?.properties.headers?.['queueauth-reason']).toBe('headers-mismatch')
      // Its neighbour has the bytes that were signed.
      publishTable(at.raw, queue, content, Buffer.concat([token, bytes('h', Buffer.from('abc'))]))
      await eventually(() => expect(bodies(got)).toEqual(['x']))
    })
  })

  it('a table of more members than can be signed, in place of a signed header: headers-mismatch, kept whole', async () => {
    const queue = await at.queue()
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
    producer.sendToQueue(queue, Buffer.from('x'), { headers: { h: 'abc' } })
    await producer.waitForConfirms()
    const { content, properties } = await at.take(queue)
    const token = longString('queueauth', String(properties.headers?.queueauth))
    const members = Array.from({ length: 3000 }, (_, n) => `m${n}`)
    const table = nested('h', Buffer.concat(members.map((name) => longString(name, 'x'))))
    publishTable(at.raw, queue, content, Buffer.concat([token, table]))
    const many = Buffer.concat(members.map((name) => longString(name, 'x')))
    publishTable(at.raw, queue, content, Buffer.concat([token, longString('h', 'abc'), many]))
    await at.raw.waitForConfirms()
    const got = await inbox(wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys })), queue)
    const [first, second] = await at.letters(queue, 2)
    for (const letter of [first, second]) {
      expect(letter?.properties.headers?.['queueauth-reason']).toBe('headers-mismatch')
    }
    expect(Object.keys(first?.properties.headers?.h as object)).toHaveLength(3000)
    expect(Object.keys(second?.properties.headers ?? {})).toEqual(expect.arrayContaining(members))
    expect(got).toEqual([])
  })

  it('whatever a table holds, its message ends among the dead letters', async () => {
    const queue = await at.queue()
    await consume(queue)
    let sent = 0
    await fc.assert(
      fc.asyncProperty(fc.array(TABLE, { minLength: 1, maxLength: 20 }), async (tables) => {
        const texts = tables.map(() => `m${sent++}`)
        for (const [index, table] of tables.entries())
          publishTable(at.raw, queue, Buffer.from(`${texts[index]}`), table)
        await at.raw.waitForConfirms()
        const letters = await at.letters(queue, tables.length)
        const contents = letters.map((letter) =>
          letter.properties.headers?.['queueauth-packed'] === undefined ? letter.content : unpack(letter).content,
        )
        expect(contents.map(String)).toEqual(texts)
      }),
      { numRuns: 30, endOnFailure: true },
    )
  })
})

const NAME = fc.oneof(
  fc.constantFrom('!', 'value', 'places', 'digits', '__proto__', 'constructor', 'toJSON', 'length', 'queueauth'),
  fc.constantFrom('queueauth-reason', 'queueauth-original-x', 'QueueAuth-Letter', 'expiration', ''),
  fc.string({ maxLength: 20 }),
)

const octets = (tag: string, length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((value) => Buffer.concat([Buffer.from(tag), value]))

function bytes(name: string, value: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([name.length]), Buffer.from(name), sized('x', value)])
}

function sized(tag: string, content: Uint8Array): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(content.length)
  return Buffer.concat([Buffer.from(tag), length, content])
}

/** Every type of AMQP field that amqplib decodes, with any octets in it. */
const { table: TABLE } = fc.letrec<{ value: Buffer; table: Buffer }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    ...(['b', 'B', 't'] as const).map((tag) => octets(tag, 1)),
    ...(['s', 'u'] as const).map((tag) => octets(tag, 2)),
    ...(['I', 'i'] as const).map((tag) => octets(tag, 4)),
    ...(['l', 'T'] as const).map((tag) => octets(tag, 8)),
    // The broker ends the channel of whoever sends what Erlang has no number for.
    octets('f', 4).filter((value) => Number.isFinite(value.readFloatBE(1))),
    octets('d', 8).filter((value) => Number.isFinite(value.readDoubleBE(1))),
    octets('D', 5),
    fc.constant(Buffer.from('V')),
    fc
      .constantFrom('timestamp', 'decimal', 'long', 'byte', 'object', 'string')
      .map((type) => sized('S', Buffer.from(type))),
    fc.uint8Array({ maxLength: 20 }).map((text) => sized('S', text)),
    fc.uint8Array({ maxLength: 20 }).map((value) => sized('x', value)),
    fc.array(tie('value'), { maxLength: 4 }).map((values) => sized('A', Buffer.concat(values))),
    tie('table').map((table) => sized('F', table)),
  ),
  table: fc
    .array(fc.tuple(NAME, tie('value')), { maxLength: 5 })
    .map((entries) =>
      Buffer.concat(
        entries.flatMap(([name, value]) => [Buffer.from([Buffer.byteLength(name)]), Buffer.from(name), value]),
      ),
    ),
}))
