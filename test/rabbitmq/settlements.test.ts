import type { Channel, ConsumeMessage } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { type RabbitmqConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { type ReplayStore, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies, errorOf, inbox } from './helpers.ts'
import { RemoteStore } from './remote-store.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

const idle = (): void => undefined

describe.skipIf(url === undefined)('settling messages on RabbitMQ', () => {
  const at = bench(url)

  async function fill(queue: string, ...texts: string[]): Promise<void> {
    const channel = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
    for (const text of texts) {
      if (text.startsWith('forged')) at.raw.sendToQueue(queue, Buffer.from(text))
      else channel.sendToQueue(queue, Buffer.from(text))
      await at.raw.waitForConfirms()
      await channel.waitForConfirms()
    }
  }

  async function open(
    options?: RabbitmqConsumerOptions,
    replay?: ReplayStore,
    watch: (channel: Channel) => void = idle,
  ): Promise<Channel> {
    const verifier = new Verifier({ keys, ...(replay !== undefined && { replay }) })
    const channel = await (await at.connection()).createChannel()
    watch(channel)
    return wrapConsumer(channel, verifier, options)
  }

  it.each<[string, (message: ConsumeMessage) => object]>([
    ['a spread copy', (message) => ({ ...message })],
    ['a deep copy', (message) => structuredClone({ fields: message.fields })],
  ])('%s of a message settles it', async (_what, copy) => {
    const queue = await at.queue()
    await fill(queue, 'x')
    const channel = await open()
    const got = await inbox(channel, queue, (message) => channel.ack(copy(message) as ConsumeMessage))
    await eventually(() => expect(got).toHaveLength(1))
    await channel.close()
    expect(await at.ready(queue)).toBe(0)
  })

  describe.each<[string, () => ReplayStore | undefined]>([
    ['memory', () => undefined],
    ['remote', () => new RemoteStore()],
  ])('with a %s replay store', (_where, makeStore) => {
    it.each<[string, (channel: Channel, last: ConsumeMessage) => void, number]>([
      ['ack allUpTo', (channel, last) => channel.ack(last, true), 0],
      [
        'ack allUpTo of tag 0',
        (channel, last) => channel.ack({ ...last, fields: { ...last.fields, deliveryTag: 0 } }, true),
        0,
      ],
      ['ackAll', (channel) => channel.ackAll(), 0],
      ['nack allUpTo', (channel, last) => channel.nack(last, true), 2],
      ['nack allUpTo without requeue', (channel, last) => channel.nack(last, true, false), 0],
      ['nackAll', (channel) => channel.nackAll(), 2],
    ])('%s settles what was handed over, not what waits for its dead letter', async (_what, settle, left) => {
      const queue = await at.queue()
      await fill(queue, 'a', 'forged', 'b')
      let store: () => void = idle
      const deadLetter = (): Promise<void> =>
        new Promise((resolve) => {
          store = resolve
        })
      const sent: string[] = []
      const channel = await open({ deadLetter }, makeStore(), (plain) => recordSettlements(plain, sent))
      const got = await inbox(channel, queue, idle)
      await eventually(() => expect(bodies(got)).toEqual(['a', 'b']))
      await eventually(() => expect(store).not.toBe(idle))
      await channel.cancel(got[0]?.fields.consumerTag as string)
      settle(channel, got[1] as ConsumeMessage)
      await eventually(() => expect(sent.sort()).toEqual(['a', 'b']))
      // The forged one is not among them: it comes back when the channel is gone, and only then.
      await channel.checkQueue(queue)
      expect(await at.ready(queue)).toBe(left)
      expect(sent).toHaveLength(2)
      endConnection(channel)
      await eventually(async () => expect(await at.ready(queue)).toBe(left + 1))
    })

    it('the dead letter that waited is settled in the end', async () => {
      const queue = await at.queue()
      await fill(queue, 'forged', 'a')
      let store: () => void = idle
      const deadLetter = (): Promise<void> =>
        new Promise((resolve) => {
          store = resolve
        })
      const channel = await open({ deadLetter }, makeStore())
      const got = await inbox(channel, queue, () => channel.ackAll())
      await eventually(() => expect(got).toHaveLength(1))
      await eventually(() => expect(store).not.toBe(idle))
      store()
      await channel.close()
      expect(await at.ready(queue)).toBe(0)
    })

    it.each<[string, (channel: Channel, message: ConsumeMessage) => void]>([
      ['ack', (channel, message) => channel.ack(message)],
      ['reject', (channel, message) => channel.reject(message)],
      ['ack allUpTo', (channel, message) => channel.ack(message, true)],
    ])('%s a second time is what it is on the plain client', async (_what, settle) => {
      const outcome = async (wrapped: boolean): Promise<unknown> => {
        const queue = await at.queue()
        await fill(queue, 'x')
        const channel = wrapped ? await open({}, makeStore()) : await (await at.connection()).createChannel()
        const failed = errorOf(channel)
        await channel.consume(queue, (message) => {
          if (message === null) return
          channel.ack(message)
          settle(channel, message)
        })
        const error = await failed
        return [error.message, error.code]
      }
      expect(await outcome(true)).toEqual(await outcome(false))
    })

    it('recover brings back what is in hand, to be handled again', async () => {
      const queue = await at.queue()
      await fill(queue, 'a', 'b')
      const channel = await open({}, makeStore())
      const got: string[] = []
      await inbox(channel, queue, (message) => {
        got.push(`${message.content}${message.fields.redelivered ? ' again' : ''}`)
        if (message.fields.redelivered) channel.ack(message)
        else if (got.length === 2) void channel.recover()
      })
      await eventually(() => expect(got).toEqual(['a', 'b', 'a again', 'b again']))
      await channel.close()
      expect(await at.ready(queue)).toBe(0)
    })
  })

  it('a message that was never handed over cannot be settled by its tag', async () => {
    const queue = await at.queue()
    await fill(queue, 'forged', 'a')
    const stored: unknown[] = []
    const channel = await open({ deadLetter: (letter) => new Promise(() => stored.push(letter)) })
    const failed = errorOf(channel)
    const got = await inbox(channel, queue, idle)
    await eventually(() => expect([got.length, stored.length]).toEqual([1, 1]))
    const [message] = got as [ConsumeMessage]
    channel.ack({ ...message, fields: { ...message.fields, deliveryTag: message.fields.deliveryTag - 1 } })
    // To its user there is no such message, so the answer is that to any unknown tag.
    expect(await failed).toMatchObject({ code: 406 })
    await eventually(async () => expect(await at.ready(queue)).toBe(2))
  })

  it('nack and reject put a message back, and it is handled again', async () => {
    const queue = await at.queue()
    await fill(queue, 'x')
    const channel = await open()
    const times: number[] = []
    await inbox(channel, queue, (message) => {
      times.push(message.fields.deliveryTag)
      if (times.length === 1) channel.nack(message)
      else if (times.length === 2) channel.reject(message, true)
      else channel.ack(message)
    })
    await eventually(() => expect(times).toHaveLength(3))
    await channel.close()
    expect(await at.ready(queue)).toBe(0)
  })

  describe('closing', () => {
    it.each(['channel', 'connection'] as const)(
      'the %s waits for dead letters and commits under way',
      async (which) => {
        const queue = await at.queue()
        await fill(queue, 'forged', 'a')
        const connection = wrapConsumer(
          await at.connection(),
          new Verifier({ keys, replay: new RemoteStore(() => 100) }),
        )
        const channel = await connection.createChannel()
        const got = await inbox(channel, queue)
        await eventually(() => expect(got).toHaveLength(1))
        await (which === 'channel' ? channel : connection).close()
        expect(await at.ready(queue)).toBe(0)
        expect(bodies(await at.letters(queue))).toEqual(['forged'])
      },
    )

    it('the connection does not overtake acknowledgements', async () => {
      const queue = await at.queue()
      const texts = Array.from({ length: 100 }, (_, index) => String(index))
      await fill(queue, ...texts)
      const connection = wrapConsumer(await at.connection(), new Verifier({ keys }))
      const channel = await connection.createChannel()
      let left = texts.length
      let closing: Promise<void> | undefined
      await channel.consume(queue, (message) => {
        if (message === null) return
        channel.ack(message)
        if (--left === 0) closing = connection.close()
      })
      await eventually(() => expect(left).toBe(0))
      await closing
      expect(await at.ready(queue)).toBe(0)
    })

    it('does not wait for ever: what is not through by then comes again', async () => {
      const queue = await at.queue()
      await fill(queue, 'forged')
      const stored: unknown[] = []
      const channel = await open({ deadLetter: (letter) => new Promise(() => stored.push(letter)) })
      await channel.consume(queue, idle)
      await eventually(() => expect(stored).toHaveLength(1))
      await channel.close()
      await eventually(async () => expect(await at.ready(queue)).toBe(1))
    })

    it('gives back what is held, at once', async () => {
      const queue = await at.queue()
      await fill(queue, 'a', 'b')
      const replay = new RemoteStore()
      replay.reachable = false
      const verdicts: unknown[] = []
      const channel = await open({ onVerdict: (verdict) => verdicts.push(verdict.outcome) }, replay)
      const got = await inbox(channel, queue)
      await eventually(() => expect(verdicts).toEqual(['deferred', 'deferred']))
      await channel.close()
      await eventually(async () => expect(await at.ready(queue)).toBe(2))
      expect(got).toEqual([])
    })

    it('a second close fails as it does on the plain client', async () => {
      const outcome = async (wrapped: boolean): Promise<unknown> => {
        const channel = wrapped ? await open() : await (await at.connection()).createChannel()
        const closing = channel.close()
        const again = await (async () => channel.close())().catch((error: Error) => error.message)
        await closing
        return again
      }
      expect(await outcome(true)).toEqual(await outcome(false))
    })
  })
})

/** Ends the connection below a channel, as a network does. */
function endConnection(channel: Channel): void {
  const { stream } = channel.connection as unknown as { stream: { destroy(error: Error): void } }
  stream.destroy(new Error('the connection broke'))
}

/** What the wrapper, which is still to come, tells the broker to settle. */
function recordSettlements(channel: Channel, sent: string[]): void {
  for (const verb of ['ack', 'nack', 'reject'] as const) {
    const original = channel[verb].bind(channel) as (...args: unknown[]) => void
    channel[verb] = (message: { content: Buffer }, ...rest: unknown[]): void => {
      sent.push(message.content.toString())
      original(message, ...rest)
    }
  }
  for (const verb of ['ackAll', 'nackAll'] as const) {
    channel[verb] = () => {
      throw new Error(`${verb} must not reach the broker`)
    }
  }
}
