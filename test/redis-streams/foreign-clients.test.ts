import { createRequire } from 'node:module'
import { describe, expect, it } from 'vitest'
import { consumeStream, isWrapped, wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { adapterContract } from '../contract/adapter-contract.ts'
import { features, redisHarness } from '../contract/redis-harness.ts'
import { eventually } from '../eventually.ts'
import { KINDS, opened, plain, Redis6, redisUrl } from './clients.ts'

/** What is not known for sure is refused by every verb; what is known is taken, whatever stands on it. */

const require = createRequire(import.meta.url)
const { signer, verifier } = testKeys('shop')

type Maker = Record<string, (options?: object) => object>

const unsupported = expect.objectContaining({ name: 'SetupError', code: 'client-unsupported' })

function foreign(): [string, unknown][] {
  const found: [string, unknown][] = []
  for (const name of ['redis-4', 'redis-5', 'redis']) {
    const made = require(name) as Maker
    found.push([`${name} createClient`, made.createClient?.()])
    found.push([`${name} createCluster`, made.createCluster?.({ rootNodes: [{ url: 'redis://127.0.0.1:1' }] })])
    if (made.createClientPool !== undefined) found.push([`${name} createClientPool`, made.createClientPool()])
  }
  const { Kafka } = require('kafkajs') as { Kafka: new (options: object) => { producer(): object } }
  const kafka = new Kafka({ brokers: ['127.0.0.1:1'], logLevel: 0 })
  const { EventEmitter } = require('node:events') as { EventEmitter: new () => object }
  const method = (): void => undefined
  const shape = { sendCommand: method, duplicate: method, call: method, callBuffer: method, on: method, options: {} }
  found.push(
    ['kafkajs', kafka],
    ['kafkajs producer', kafka.producer()],
    ['nats', { publish: method, subscribe: method, jetstream: method }],
    ['amqplib', Object.assign(new EventEmitter(), { createChannel: method, createConfirmChannel: method })],
    ['an object of the right shape', { ...shape, status: 'ready', isCluster: false, disconnect: method }],
    ['a pipeline of ioredis', new Redis6({ lazyConnect: true }).pipeline()],
    ['the class of ioredis', Redis6],
    ['null', null],
    ['undefined', undefined],
    ['a text', 'redis://127.0.0.1'],
  )
  return found
}

describe('a client that is not known', () => {
  it.each(foreign())('%s is refused by every verb', (_name, client) => {
    expect(() => wrapProducer(client as never, signer)).toThrow(unsupported)
    expect(() => wrapConsumer(client as never, verifier)).toThrow(unsupported)
    const loop = { redis: client as never, stream: 's', group: 'g', consumer: 'c', verifier, handler: () => undefined }
    expect(() => consumeStream(loop)).toThrow(unsupported)
    expect(isWrapped(client as never)).toBe(false)
  })

  it('is named, and what is supported', () => {
    const { createClient } = require('redis') as Maker
    expect(() => wrapConsumer(createClient?.() as never, verifier)).toThrow(/node-redis.*ioredis 5 or 6/)
  })
})

describe.skipIf(redisUrl === '')('a client that is known', () => {
  class Mine extends Redis6 {
    readonly #secret = 'kept'
    override sendCommand(...args: Parameters<Redis6['sendCommand']>): unknown {
      return super.sendCommand(...args)
    }
    get secret(): string {
      return this.#secret
    }
  }

  it.each([
    ['a subclass with methods of its own', () => new Mine(redisUrl)],
    ['one under a Proxy', () => new Proxy(new Redis6(redisUrl), {})],
    ['one with a stub of sendCommand', () => stubbed(new Redis6(redisUrl))],
  ])('%s is signed and guarded', async (_name, open) => {
    const key = uniqueName('known')
    const raw = plain()
    await raw.xgroup('CREATE', key, 'g', '0', 'MKSTREAM')
    const client = opened(open())
    expect(wrapConsumer(wrapProducer(client, signer), verifier)).toBe(client)
    expect([isWrapped(client, 'producer'), isWrapped(client, 'consumer')]).toEqual([true, true])
    await client.xadd(key, '*', 'a', '1')
    await raw.xadd(key, '*', 'a', 'forged')
    const reply = await client.xreadgroup('GROUP', 'g', 'c', 'COUNT', 10, 'STREAMS', key, '>')
    expect(JSON.stringify(reply)).toMatch(/\["a","1"\]/)
    expect(JSON.stringify(reply)).not.toContain('forged')
    await eventually(async () => expect(await raw.xlen(`{${key}}:dlq`)).toBe(1))
    if (client instanceof Mine) expect(client.secret).toBe('kept')
  })
})

/** The fork of Valkey is ioredis 5 in all that is used, so it has to do all that ioredis does. */
describe.skipIf(redisUrl === '')('iovalkey', () => {
  const { Redis } = require('iovalkey') as { Redis: new (url: string) => unknown }
  const open = (): Redis6 => new Redis(redisUrl) as Redis6
  adapterContract('wrapConsumer, iovalkey:', redisHarness({ open }), features)
  const own = { ...features, requeue: true, awaitsHandler: true, handlersSettle: true }
  adapterContract('consumeStream, iovalkey:', redisHarness({ open, ownLoop: true }), own)
})

function stubbed(client: Redis6): Redis6 {
  const { sendCommand } = client
  client.sendCommand = (...args) => sendCommand.apply(client, args)
  return client
}

describe('the kinds of clients', () => {
  it('are all known', () => {
    for (const kind of KINDS)
      expect(isWrapped(wrapProducer(opened(kind.open({ lazyConnect: true })), signer))).toBe(true)
  })
})
