import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type { IHeaders, Message, Producer, Transaction } from 'kafkajs'
import { expect, it } from 'vitest'
import { wrapProducer } from '../../adapters/kafka/index.ts'
import { AuthorizedKeys } from '../../src/authorized-keys/authorized-keys.ts'
import { Signer } from '../../src/signer.ts'
import { quote } from '../../src/text.ts'
import { senderOf, unsignedHeaders } from '../../src/verdict.ts'
import { Verifier } from '../../src/verifier.ts'
import type { OpenScene, Scene } from './scene.ts'

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  for (const item of Object.values(value)) deepFreeze(item)
  return Object.freeze(value)
}

const messages = (kind: string): Message[] =>
  deepFreeze([
    {
      key: 'k',
      value: `${kind} text`,
      headers: { a: 'b', list: ['1', Buffer.from('2')], 'content-type': 'text/plain' },
    },
    { key: Buffer.from([0xff, 0]), value: Buffer.from(`${kind} bytes`), partition: 0, timestamp: '1000' },
    { key: null, value: `${kind} none`, headers: { queueauth: 'old token', empty: '' } },
  ])

/** By name. */
const unsendable: readonly [string, unknown][] = [
  ['number', 12],
  ['zero', 0],
  ['bigint', 12n],
  ['true', true],
  ['false', false],
  ['null', null],
  ['date', new Date(0)],
  ['object', { a: 'b' }],
  ['map', new Map()],
  ['symbol', Symbol('x')],
  ['function', () => 'x'],
  ['floats', new Float64Array(1)],
  ['room', new ArrayBuffer(1)],
  ['list-of-numbers', ['x', 1]],
  ['list-of-one-number', [1]],
  ['list-with-null', ['x', null]],
  ['list-with-undefined', ['x', undefined]],
  ['list-of-undefined', [undefined]],
  ['list-of-list-and-text', [['x'], 'x']],
  ['list-of-lists', [['x']]],
  ['größe', 'x'],
  ['ключ', 'x'],
  ['a b', 'x'],
  ['"quoted"', 'x'],
  ['', 'x'],
  ['__proto__x\u0000', 'x'],
  ['constructor', 'x'],
]

