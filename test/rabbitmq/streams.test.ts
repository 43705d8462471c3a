import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib'
import { beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { type RabbitmqConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { type DeadLetter, MemoryReplayStore, type ReplayStore, senderOf, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies } from './helpers.ts'
import { RemoteStore } from './remote-store.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

const STREAM: Options.AssertQueue = { arguments: { 'x-queue-type': 'stream' } }

describe.skipIf(url === undefined)('a stream', () => {
  const at = bench(url)
  let producer: ConfirmChannel
  let queue: string

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  beforeEach(async () => {
    queue = uniqueName('stream')
    // By a client that is not wrapped: what is read is not known to be a stream by having been declared.
    await at.raw.assertQueue(queue, STREAM)
  })

  async function send(...texts: string[]): Promise<void> {
    for (const text of texts) producer.sendToQueue(queue, Buffer.from(text), { headers: { text } })
    await producer.waitForConfirms()
  }

  interface Reader {
    readonly got: ConsumeMessage[]
    readonly codes: string[]
    readonly channel: Channel
    readonly connection: ChannelModel
    texts(): string[]
    offsets(): unknown[]
  }

  async function read(
    verifier: Verifier,
    offset?: unknown,
    {
      options = {},
      consumerTag = '',
      prefetch = 10,
      settle = true,
      connection = undefined as ChannelModel | undefined,
    } = {} as {
      options?: RabbitmqConsumerOptions
      consumerTag?: string
      prefetch?: number
      settle?: boolean
      connection?: ChannelModel | undefined
    },
  ): Promise<Reader> {
    const codes: string[] = []
    const made =
      connection ??
      wrapConsumer(await at.connection(), verifier, {
        onVerdict: (verdict) => 'code' in verdict && codes.push(verdict.code),
        ...options,
      })
    const channel = await made.createChannel()
    await channel.prefetch(prefetch)
    const got: ConsumeMessage[] = []
    await channel.consume(
      queue,
      (message) => {
        if (message === null) return
        got.push(message)
        if (settle) channel.ack(message)
      },
      {
        ...(consumerTag && { consumerTag }),
        ...(offset !== undefined && { arguments: { 'x-stream-offset': offset } }),
      },
    )
    return {
      got,
      codes,
      channel,
      connection: made,
      texts: () => bodies(got),
      offsets: () => got.map(({ properties }) => properties.headers?.['x-stream-offset']),
    }
  }

  /** Publishes a message of the stream once more, as it is. */
  async function copy(offset = 0): Promise<void> {
    const channel = await (await at.connection()).createChannel()
    await channel.prefetch(1)
    const original = await new Promise<ConsumeMessage>((resolve) => {
      void channel.consume(queue, (message) => message && resolve(message), {
        arguments: { 'x-stream-offset': offset },
      })
    })
    await channel.close()
    at.raw.sendToQueue(queue, original.content, { ...original.properties })
    await at.raw.waitForConfirms()
  }

  it('hands on what was signed, in order, with offsets', async () => {
    await send('a', 'b', 'c')
    const reader = await read(new Verifier({ keys }), 'first')
    await eventually(() => expect(reader.texts()).toEqual(['a', 'b', 'c']))
    expect(reader.offsets()).toEqual([0, 1, 2])
    expect(reader.got.map((message) => senderOf(message)?.service)).toEqual(['checkout', 'checkout', 'checkout'])
    expect(reader.got[1]?.properties.headers).toMatchObject({ text: 'b' })
  })

  it('sends no more than the prefetch allows to one that settles nothing, and goes on when it does', async () => {
    await send(...'abcdefgh')
    const reader = await read(new Verifier({ keys }), 'first', { prefetch: 1, settle: false })
    const handed: string[] = []
    while (handed.length < 8) {
      await eventually(() => expect(reader.got.length).toBeGreaterThan(handed.length))
      const message = reader.got[handed.length] as ConsumeMessage
      handed.push(message.content.toString())
      reader.channel.ack(message)
    }
    expect(handed).toEqual([...'abcdefgh'])
  })

  describe.each<[string, () => ReplayStore]>([
    ['a store in memory', () => new MemoryReplayStore()],
    // Which of two is asked first is answered first, as by a store on one connection.
    ['a store across a network', () => new RemoteStore(() => 5)],
  ])('with %s', (_what, makeStore) => {
    let verifier: Verifier

    beforeEach(() => {
      verifier = new Verifier({ keys, replay: makeStore() })
    })

    it.each<[string, unknown, string]>([
      ['offsets and no tags', 'first', ''],
      ['offsets and tags of their own', 'first', 'tag'],
      ['offsets and one tag', 'first', 'same'],
      ['neither offsets nor tags', undefined, ''],
      ['tags and no offsets', undefined, 'tag'],
    ])('two consumers with %s, one verifier: each gets all of it', async (_how, offset, tag) => {
      if (offset !== undefined) await send('a', 'b', 'c')
      const consumerTag = (number: number): string => (tag === 'tag' ? `tag-${number}` : tag)
      const first = await read(verifier, offset, { consumerTag: consumerTag(1) })
      if (offset !== undefined) await eventually(() => expect(first.texts()).toEqual(['a', 'b', 'c']))
      const second = await read(verifier, offset, { consumerTag: consumerTag(2) })
      if (offset === undefined) await send('a', 'b', 'c')
      await send('d')
      for (const reader of [first, second]) {
        await eventually(() => expect(reader.texts()).toEqual(['a', 'b', 'c', 'd']))
        expect(reader.codes).toEqual([])
      }
    })

    it('two consumers of one channel: each gets all of it', async () => {
      await send('a', 'b', 'c')
      const connection = wrapConsumer(await at.connection(), verifier)
      const channel = await connection.createChannel()
      await channel.prefetch(10)
      const got: [string[], string[]] = [[], []]
      for (const texts of got) {
        await channel.consume(
          queue,
          (message) => {
            if (message === null) return
            texts.push(message.content.toString())
            channel.ack(message)
          },
          { arguments: { 'x-stream-offset': 'first' } },
        )
      }
      await eventually(() =>
        expect(got).toEqual([
          ['a', 'b', 'c'],
          ['a', 'b', 'c'],
        ]),
      )
    })

    it('a re-read from an offset gets all of it again', async () => {
      await send('a', 'b', 'c')
      const first = await read(verifier, 'first')
      await eventually(() => expect(first.texts()).toEqual(['a', 'b', 'c']))
      await first.channel.close()
      const again = await read(verifier, 1)
      await eventually(() => expect(again.texts()).toEqual(['b', 'c']))
      await again.channel.close()
      const once = await read(verifier, 'first', { consumerTag: 'mine' })
      await eventually(() => expect(once.texts()).toEqual(['a', 'b', 'c']))
    })

    it('goes on after a reconnect from the offset that its reader names', async () => {
      await send('a', 'b', 'c')
      const first = await read(verifier, 'first', { settle: false, prefetch: 10 })
      await eventually(() => expect(first.texts()).toEqual(['a', 'b', 'c']))
      first.channel.ack(first.got[0] as ConsumeMessage)
      // An answer of the broker is behind the acknowledgement.
      await first.channel.checkQueue(queue)
      socketOf(first.connection).destroy(new Error('the connection broke'))
      const next = await read(verifier, 1)
      await send('d')
      await eventually(() => expect(next.texts()).toEqual(['b', 'c', 'd']))
      expect(next.codes).toEqual([])
    })

    it('a copy published again is skipped by each reader, however often it is read', async () => {
      await send('a', 'b')
      await copy()
      await send('c')
      for (let round = 0; round < 2; round++) {
        for (const consumerTag of ['', 'other']) {
          const reader = await read(verifier, 'first', { consumerTag })
          await eventually(() => expect(reader.texts()).toEqual(['a', 'b', 'c']))
          // With a store that answers late, the copy may wait for the first to be written down.
          await eventually(() => expect(reader.codes.filter((code) => code !== 'in-progress')).toEqual(['duplicate']))
          await reader.channel.close()
        }
      }
    })

    it('a copy for those that read on is skipped, too', async () => {
      const readers = [
        await read(verifier),
        await read(verifier, 'next'),
        await read(verifier, 'next', { consumerTag: 'x' }),
      ]
      await send('a')
      for (const reader of readers) await eventually(() => expect(reader.texts()).toEqual(['a']))
      await copy()
      await send('b')
      for (const reader of readers) {
        await eventually(() => expect(reader.texts()).toEqual(['a', 'b']))
        await eventually(() => expect(reader.codes.filter((code) => code !== 'in-progress')).toEqual(['duplicate']))
      }
    })
  })

  it('what is not authorized goes to the dead letters of each reader, once, and holds up nothing', async () => {
    await send('a')
    at.raw.sendToQueue(queue, Buffer.from('forged'))
    await at.raw.waitForConfirms()
    await send('b')
    const verifier = new Verifier({ keys })
    const reader = await read(verifier, 'first')
    await eventually(() => expect(reader.texts()).toEqual(['a', 'b']))
    const [letter] = await at.letters(queue)
    expect(letter?.content.toString()).toBe('forged')
    expect(letter?.properties.headers).toMatchObject({ 'queueauth-reason': 'token-missing', 'queueauth-queue': queue })
    expect(await at.ready(`${queue}.dlq`)).toBe(0)
  })

  it('has no dead-lettering of its own, so what is rejected for it is stored all the same', async () => {
    at.raw.sendToQueue(queue, Buffer.from('forged'))
    await at.raw.waitForConfirms()
    await send('a')
    const letters: DeadLetter[] = []
    const reader = await read(new Verifier({ keys }), 'first', {
      options: {
        onRejected: 'reject',
        deadLetter: async (letter) => {
          letters.push(letter)
        },
      },
    })
    await eventually(() => expect(reader.texts()).toEqual(['a']))
    expect(letters).toHaveLength(1)
  })

  it('a header x-stream-offset on another queue is no position, whoever writes it', async () => {
    const plain = await at.queue()
    const verifier = new Verifier({ keys })
    const token = signer.sign({ destination: `amqp:/${plain}`, payload: Buffer.from('x'), headers: {} })
    const forge = async (): Promise<void> => {
      at.raw.sendToQueue(plain, Buffer.from('x'), { headers: { queueauth: token, 'x-stream-offset': 7 } })
      await at.raw.waitForConfirms()
    }
    const codes: string[] = []
    const connection = wrapConsumer(await at.connection(), verifier, {
      onVerdict: (verdict) => codes.push('code' in verdict ? verdict.code : verdict.outcome),
    })
    const channel = await connection.createChannel()
    const got: unknown[] = []
    await forge()
    await channel.consume(plain, (message) => {
      if (message === null) return
      got.push(message.content.toString())
      channel.ack(message)
    })
    await eventually(() => expect(got).toEqual(['x']))
    await forge()
    await forge()
    await eventually(() => expect(codes).toEqual(['authorized', 'duplicate', 'duplicate']))
    expect(got).toEqual(['x'])
    await channel.close()
    expect(await at.ready(plain)).toBe(0)
  })

  it('is asked about once a consumer, and a cancel in the meantime loses nothing', async () => {
    const plain = await at.queue()
    const verifier = new Verifier({ keys })
    for (let count = 0; count < 20; count++) {
      const content = Buffer.from(String(count))
      const token = signer.sign({ destination: `amqp:/${plain}`, payload: content, headers: {} })
      at.raw.sendToQueue(plain, content, { headers: { queueauth: token, 'x-stream-offset': count } })
    }
    await at.raw.waitForConfirms()
    const connection = wrapConsumer(await at.connection(), verifier)
    const channel = await connection.createChannel()
    const got: string[] = []
    const onMessage = (message: ConsumeMessage | null): void => {
      if (message === null) return
      got.push(message.content.toString())
      channel.ack(message)
    }
    const { consumerTag } = await channel.consume(plain, onMessage)
    await channel.cancel(consumerTag)
    await channel.consume(plain, onMessage)
    const all = Array.from({ length: 20 }, (_, count) => String(count))
    await eventually(() => expect([...got].sort()).toEqual([...all].sort()))
    await channel.close()
    expect(await at.ready(plain)).toBe(0)
  })
})

function socketOf(connection: object): { destroy(error: Error): void } {
  return (connection as { connection: { stream: { destroy(error: Error): void } } }).connection.stream
}
