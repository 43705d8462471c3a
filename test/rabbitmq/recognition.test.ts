import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import { connect as connectManager } from 'amqp-connection-manager'
import { connect } from 'amqplib'
import { connect as connectWithCallback } from 'amqplib/callback_api'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { Connection as RabbitmqClient } from 'rabbitmq-client'
import { createClient } from 'redis'
import { describe, expect, inject, it } from 'vitest'
import { isWrapped, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { testKeys } from '../../src/testing.ts'
import { amqplib1, amqplib010, amqplib0100, bench, longFrames } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, verifier } = testKeys('checkout')
const require = createRequire(import.meta.url)

const CHANNEL_METHODS = [
  'publish',
  'consume',
  'ack',
  'nack',
  'cancel',
  'get',
  'assertQueue',
  'sendToQueue',
  'close',
  'on',
]
const CONNECTION_METHODS = ['createChannel', 'createConfirmChannel', 'close', 'on', 'waitForConnect', 'isConnected']

function shaped(methods: readonly string[], more: object = {}): object {
  return { ...Object.fromEntries(methods.map((name) => [name, () => undefined])), ...more }
}

/** Whatever is given instead of a client of RabbitMQ. */
const STRANGERS: Record<string, () => unknown> = {
  nothing: () => undefined,
  null: () => null,
  'a text': () => 'amqp://localhost',
  'a number': () => 5,
  'a function': () => connect,
  'a promise of a client': () => Promise.resolve(shaped(CONNECTION_METHODS)),
  'the module of amqplib': () => require('amqplib'),
  'an EventEmitter': () => new EventEmitter(),
  'an object with the methods of a channel': () => shaped(CHANNEL_METHODS),
  'an object with the methods of a channel and some connection': () =>
    shaped(CHANNEL_METHODS, { connection: new EventEmitter(), ch: 1 }),
  'an object with the methods of a connection': () => shaped(CONNECTION_METHODS),
  'an object with the methods of a connection and some connection': () =>
    shaped(CONNECTION_METHODS, { connection: { channels: [] } }),
  'an object with the methods of a manager': () => shaped([...CONNECTION_METHODS, 'prependListener', 'connect']),
  'an object with the methods of a channel wrapper': () => shaped([...CHANNEL_METHODS, 'addSetup', 'waitForConnect']),
  'an object with the setups of a channel wrapper': () =>
    shaped([...CHANNEL_METHODS, 'addSetup', 'waitForConnect'], { _setups: [] }),
  'an object with the core of a recovering connection': () =>
    shaped(CONNECTION_METHODS, { _core: shaped(['_openModel', 'prependListener'], { _model: {} }) }),
  'rabbitmq-client': () => {
    const client = new RabbitmqClient({ url: 'amqp://127.0.0.1:1', retryLow: 60_000 })
    client.on('error', () => undefined)
    void client.close()
    return client
  },
  'node-redis': () => createClient(),
  ioredis: () => new Redis({ lazyConnect: true }),
  'kafkajs, a Kafka': () => new Kafka({ brokers: ['127.0.0.1:1'], logLevel: logLevel.NOTHING }),
  'kafkajs, a producer': () => new Kafka({ brokers: ['127.0.0.1:1'], logLevel: logLevel.NOTHING }).producer(),
  nats: () => shaped(['publish', 'subscribe', 'request', 'close', 'drain', 'jetstream']),
}

describe('a client that is none of RabbitMQ', () => {
  it.each(Object.entries(STRANGERS))('%s is client-unsupported and stays as it is', (_name, make) => {
    const stranger = make() as never
    const before = Object.getOwnPropertyNames(Object(stranger))
    const unsupported = expect.objectContaining({ code: 'client-unsupported' })
    expect(() => wrapProducer(stranger, signer)).toThrow(unsupported)
    expect(() => wrapConsumer(stranger, verifier)).toThrow(unsupported)
    expect(isWrapped(stranger)).toBe(false)
    expect(isWrapped(stranger, 'producer')).toBe(false)
    if (stranger !== undefined) expect(Object.getOwnPropertyNames(Object(stranger))).toEqual(before)
  })
})

describe.skipIf(url === undefined)('a client of RabbitMQ is known', () => {
  const at = bench(url)

  function expectKnown(client: unknown): void {
    expect(wrapProducer(wrapConsumer(client as never, verifier), signer)).toBe(client)
    expect([isWrapped(client as object, 'producer'), isWrapped(client as object, 'consumer')]).toEqual([true, true])
  }

  it.each([
    ['0.10.0', amqplib0100],
    ['0.10', amqplib010],
    ['1', amqplib1],
    ['2', { connect } as typeof import('amqplib')],
  ])('of amqplib %s', async (_version, library) => {
    const connection = await library.connect(longFrames(url))
    for (const create of ['createChannel', 'createConfirmChannel'] as const) expectKnown(await connection[create]())
    expectKnown(connection)
    await connection.close()
  })

  it('of the callback API, recovering ones too', async () => {
    const open = (options?: object): Promise<{ close(done: () => void): void }> =>
      new Promise((resolve, reject) => {
        const done = (error: unknown, made: unknown): void => (error ? reject(error) : resolve(made as never))
        connectWithCallback(url, options as never, done as never)
      })
    for (const client of [await open({}), await open({ recovery: {} })]) {
      expectKnown(client)
      await new Promise<void>((resolve) => {
        client.close(() => resolve())
      })
    }
  })

  it('that recovers, before and after there is a connection', async () => {
    const early = await connect(url, { recovery: { waitForConnect: false } })
    expectKnown(early)
    const late = await connect(url, { recovery: {} })
    expectKnown(late)
    await Promise.all([early.close(), late.close()])
  })

  it('of amqp-connection-manager, before and after there is a connection', async () => {
    const manager = connectManager([url])
    const wrapper = manager.createChannel()
    expectKnown(wrapper)
    expectKnown(manager)
    await wrapper.waitForConnect()
    await manager.close()
    const late = connectManager([url])
    await late.createChannel().waitForConnect()
    expectKnown(late)
    await late.close()
  })

  it('in a subclass, behind a prototype and with more properties', async () => {
    const connection = await at.connection()
    const channel = await connection.createConfirmChannel()
    class Named extends (channel.constructor as new (connection: object) => object) {
      readonly name = 'mine'
    }
    Object.setPrototypeOf(channel, Named.prototype)
    expectKnown(Object.assign(channel, { extra: 1 }))
    expectKnown(Object.create(await connection.createChannel()))
  })
})
