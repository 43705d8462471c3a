import { setTimeout as sleep } from 'node:timers/promises'
import { connect as manage } from 'amqp-connection-manager'
import { type Channel, type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib'
import {
  type Channel as CallbackChannel,
  type Message as CallbackMessage,
  connect as connectCallback,
} from 'amqplib/callback_api'
import { beforeAll, beforeEach, describe, expect, inject, it, onTestFinished } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { MemoryReplayStore, type ReplayStore, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies, inbox } from './helpers.ts'
import { RemoteStore } from './remote-store.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

/** What the tests of this file would have to wait for if a lease were left to run out. */
const LEASE_SECONDS = 3_600

/** Counts what it was asked to write down. */
class CountingStore implements ReplayStore {
  commits = 0
  readonly #store: ReplayStore
  constructor(store: ReplayStore) {
    this.#store = store
  }
  begin: ReplayStore['begin'] = (claim) => this.#store.begin(claim)
  commit: ReplayStore['commit'] = (claim, retentionSeconds) => {
    this.commits++
    return this.#store.commit(claim, retentionSeconds)
  }
  release: ReplayStore['release'] = (claim) => this.#store.release(claim)
  renew: ReplayStore['renew'] = (claim) => this.#store.renew(claim)
}

const STORES: readonly [string, () => ReplayStore][] = [
  ['a store in memory', () => new MemoryReplayStore()],
  ['a store across a network', () => new RemoteStore()],
]

type Settle = (channel: Channel, messages: readonly [ConsumeMessage, ConsumeMessage]) => unknown

const VERBS: readonly [string, Settle][] = [
  ['ack', (channel, [first]) => channel.ack(first)],
  ['ack of a spread copy', (channel, [first]) => channel.ack({ ...first })],
  ['ack allUpTo', (channel, [, second]) => channel.ack(second, true)],
  ['ackAll', (channel) => channel.ackAll()],
  ['nack', (channel, [first]) => channel.nack(first)],
  ['nack without requeue', (channel, [first]) => channel.nack(first, false, false)],
  ['nackAll', (channel) => channel.nackAll()],
  ['reject', (channel, [first]) => channel.reject(first, false)],
]

function socketOf(connection: object): { destroy(error: Error): void } {
  return (connection as { connection: { stream: { destroy(error: Error): void } } }).connection.stream
}

/** Ways that a channel ends under the messages it delivered, and what is awaited before it counts as ended. */
const ENDINGS: readonly [string, (connection: ChannelModel, channel: Channel) => Promise<void>][] = [
  ['the user closes it', async (_connection, channel) => channel.close()],
  ['the user closes its connection', async (connection) => connection.close()],
  [
    'the broker closes it',
    async (_connection, channel) => {
      const closed = new Promise((resolve) => channel.once('close', resolve))
      channel.on('error', () => undefined)
      channel.checkQueue('there-is-no-such-queue').catch(() => undefined)
      await closed
    },
  ],
  [
    'its connection breaks',
    async (connection, channel) => {
      const closed = new Promise((resolve) => channel.once('close', resolve))
      socketOf(connection).destroy(new Error('the connection broke'))
      await closed
    },
  ],
]

describe.skipIf(url === undefined)('a channel that is gone', () => {
  const at = bench(url)
  let producer: ConfirmChannel
  let queue: string

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  beforeEach(async () => {
    queue = await at.queue()
    for (const text of ['a', 'b']) producer.sendToQueue(queue, Buffer.from(text))
    await producer.waitForConfirms()
  })

  async function delivered(connection: ChannelModel): Promise<[Channel, [ConsumeMessage, ConsumeMessage]]> {
    const channel = await connection.createChannel()
    const got: ConsumeMessage[] = []
    await channel.consume(queue, (message) => message && got.push(message))
    await eventually(() => expect(bodies(got)).toEqual(['a', 'b']))
    return [channel, got as [ConsumeMessage, ConsumeMessage]]
  }

  describe.each(STORES)('with %s', (_store, makeStore) => {
    describe.each(ENDINGS)('when %s', (_ending, end) => {
      it.each(VERBS)(
        '%s throws, commits nothing, and the messages are handled at once by the next',
        async (_verb, settle) => {
          const replay = new CountingStore(makeStore())
          const verifier = new Verifier({ keys, replay, leaseSeconds: LEASE_SECONDS })
          const connection = wrapConsumer(await at.connection(), verifier)
          const [channel, messages] = await delivered(connection)
          await end(connection, channel)
          expect(() => settle(channel, messages)).toThrow(expect.objectContaining({ name: 'IllegalOperationError' }))
          expect(replay.commits).toBe(0)
          const next = wrapConsumer(await (await at.connection()).createChannel(), verifier)
          const again = await inbox(next, queue)
          await eventually(() => expect(bodies(again).sort()).toEqual(['a', 'b']))
          await next.close()
          expect(await at.ready(queue)).toBe(0)
        },
      )
    })

    it('ack while it is closing throws and commits nothing', async () => {
      const replay = new CountingStore(makeStore())
      const connection = wrapConsumer(
        await at.connection(),
        new Verifier({ keys, replay, leaseSeconds: LEASE_SECONDS }),
      )
      const [channel, [first]] = await delivered(connection)
      // What the broker has not answered yet: the channel is closing, and not closed.
      ;(channel as unknown as { closeBecause(reason: string, code: number): void }).closeBecause('enough', 200)
      expect(() => channel.ack(first)).toThrow(expect.objectContaining({ name: 'IllegalOperationError' }))
      expect(replay.commits).toBe(0)
    })

    it('in the callback API too', async () => {
      const replay = new CountingStore(makeStore())
      const verifier = new Verifier({ keys, replay, leaseSeconds: LEASE_SECONDS })
      const got: CallbackMessage[] = []
      const channel = await new Promise<CallbackChannel>((resolve, reject) => {
        connectCallback(url, (error, made) => {
          if (error) return reject(error)
          onTestFinished(() => made.close())
          wrapConsumer(made, verifier).createChannel((failed, opened) => (failed ? reject(failed) : resolve(opened)))
        })
      })
      channel.consume(queue, (message) => message && got.push(message))
      await eventually(() => expect(got).toHaveLength(2))
      await new Promise<void>((resolve) => {
        channel.close(() => resolve())
      })
      for (const settle of [
        () => channel.ack(got[0] as CallbackMessage),
        () => channel.ackAll(),
        () => channel.nack(got[1] as CallbackMessage),
      ]) {
        expect(settle).toThrow(expect.objectContaining({ name: 'IllegalOperationError' }))
      }
      expect(replay.commits).toBe(0)
      const again = await inbox(wrapConsumer(await (await at.connection()).createChannel(), verifier), queue)
      await eventually(() => expect(bodies(again).sort()).toEqual(['a', 'b']))
    })
  })

  it('what get took comes again at once, too', async () => {
    const verifier = new Verifier({ keys, leaseSeconds: LEASE_SECONDS })
    const connection = wrapConsumer(await at.connection(), verifier)
    const channel = await connection.createChannel()
    expect(await channel.get(queue)).toMatchObject({ content: Buffer.from('a') })
    await channel.close()
    const again = await inbox(await connection.createChannel(), queue)
    await eventually(() => expect(bodies(again).sort()).toEqual(['a', 'b']))
  })

  it('a recovering connection handles what was in flight again at once', async () => {
    const got: string[] = []
    let current: ChannelModel | undefined
    const recovering = await connect(url, {
      recovery: {
        initialDelay: 20,
        waitForConnect: false,
        setup: async (model: ChannelModel) => {
          current = model
          const channel = await model.createChannel()
          // The first two are never settled.
          await channel.consume(queue, (message) => {
            if (message !== null && got.push(message.content.toString()) > 2) channel.ack(message)
          })
        },
      },
    })
    onTestFinished(() => recovering.close())
    recovering.on('error', () => undefined)
    wrapConsumer(recovering, new Verifier({ keys, leaseSeconds: LEASE_SECONDS }))
    await recovering.waitForConnect()
    await eventually(() => expect(got).toEqual(['a', 'b']))
    socketOf(current as ChannelModel).destroy(new Error('the connection broke'))
    await eventually(() => expect(got.slice(2).sort()).toEqual(['a', 'b']))
  })

  it('a ChannelWrapper of amqp-connection-manager handles what was in flight again at once', async () => {
    const manager = manage([url], { reconnectTimeInSeconds: 0.1 } as object)
    onTestFinished(() => manager.close())
    wrapConsumer(manager as never, new Verifier({ keys, leaseSeconds: LEASE_SECONDS }))
    const got: string[] = []
    const outlasting = manager.createChannel({
      setup: async (channel: Channel) => {
        await channel.consume(queue, (message) => {
          if (message !== null && got.push(message.content.toString()) > 2) channel.ack(message)
        })
      },
    })
    await outlasting.waitForConnect()
    await eventually(() => expect(got).toEqual(['a', 'b']))
    socketOf(manager.connection as object).destroy(new Error('the connection broke'))
    await eventually(() => expect(got.slice(2).sort()).toEqual(['a', 'b']))
  })

  it('what was acknowledged in time stays handled, although the store answers only afterwards', async () => {
    const verdicts: string[] = []
    const replay = new RemoteStore(() => 50)
    const verifier = new Verifier({ keys, replay, leaseSeconds: LEASE_SECONDS })
    const connection = wrapConsumer(await at.connection(), verifier)
    const [channel, [first, second]] = await delivered(connection)
    channel.ack(first)
    channel.ack(second)
    socketOf(connection).destroy(new Error('the connection broke'))
    await sleep(1)
    const next = wrapConsumer(await (await at.connection()).createChannel(), verifier, {
      onVerdict: ({ outcome }) => verdicts.push(outcome),
    })
    await inbox(next, queue)
    await eventually(() => expect(verdicts.filter((outcome) => outcome === 'skipped')).toHaveLength(2))
    expect(verdicts).not.toContain('authorized')
    await next.close()
    expect(await at.ready(queue)).toBe(0)
  })
})
