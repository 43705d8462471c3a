import type { Channel, ConsumeMessage } from 'amqplib'
import { connect as connectWithCallback } from 'amqplib/callback_api'
import { describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { MemoryReplayStore, type ReplayStore, senderOf, Verifier, verdictOf } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { amqplib010, bench, bodies, errorOf, inbox } from './helpers.ts'
import { RemoteStore } from './remote-store.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

describe.skipIf(url === undefined)('consuming from RabbitMQ', () => {
  const at = bench(url)
  const stores: Record<string, () => ReplayStore | undefined> = {
    memory: () => undefined,
    remote: () => new RemoteStore(),
  }

  async function producer(): Promise<(queue: string, ...texts: string[]) => Promise<void>> {
    const channel = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
    return async (queue, ...texts) => {
      for (const text of texts) channel.sendToQueue(queue, Buffer.from(text))
      await channel.waitForConfirms()
    }
  }

  async function consumer(replay?: ReplayStore): Promise<Channel> {
    const verifier = new Verifier({ keys, leaseSeconds: 3_600, ...(replay !== undefined && { replay }) })
    return wrapConsumer(await (await at.connection()).createChannel(), verifier)
  }

  describe.each(Object.entries(stores))('with a %s replay store', (_where, makeStore) => {
    it('null comes when the queue is deleted, behind the messages before it', async () => {
      const queue = await at.queue()
      const send = await producer()
      const channel = await consumer(makeStore())
      const got: (string | null)[] = []
      await send(queue, 'a', 'b', 'c')
      await channel.consume(queue, (message) => {
        got.push(message === null ? null : message.content.toString())
        if (got.length === 1) void at.raw.deleteQueue(queue)
      })
      await eventually(() => expect(got).toContain(null))
      expect(got).toEqual(['a', 'b', 'c', null])
    })

    it.each([
      ['an error', new Error('a bug in the handler')],
      ['a text', 'a bug in the handler'],
      ['a number', 5],
    ])('a callback that throws %s ends the channel as it ends a plain one', async (_what, thrown) => {
      const outcome = async (wrapped: boolean): Promise<unknown> => {
        const queue = await at.queue()
        await (await producer())(queue, 'x')
        const channel = wrapped ? await consumer(makeStore()) : await (await at.connection()).createChannel()
        const failed = errorOf(channel)
        await channel.consume(queue, () => {
          throw thrown
        })
        const error = await failed
        await eventually(async () => expect(await at.ready(queue)).toBe(1))
        return [error.message, error.code, error === thrown]
      }
      expect(await outcome(true)).toEqual(await outcome(false))
    })

    it('a listener for handler-error hears of it instead', async () => {
      const queue = await at.queue()
      await (await producer())(queue, 'x')
      const channel = await consumer(makeStore())
      const bug = new Error('a bug in the handler')
      const heard = new Promise((resolve) => {
        channel.on('handler-error', (error, event) => resolve([error, event]))
      })
      await channel.consume(queue, () => {
        throw bug
      })
      expect(await heard).toEqual([bug, 'delivery'])
      await channel.checkQueue(queue)
    })

    it('deliveries keep their order', async () => {
      const queue = await at.queue()
      const texts = Array.from({ length: 200 }, (_, index) => String(index))
      const send = await producer()
      const got = await inbox(await consumer(makeStore()), queue)
      await send(queue, ...texts)
      await eventually(() => expect(got).toHaveLength(200))
      expect(bodies(got)).toEqual(texts)
    })

    it('a message that was redelivered before its handler was through is handled again', async () => {
      const queue = await at.queue()
      const replay = makeStore() ?? new MemoryReplayStore()
      await (await producer())(queue, 'x')
      const first = await consumer(replay)
      const got: string[] = []
      const failed = errorOf(first)
      await first.consume(queue, () => {
        got.push('first')
        throw new Error('a bug in the handler')
      })
      await failed
      const second = await consumer(replay)
      await second.consume(queue, (message) => {
        got.push('second')
        if (message !== null) second.ack(message)
      })
      // Long before the lease of the first one is over.
      await expect.poll(() => got).toEqual(['first', 'second'])
    })
  })

  it('a rejected promise is an unhandled rejection, and the channel lives on', async () => {
    const queue = await at.queue()
    await (await producer())(queue, 'x')
    const channel = await consumer()
    const others = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    const bug = new Error('a bug in the handler')
    const heard = new Promise((resolve) => {
      process.once('unhandledRejection', resolve)
    })
    await channel.consume(queue, async (message) => {
      if (message !== null) throw bug
    })
    expect(await heard).toBe(bug)
    for (const listener of others) process.on('unhandledRejection', listener)
    await channel.checkQueue(queue)
  })

  it('prefetch bounds what is in hand', async () => {
    const queue = await at.queue()
    await (await producer())(queue, 'a', 'b', 'c')
    const channel = await consumer()
    await channel.prefetch(2)
    const got = await inbox(channel, queue, () => undefined)
    await eventually(() => expect(got).toHaveLength(2))
    expect(await at.ready(queue)).toBe(1)
    channel.ack(got[0] as ConsumeMessage)
    await eventually(() => expect(got).toHaveLength(3))
  })

  it('gives the tag that was asked for, or one of its own, and cancel ends that consumer', async () => {
    const queue = await at.queue()
    const send = await producer()
    const channel = await consumer()
    const got: string[] = []
    const options = Object.freeze({ consumerTag: 'mine' })
    expect(await channel.consume(queue, () => got.push('mine'), options)).toMatchObject({ consumerTag: 'mine' })
    const { consumerTag } = await channel.consume(queue, () => got.push('other'))
    expect(consumerTag).toEqual(expect.any(String))
    expect(await channel.cancel('mine')).toEqual({ consumerTag: 'mine' })
    await send(queue, 'x', 'y')
    await eventually(() => expect(got).toEqual(['other', 'other']))
  })

  it('what races with a cancel is handed over before it resolves, or stays in the queue', async () => {
    const queue = await at.queue()
    const texts = Array.from({ length: 500 }, (_, index) => String(index))
    await (await producer())(queue, ...texts)
    let asked = 0
    const channel = await consumer(new RemoteStore(() => (asked++ < 20 ? 0 : 300)))
    const got: string[] = []
    const consumerTag = `tag-${queue}`
    let cancelling: Promise<unknown> | undefined
    let cancelled = false
    const afterwards: string[] = []
    await channel.consume(
      queue,
      (message) => {
        if (message === null) return
        ;(cancelled ? afterwards : got).push(message.content.toString())
        channel.ack(message)
        if (got.length === 20) {
          cancelling = channel.cancel(consumerTag).then(() => {
            cancelled = true
          })
        }
      },
      { consumerTag },
    )
    await eventually(() => expect(cancelled).toBe(true))
    await cancelling
    await channel.close()
    await eventually(async () => expect((await at.ready(queue)) + got.length).toBe(500))
    expect(afterwards).toEqual([])
  })

  it('a queue that is not there fails as it does in a plain client', async () => {
    const outcome = async (wrapped: boolean): Promise<unknown> => {
      const channel = wrapped ? await consumer() : await (await at.connection()).createChannel()
      const failed = errorOf(channel)
      const rejected = await channel.consume('no-such-queue', () => undefined).catch((error: Error) => error.message)
      return [rejected, (await failed).message]
    }
    expect(await outcome(true)).toEqual(await outcome(false))
  })

  describe('the callback API', () => {
    it("without callbacks a failure is the channel's to tell, as in a plain client", async () => {
      const connection = await new Promise<import('amqplib/callback_api').Connection>((resolve, reject) => {
        connectWithCallback(url, (error, made) => (error ? reject(error) : resolve(made)))
      })
      connection.on('error', () => undefined)
      const channel = await new Promise<import('amqplib/callback_api').Channel>((resolve, reject) => {
        wrapConsumer(connection, new Verifier({ keys })).createChannel((error, made) =>
          error ? reject(error) : resolve(made),
        )
      })
      const failed = new Promise((resolve) => {
        channel.once('error', resolve)
      })
      expect(channel.consume('no-such-queue', () => undefined)).toBe(channel)
      expect(await failed).toMatchObject({ code: 404 })
      expect(() => channel.consume('', () => undefined)).toThrow(
        expect.objectContaining({ code: 'destination-invalid' }),
      )
      expect(() => channel.consume('x', () => undefined)).toThrow('Channel closed')
      await new Promise((resolve) => {
        connection.close(resolve)
      })
    })

    it('get, cancel, recover and close call back', async () => {
      const queue = await at.queue()
      await (await producer())(queue, 'x')
      const connection = await new Promise<import('amqplib/callback_api').Connection>((resolve, reject) => {
        connectWithCallback(url, (error, made) => (error ? reject(error) : resolve(made)))
      })
      const channel = wrapConsumer(connection, new Verifier({ keys })).createChannel(() => undefined)
      const answer = <Result>(
        call: (callback: (error: unknown, result?: Result) => void) => unknown,
      ): Promise<Result | undefined> =>
        new Promise((resolve, reject) => {
          call((error, result) => (error ? reject(error) : resolve(result)))
        })
      const message = await answer((callback) => channel.get(queue, {}, callback as never))
      expect(senderOf(message as object)?.service).toBe('checkout')
      expect(channel.nack(message as never)).toBe(channel)
      const tag = { consumerTag: 'mine' }
      expect(await answer((callback) => channel.consume(queue, () => undefined, tag, callback))).toEqual(tag)
      expect(await answer((callback) => channel.cancel('mine', callback))).toEqual(tag)
      await answer((callback) => channel.recover(callback))
      await answer((callback) => channel.close(callback))
      await answer((callback) => connection.close(callback))
      await eventually(async () => expect(await at.ready(queue)).toBe(1))
    })
  })

  it('observe hands on everything as it is, and says what it thinks of it', async () => {
    const queue = await at.queue()
    const verifier = new Verifier({ keys, rollout: 'observe' })
    const channel = wrapConsumer(await (await at.connection()).createChannel(), verifier)
    const got = await inbox(channel, queue)
    at.raw.sendToQueue(queue, Buffer.from('unsigned'), { priority: 3, headers: { tenant: 'a' } })
    await eventually(() => expect(got).toHaveLength(1))
    const [message] = got as [ConsumeMessage]
    expect(message.properties).toMatchObject({ priority: 3, headers: { tenant: 'a' } })
    expect(verdictOf(message)).toMatchObject({ outcome: 'rejected', code: 'token-missing' })
    expect(senderOf(message)).toBeUndefined()
  })

  it('amqplib 0.10: a callback that throws after a wait ends the channel', async () => {
    const queue = await at.queue()
    await (await producer())(queue, 'x')
    const connection = await amqplib010.connect(url)
    connection.on('error', () => undefined)
    const channel = wrapConsumer(await connection.createChannel(), new Verifier({ keys, replay: new RemoteStore() }))
    const failed = errorOf(channel)
    const bug = new Error('a bug in the handler')
    await channel.consume(queue, () => {
      throw bug
    })
    expect(await failed).toBe(bug)
    await connection.close()
  })
})