export function producerTests(open: OpenScene): void {
  it('sign at every entry point and leave what they are given alone', async () => {
    const scene = await open()
    const { topic } = scene
    const kafka = wrapProducer(scene.kafka(), scene.keys.signer)
    const producer = scene.library.transactionalProducer(kafka, topic)
    await producer.connect()
    const plain = kafka.producer(scene.library.name === 'kafkajs' ? { idempotent: true } : undefined)
    await plain.connect()
    await plain.send(deepFreeze({ topic, messages: messages('send') }))
    const [metadata] = await plain.sendBatch(
      deepFreeze({ topicMessages: [{ topic, messages: messages('sendBatch') }] }),
    )
    expect(metadata).toMatchObject({ topicName: topic, errorCode: 0 })
    const transaction = await producer.transaction()
    await transaction.send(deepFreeze({ topic, messages: messages('transaction') }))
    await transaction.sendBatch(deepFreeze({ topicMessages: [{ topic, messages: messages('batch in it') }] }))
    await transaction.commit()
    await Promise.all([producer.disconnect(), plain.disconnect()])
    const got: string[] = []
    await scene.consume({
      eachMessage: async ({ message }) => {
        expect(senderOf(message)?.destination).toBe(`kafka:${topic}`)
        got.push(String(message.value))
      },
    })
    const kinds = ['send', 'sendBatch', 'transaction', 'batch in it']
    await expect.poll(() => got).toEqual(kinds.flatMap((kind) => [`${kind} text`, `${kind} bytes`, `${kind} none`]))
  })

  it('take the bytes as they are at the call', async () => {
    const scene = await open()
    const producer = wrapProducer(scene.kafka().producer(), scene.keys.signer)
    await producer.connect()
    const value = Buffer.from('as it was')
    const bytes = Buffer.from('x')
    const message = { value, headers: { bytes } }
    const sending = producer.send({ topic: scene.topic, messages: [message] })
    value.fill('y')
    bytes.fill('y')
    Object.assign(message.headers, { late: 'y' })
    await sending
    await producer.disconnect()
    const got: unknown[] = []
    await scene.consume({
      eachMessage: async ({ message: { value: body, headers } }) =>
        void got.push(String(body), String(headers?.bytes), headers?.late),
    })
    await expect.poll(() => got).toEqual(['as it was', 'x', undefined])
  })

  it('send what is seldom sent as it was signed', async () => {
    const scene = await open()
    const rare: Message[] = [
      { value: '' },
      { value: Buffer.alloc(0) },
      { value: null },
      { value: 'a\0b', key: 'a\0b', headers: { text: 'a\0b', bytes: Buffer.from('a\0b') } },
      { value: 'an empty key', key: '' },
      { value: 'an empty key of bytes', key: Buffer.alloc(0) },
      { value: 'empty headers', headers: { text: '', bytes: Buffer.alloc(0), list: ['', Buffer.alloc(0)] } },
      { value: 'lists', headers: { one: ['1'], none: [], 'content-type': ['text/plain'] } },
      { value: new Uint8Array([1, 2]) as Buffer, key: new Uint8Array([3]) as Buffer },
      { value: 'not well-formed \ud800', headers: { undefined: 'a name' } },
    ]
    await scene.send(deepFreeze(rare))
    const got: unknown[] = []
    await scene.consume({
      eachMessage: async ({ message: { key, value, headers } }) =>
        void got.push([key ?? null, value, Object.entries(headers ?? {}).filter(([name]) => name !== 'queueauth')]),
    })
    await expect.poll(() => got.length).toBe(rare.length)
    const bytes = (text: string): Buffer => Buffer.from(text)
    const nul = bytes('a\0b')
    expect(got).toEqual([
      [null, bytes(''), []],
      [null, bytes(''), []],
      [null, null, []],
      [
        nul,
        nul,
        [
          ['text', nul],
          ['bytes', nul],
        ],
      ],
      [bytes(''), bytes('an empty key'), []],
      [bytes(''), bytes('an empty key of bytes'), []],
      [
        null,
        bytes('empty headers'),
        [
          ['text', bytes('')],
          ['bytes', bytes('')],
          ['list', [bytes(''), bytes('')]],
        ],
      ],
      [
        null,
        bytes('lists'),
        [
          ['one', bytes('1')],
          ['content-type', bytes('text/plain')],
        ],
      ],
      [Buffer.of(3), Buffer.of(1, 2), []],
      [null, bytes('not well-formed \ufffd'), [['undefined', bytes('a name')]]],
    ])
  })

  it('send nothing of a batch of which one record cannot be signed', async () => {
    const scene = await open()
    const other = `${scene.topic}-other`
    await scene.createTopic(other)
    const producer = wrapProducer(scene.kafka().producer(), scene.keys.signer)
    await producer.connect()
    const reserved = { value: 'x', headers: { 'queueauth-reason': 'x' } }
    const topicMessages = [
      { topic: scene.topic, messages: [{ value: 'first' }] },
      { topic: other, messages: [{ value: 'second' }, reserved] },
    ]
    await expect(producer.sendBatch({ topicMessages })).rejects.toMatchObject({ code: 'header-reserved' })
    await producer.sendBatch({ topicMessages: [{ topic: scene.topic, messages: [{ value: 'good' }] }] })
    await producer.disconnect()
    expect((await scene.read(scene.topic, 1)).map(({ value }) => String(value))).toEqual(['good'])
  })

  it('reject as the plain ones do, and refuse reserved headers before anything is sent', async () => {
    const scene = await open()
    const [signing, plain] = [wrapProducer(scene.kafka().producer(), scene.keys.signer), scene.kafka().producer()]
    await Promise.all([signing.connect(), plain.connect()])
    const { topic } = scene
    const bad: unknown[] = [
      { topic, messages: [{ value: 12 }] },
      { topic, messages: [{ key: 'k' }] },
      { topic, messages: [{ key: 'k', value: undefined, headers: { a: 'b' } }] },
      { topic },
      { topic, messages: [null] },
      undefined,
      // The Confluent client would take long to give it up.
      ...(scene.library.name === 'kafkajs' ? [{ topic: '', messages: [{ value: 'x' }] }] : []),
    ]
    for (const record of bad) {
      const [ours, theirs] = await Promise.all(
        [signing, plain].map((producer) =>
          producer.send(record as never).then(
            () => 'sent',
            (error: Error) => [error.name, error.message],
          ),
        ),
      )
      // Of one without a value kafkajs prints all it was given, and that is no place for a token.
      expect(JSON.stringify(ours)).not.toContain('queueauth')
      const shown = JSON.stringify(ours).replace(/ for topic .*/, '')
      expect(shown).toEqual(JSON.stringify(theirs).replace(/ for topic .*/, ''))
    }
    const reserved = { topic, messages: [{ value: 'first' }, { value: 'x', headers: { 'queueauth-reason': 'x' } }] }
    await expect(signing.send(reserved)).rejects.toMatchObject({ code: 'header-reserved' })
    await signing.send({ topic, messages: [{ value: 'good' }] })
    await Promise.all([signing.disconnect(), plain.disconnect()])
    const values = (await scene.read(topic, await count(scene))).map(({ value }) => String(value))
    expect(values).not.toContain('first')
    expect(values).toContain('good')
  })

  it.each([
    ['one by one', {}],
    ['in batches', { batch: true }],
    ['with preserveToken', { preserveToken: true }],
  ])('refuse headers that cannot be sent or signed by their names before anything is sent; %s', async (_how, how) => {
    const scene = await open()
    const { topic } = scene
    const kafka = wrapProducer(scene.kafka(), scene.keys.signer, how)
    const [producer, plain] = [scene.library.transactionalProducer(kafka, topic), kafka.producer()]
    await Promise.all([producer.connect(), plain.connect()])
    const transaction = await producer.transaction()
    const batch = (sender: Producer | Transaction) => (messages: Message[]) =>
      sender.sendBatch({ topicMessages: [{ topic, messages }] })
    const one = (sender: Producer | Transaction) => (messages: Message[]) => sender.send({ topic, messages })
    for (const send of [one(plain), batch(plain), one(transaction), batch(transaction)]) {
      for (const [name, value] of unsendable) {
        const headers = { ...('preserveToken' in how && { queueauth: 'a token' }), [name]: value } as IHeaders
        // Names are the signer's affair: a record that keeps its token is not signed.
        if ('preserveToken' in how && value === 'x') continue
        const sending = send([{ value: 'first' }, { value: 'bad', headers }])
        await expect(sending, name).rejects.toMatchObject({ code: 'header-unsupported' })
        await expect(sending, name).rejects.toThrow(quote(name))
      }
    }
    await transaction.send({ topic, messages: [{ value: 'good', headers: { absent: undefined, none: [], ok: 'x' } }] })
    await transaction.commit()
    await Promise.all([producer.disconnect(), plain.disconnect()])
    const got: unknown[] = []
    await scene.consume({
      eachMessage: async ({ message }) => void got.push(String(message.value), Object.keys(message.headers ?? {})),
    })
    await expect.poll(() => got).toEqual(['good', ['ok']])
    expect(await scene.read(topic, 1)).toHaveLength(1)
  })

  it('send what cannot be signed where the signer is told so, and the handler finds it apart', async () => {
    const scene = await open()
    const { privateKey } = generateKeyPairSync('ed25519')
    const signer = Signer.fromKey(privateKey, { service: 'checkout', unsignedHeaders: ['größe', 'my-*'] })
    const verifier = new Verifier({ keys: AuthorizedKeys.parse(signer.authorizedKeysLine('**')) })
    const producer = wrapProducer(scene.kafka().producer(), signer)
    await producer.connect()
    const headers = { größe: 'x', 'my-ключ': 'y', signed: 'z' }
    await producer.send({ topic: scene.topic, messages: [{ value: '0', headers }] })
    await producer.disconnect()
    const got: unknown[] = []
    await scene.consume(
      {
        eachMessage: async ({ message }) =>
          void got.push(Object.keys(message.headers ?? {}), Object.keys(unsignedHeaders(message))),
      },
      { verifier },
    )
    await expect.poll(() => got).toEqual([['signed'], ['größe', 'my-ключ']])
  })

  it('pass a message on with its token where they are told to, and it is handled', async () => {
    const scene = await open({ queues: { '*-retry': { destinations: ['kafka:orders-*'] } } })
    const retryTopic = `${scene.topic}-retry`
    await scene.createTopic(retryTopic)
    const producer = wrapProducer(scene.kafka().producer(), scene.keys.signer, { preserveToken: true })
    await producer.connect()
    await producer.send({ topic: scene.topic, messages: [{ value: 'x', headers: { a: 'b' } }] })
    await scene.consume({
      eachMessage: async ({ message: { key, value, headers } }) => {
        await producer.send({ topic: retryTopic, messages: [{ key, value, ...(headers && { headers }) }] })
      },
    })
    const got: unknown[] = []
    await scene.consume(
      { eachMessage: async ({ message }) => void got.push(String(message.value), senderOf(message)?.destination) },
      { topic: retryTopic, groupId: `retry-${scene.topic}` },
    )
    await expect.poll(() => got).toEqual(['x', `kafka:${scene.topic}`])
    await producer.disconnect()
  })

  it.each<[string, string[] | undefined, string[]]>([
    ['are passed on to an audit topic stay handled, and copies of them are skipped', undefined, ['0']],
    ['are passed on to a topic that the policy does not name stay handled', ['kafka:another-*'], ['0']],
    ['are passed on to a topic that the policy names for retries are free', ['kafka:*-audit'], ['0', '1', '2', '3']],
  ])('whose records %s', async (_what, retryDestinations, expected) => {
    const scene = await open({ queues: { 'orders-*': { ...(retryDestinations && { retryDestinations }) } } })
    await scene.createTopic(`${scene.topic}-audit`)
    await scene.send([{ value: 'x', headers: { a: 'b' } }])
    const [{ value, headers } = { value: null }] = await scene.read(scene.topic, 1)
    const copy = { value, headers: headers ?? {} }
    await scene.send([copy, copy, copy], { signed: false })
    const producer = wrapProducer(scene.kafka().producer(), scene.keys.signer, { preserveToken: true })
    await producer.connect()
    const handled: string[] = []
    await scene.consume({
      eachMessage: async ({ message }) => {
        handled.push(message.offset)
        const passed = { value: message.value, ...(message.headers && { headers: message.headers }) }
        await producer.send({ topic: `${scene.topic}-audit`, messages: [passed] })
      },
    })
    await expect.poll(() => scene.committed()).toBe('4')
    expect(handled).toEqual(expected)
    await producer.disconnect()
  })

  it('write dead letters in full, else without explanations, else compressed, else a pointer', async () => {
    const limit = 20_000
    const scene = await open()
    await scene.createTopic(`${scene.topic}-dlt`, 1, [{ name: 'max.message.bytes', value: String(limit) }])
    const headers = { queueauth: 'no.to.ken' }
    const bodies = [
      Buffer.from('small'),
      // Room for the body and one explanation, not for all.
      randomBytes(limit - 250),
      Buffer.alloc(limit * 5, 'compressible'),
      randomBytes(limit * 5),
      Buffer.from('small again'),
    ]
    await scene.send(
      bodies.map((value) => ({ key: 'k', value, headers })),
      { signed: false },
    )
    await scene.consume({ eachBatch: async () => undefined })
    const letters = await scene.read(`${scene.topic}-dlt`, bodies.length)
    const find = (offset: string) => letters.find((letter) => String(letter.headers?.['queueauth-offset']) === offset)
    for (const index of [0, 4]) expect(find(String(index))?.value).toEqual(bodies[index])
    const bare = letters.filter((letter) => letter.headers?.['queueauth-detail'] === undefined)
    expect(bare.map(({ value }) => value?.length).sort()).toEqual([bodies[1]?.length, bodies[2]?.length].sort())
    for (const letter of bare) expect(bodies.some((body) => letter.value?.equals(body))).toBe(true)
    const pointer = find('3')
    expect(JSON.parse(String(pointer?.value))).toEqual({ topic: scene.topic, partition: 0, offset: '3' })
    expect(String(pointer?.headers?.['queueauth-pointer'])).toBe('v1')
    await expect.poll(() => scene.committed()).toBe('5')
  })
}

async function count(scene: Scene): Promise<number> {
  const offsets = await scene.withAdmin((admin) => admin.fetchTopicOffsets(scene.topic))
  return offsets.reduce((sum, { high }) => sum + Number(high), 0)
}
