import { connect as connectManager } from 'amqp-connection-manager'
import { type Channel, type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib'
import { type Connection, connect as connectWithCallback } from 'amqplib/callback_api'
import { afterEach, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { type Signer, senderOf, type Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import {
  amqplib1,
  amqplib1Callbacks,
  amqplib010,
  amqplib010Callbacks,
  amqplib0100,
  amqplib0100Callbacks,
  bench,
  bodies,
  longFrames,
} from './helpers.ts'

const url = inject('amqpUrl') as string
const keys = testKeys('checkout')
const closers: (() => unknown)[] = []

type OnMessage = (message: ConsumeMessage, acknowledge: () => void) => void

/** A client that sends and one that receives, wrapped in one of the many ways. */
interface Pair {
  send(queue: string, body: string): unknown
  receive(queue: string, onMessage: OnMessage): Promise<unknown>
}

function closing<Client extends { close(): unknown; on(event: string, listener: () => void): unknown }>(
  client: Client,
): Client {
  client.on('error', () => undefined)
  closers.push(() => client.close())
  return client
}

function promises(
  library: typeof import('amqplib'),
  create: 'createChannel' | 'createConfirmChannel',
  lone: boolean,
  address: string = url,
) {
  return async (signer: Signer, verifier: Verifier): Promise<Pair> => {
    const [a, b] = [closing(await library.connect(address)), closing(await library.connect(address))]
    const producer = lone ? wrapProducer(await a[create](), signer) : await wrapProducer(a, signer)[create]()
    const consumer = lone ? wrapConsumer(await b[create](), verifier) : await wrapConsumer(b, verifier)[create]()
    return {
      send: (queue, body) => producer.sendToQueue(queue, Buffer.from(body)),
      receive: (queue, onMessage) => consumer.consume(queue, pass(consumer, onMessage)),
    }
  }
}

function callbacks(
  library: typeof import('amqplib/callback_api'),
  create: 'createChannel' | 'createConfirmChannel',
  lone: boolean,
  address: string = url,
) {
  const open = (): Promise<Connection> =>
    new Promise((resolve, reject) => {
      library.connect(address, (error, made) => (error ? reject(error) : resolve(closing(made))))
    })
  const channelOf = (connection: Connection): Promise<import('amqplib/callback_api').ConfirmChannel> =>
    new Promise((resolve, reject) => {
      connection[create]((error: unknown, channel: unknown) => (error ? reject(error) : resolve(channel as never)))
    })
  return async (signer: Signer, verifier: Verifier): Promise<Pair> => {
    const [a, b] = [await open(), await open()]
    const producer = lone ? wrapProducer(await channelOf(a), signer) : await channelOf(wrapProducer(a, signer))
    const consumer = lone ? wrapConsumer(await channelOf(b), verifier) : await channelOf(wrapConsumer(b, verifier))
    return {
      send: (queue, body) => producer.sendToQueue(queue, Buffer.from(body)),
      receive: (queue, onMessage) =>
        new Promise((resolve, reject) => {
          const done = (error: unknown, ok: unknown): void => (error ? reject(error) : resolve(ok))
          // Its methods can be chained.
          expect(consumer.consume(queue, pass(consumer, onMessage), {}, done)).toBe(consumer)
        }),
    }
  }
}

function pass(channel: { ack(message: ConsumeMessage): unknown }, onMessage: OnMessage) {
  return (message: ConsumeMessage | null): void => {
    if (message !== null) onMessage(message, () => channel.ack(message))
  }
}

/** Every way there is to get a channel: `wrap` by connection or by the channel itself. */
const CLIENTS: Record<string, (signer: Signer, verifier: Verifier) => Promise<Pair>> = {}
for (const lone of [false, true]) {
  for (const create of ['createChannel', 'createConfirmChannel'] as const) {
    const what = `${create}, wrapped ${lone ? 'by itself' : 'by its connection'}`
    CLIENTS[`amqplib 2: ${what}`] = promises({ connect } as typeof import('amqplib'), create, lone)
    CLIENTS[`amqplib 2, callbacks: ${what}`] = callbacks({ connect: connectWithCallback } as never, create, lone)
    CLIENTS[`amqplib 0.10: ${what}`] = promises(amqplib010, create, lone)
    CLIENTS[`amqplib 0.10, callbacks: ${what}`] = callbacks(amqplib010Callbacks, create, lone)
    CLIENTS[`amqplib 0.10.0: ${what}`] = promises(amqplib0100, create, lone, longFrames(url))
    CLIENTS[`amqplib 0.10.0, callbacks: ${what}`] = callbacks(amqplib0100Callbacks, create, lone, longFrames(url))
    CLIENTS[`amqplib 1: ${what}`] = promises(amqplib1, create, lone)
    CLIENTS[`amqplib 1, callbacks: ${what}`] = callbacks(amqplib1Callbacks, create, lone)
  }
}

for (const lone of [false, true]) {
  CLIENTS[`amqp-connection-manager: ${lone ? 'a channel' : 'the manager'}`] = async (signer, verifier) => {
    const [a, b] = [closing(connectManager([url])), closing(connectManager([url]))]
    // Before there is a connection: what is published waits in a queue of the manager's own.
    const producer = lone ? wrapProducer(a.createChannel(), signer) : wrapProducer(a, signer).createChannel()
    const consumer = lone ? wrapConsumer(b.createChannel(), verifier) : wrapConsumer(b, verifier).createChannel()
    return {
      send: (queue, body) => producer.sendToQueue(queue, Buffer.from(body)),
      receive: async (queue, onMessage) => {
        await consumer.waitForConnect()
        await consumer.consume(queue, pass(consumer, onMessage))
      },
    }
  }
}

describe.skipIf(url === undefined)('every client there is', () => {
  const at = bench(url)

  afterEach(async () => {
    for (const close of closers.splice(0)) await Promise.resolve(close()).catch(() => undefined)
  })

  it.each(Object.entries(CLIENTS))('%s: signs, hands on, dead-letters', async (_what, open) => {
    const queue = await at.queue()
    const { send, receive } = await open(keys.signer, keys.verifier)
    const got: ConsumeMessage[] = []
    await send(queue, 'signed')
    at.raw.sendToQueue(queue, Buffer.from('forged'))
    await receive(queue, (message, acknowledge) => {
      got.push(message)
      acknowledge()
    })
    expect(bodies(await at.letters(queue))).toEqual(['forged'])
    await eventually(() => expect(bodies(got)).toEqual(['signed']))
    expect(senderOf(got[0] as ConsumeMessage)?.service).toBe('checkout')
    await eventually(async () => expect(await at.ready(queue)).toBe(0))
  })

  it('publish callbacks and waitForConfirms of a confirm channel work', async () => {
    const queue = await at.queue()
    const channel = await wrapProducer(await at.connection(), keys.signer).createConfirmChannel()
    const confirmed = new Promise((resolve) => {
      expect(channel.sendToQueue(queue, Buffer.from('a'), {}, resolve)).toBe(true)
    })
    expect(await confirmed).toBeNull()
    channel.publish('', queue, Buffer.from('b'))
    await channel.waitForConfirms()
    expect(await at.ready(queue)).toBe(2)
  })

  describe('a connection that is closed by the broker comes back covered', () => {
    async function severed(connection: ChannelModel | undefined): Promise<void> {
      const { stream } = (connection as ChannelModel).connection as unknown as {
        stream: { destroy(error: Error): void }
      }
      stream.destroy(new Error('the connection broke'))
    }

    it.each([
      ['wrapped at once', true],
      ['wrapped when it was connected', false],
    ])('amqplib with recovery, %s', async (_when, early) => {
      const queue = await at.queue()
      const got: string[] = []
      const consuming = async (channel: Channel): Promise<void> => {
        await channel.consume(queue, (message) => {
          if (message === null) return
          got.push(message.content.toString())
          channel.ack(message)
        })
      }
      let current: ChannelModel | undefined
      let connects = 0
      const client = await connect(url, {
        recovery: {
          initialDelay: 10,
          waitForConnect: !early,
          setup: async (model: ChannelModel) => {
            current = model
            if (early || connects > 0) await consuming(await model.createChannel())
          },
        },
      })
      closing(client)
      client.on('connect', async (model: ChannelModel) => {
        // The event hands out the raw connection, too.
        const channel = await model.createConfirmChannel()
        channel.sendToQueue(queue, Buffer.from(`signed ${connects++}`))
        await channel.waitForConfirms()
      })
      wrapProducer(wrapConsumer(client, keys.verifier), keys.signer)
      if (!early) {
        connects = 1
        const channel = await client.createChannel()
        await consuming(channel)
        channel.sendToQueue(queue, Buffer.from('signed 0'))
      }
      await eventually(() => expect(got).toContain('signed 0'))
      await severed(current)
      await eventually(() => expect(got).toContain('signed 1'))
      at.raw.sendToQueue(queue, Buffer.from('forged'))
      expect(bodies(await at.letters(queue))).toEqual(['forged'])
      expect(got).toEqual(['signed 0', 'signed 1'])
    })

    it('a recovering connection wrapped while its first raw one is being opened is covered', async () => {
      const queue = await at.queue()
      let opened: (model: ChannelModel) => void = () => undefined
      const settingUp = new Promise<ChannelModel>((resolve) => {
        opened = resolve
      })
      let go: () => void = () => undefined
      const setup = (model: ChannelModel): Promise<void> => {
        opened(model)
        return new Promise((resolve) => {
          go = resolve
        })
      }
      const client = closing(await connect(url, { recovery: { waitForConnect: false, setup } }))
      await settingUp
      wrapProducer(client, keys.signer)
      go()
      const channel = await client.createConfirmChannel()
      channel.sendToQueue(queue, Buffer.from('x'))
      await channel.waitForConfirms()
      const message = await at.take(queue)
      expect(message.properties.headers?.queueauth).toEqual(expect.any(String))
    })

    it.each([
      ['the manager', false],
      ['one of its channels', true],
    ])('amqp-connection-manager: %s, with setup functions from before', async (_which, lone) => {
      const queue = await at.queue()
      const got: string[] = []
      const manager = closing(connectManager([url], { reconnectTimeInSeconds: 0.05, heartbeatIntervalInSeconds: 0 }))
      const wrapper = manager.createChannel({
        setup: async (channel: ConfirmChannel) => {
          await channel.consume(queue, (message) => {
            if (message === null) return
            got.push(message.content.toString())
            channel.ack(message)
          })
        },
      })
      closing(wrapper)
      if (lone) wrapProducer(wrapConsumer(wrapper, keys.verifier), keys.signer)
      else wrapProducer(wrapConsumer(manager, keys.verifier), keys.signer)
      // Published before there is a connection.
      await wrapper.sendToQueue(queue, Buffer.from('signed 0'))
      await eventually(() => expect(got).toEqual(['signed 0']))
      const reconnected = new Promise((resolve) => {
        wrapper.once('connect', () => resolve(undefined))
      })
      const disconnected = new Promise((resolve) => {
        manager.once('disconnect', resolve)
      })
      await severed(manager.connection as ChannelModel)
      await disconnected
      const waiting = wrapper.sendToQueue(queue, Buffer.from('signed 1'))
      await reconnected
      await waiting
      await eventually(() => expect(got).toContain('signed 1'))
      at.raw.sendToQueue(queue, Buffer.from('forged'))
      expect(bodies(await at.letters(queue))).toEqual(['forged'])
      expect(got).toEqual(['signed 0', 'signed 1'])
    })
  })

  it('channels that were open before their connection was wrapped are covered', async () => {
    const queue = uniqueName('early')
    const connection = await at.connection()
    const channel = await connection.createChannel()
    await channel.assertQueue(queue)
    wrapProducer(wrapConsumer(connection, keys.verifier), keys.signer)
    channel.sendToQueue(queue, Buffer.from('signed'))
    at.raw.sendToQueue(queue, Buffer.from('forged'))
    await eventually(async () => expect(await at.ready(queue)).toBe(2))
    const message = await channel.get(queue)
    expect(message && senderOf(message)?.service).toBe('checkout')
    expect(await channel.get(queue)).toBe(false)
    expect(bodies(await at.letters(queue))).toEqual(['forged'])
  })
})
