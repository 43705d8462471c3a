import { connect as connectManager } from 'amqp-connection-manager'
import { type Channel, type ChannelModel, connect, type GetMessage } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { subscribe, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { type RabbitmqServer, startRabbitmq } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies, inbox, longString, publishTable } from './helpers.ts'
import { unpack } from './unpack.ts'

const { signer, keys } = testKeys('checkout')

describe.skipIf(!inject('startableBrokers').includes('rabbitmq'))('a RabbitMQ at its limits', () => {
  let server: RabbitmqServer

  beforeAll(async () => {
    server = await startRabbitmq({ config: ['max_message_size = 100000'] })
  })

  const at = bench(() => server.url)

  afterAll(async () => {
    await server?.stop()
  })

  describe('the largest message', () => {
    let failures: { permanent: boolean; queue: string }[] = []
    const stop = subscribe('queue-key-auth:dead-letter-failed', (event) => failures.push(event))

    afterEach(() => {
      failures = []
    })
    afterAll(stop)

    // Headers too long for the client, so that they go into the body, which then is too long for the broker.
    const hostile = (queue: string): void =>
      publishTable(at.raw, queue, Buffer.alloc(60_000, 'u'), longString('filler', 'x'.repeat(70_000)))

    it('and the longest headers are stored in two parts, and even a prefetch of one goes on', async () => {
      const queue = await at.queue()
      hostile(queue)
      at.raw.sendToQueue(queue, Buffer.from('next'))
      await at.raw.waitForConfirms()
      const channel = wrapConsumer(await (await at.connection()).createChannel(), new Verifier({ keys }))
      await channel.prefetch(1)
      await channel.consume(queue, () => undefined)
      const [body, headers, next] = (await at.letters(queue, 3)) as [GetMessage, GetMessage, GetMessage]
      expect([body, headers].map(({ properties }) => properties.headers?.['queueauth-part'])).toEqual([
        'body',
        'headers',
      ])
      expect(new Set([body, headers].map(({ properties }) => properties.headers?.['queueauth-letter'])).size).toBe(1)
      expect(body.content).toEqual(Buffer.alloc(60_000, 'u'))
      expect(unpack(headers)).toMatchObject({ headers: { filler: 'x'.repeat(70_000) }, content: Buffer.alloc(0) })
      expect(bodies([next])).toEqual(['next'])
      expect(failures).toEqual([])
      await channel.close()
      expect(await at.ready(queue)).toBe(0)
    })

    it('a channel error fails only the letter that caused it, and takes one channel more', async () => {
      const queue = await at.queue()
      // Its own, those for letters, one to spare.
      const connection = wrapConsumer(await connect(`${server.url}?channelMax=4`), new Verifier({ keys }))
      const channel = await connection.createChannel()
      for (let index = 0; index < 10; index++) {
        at.raw.sendToQueue(queue, Buffer.from(`forged ${index}`))
        hostile(queue)
      }
      await at.raw.waitForConfirms()
      await at.raw.assertQueue(`${queue}.dlq`)
      await channel.consume(queue, () => undefined)
      // In full, although the channel went away under them; some of them twice, since nobody can tell.
      const full = new Set<string>()
      await eventually(async () => {
        for (let letter = await at.raw.get(`${queue}.dlq`); letter; letter = await at.raw.get(`${queue}.dlq`)) {
          if (letter.properties.headers?.['queueauth-detail'] !== undefined) full.add(letter.content.toString())
        }
        expect(full.size).toBe(10)
      })
      await connection.close()
      expect(await at.ready(queue)).toBe(0)
      expect(failures).toEqual([])
    })

    it('one that was taken when more was allowed is parked', async () => {
      const queue = await at.queue()
      at.raw.sendToQueue(queue, Buffer.alloc(50_000, 'f'))
      await at.raw.waitForConfirms()
      const allow = async (bytes: number): Promise<void> => {
        await server.rabbitmqctl([
          'eval',
          `persistent_term:put(max_message_size, ${bytes}), application:set_env(rabbit, max_message_size, ${bytes}).`,
        ])
      }
      await allow(1_000)
      try {
        const connection = wrapConsumer(await at.connection(), new Verifier({ keys }))
        const channel = await connection.createChannel()
        await channel.consume(queue, () => undefined)
        await eventually(() => expect(failures).toMatchObject([{ queue, permanent: true }]))
        at.raw.sendToQueue(queue, Buffer.from('forged'))
        expect(bodies(await at.letters(queue))).toEqual(['forged'])
        await connection.close()
      } finally {
        await allow(100_000)
      }
      await eventually(async () => expect(await at.ready(queue)).toBe(1))
    })
  })

  it.each([
    ['memory', ['set_vm_memory_high_watermark', '0.000001'], ['set_vm_memory_high_watermark', '0.6']],
    ['disk space', ['set_disk_free_limit', '10000GB'], ['set_disk_free_limit', '50MB']],
  ])('out of %s, dead letters wait and nothing is lost', async (_what, alarm, clear) => {
    const queue = await at.queue()
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
    for (let index = 0; index < 10; index++) {
      at.raw.sendToQueue(queue, Buffer.from(`forged ${index}`))
      producer.sendToQueue(queue, Buffer.from(`signed ${index}`))
      await at.raw.waitForConfirms()
      await producer.waitForConfirms()
    }
    const connection = wrapConsumer(await at.connection(), new Verifier({ keys }))
    const blocked = new Promise((resolve) => {
      connection.on('blocked', resolve)
    })
    const channel = await connection.createChannel()
    await channel.prefetch(5)
    await server.rabbitmqctl(alarm)
    const got = await inbox(channel, queue)
    await blocked
    await server.rabbitmqctl(clear)
    expect(bodies(await at.letters(queue, 10)).sort()).toHaveLength(10)
    await eventually(() => expect(got).toHaveLength(10))
    await connection.close()
    expect(await at.ready(queue)).toBe(0)
  })

  it('that closes every connection: those that come back are covered', async () => {
    const queue = await at.queue()
    const verifier = new Verifier({ keys })
    const got: string[] = []
    const start = async (channel: Channel): Promise<void> => {
      await channel.consume(queue, (message) => {
        if (message === null) return
        got.push(message.content.toString())
        channel.ack(message)
      })
    }
    const setup = async (connection: ChannelModel): Promise<void> => start(await connection.createChannel())
    const recovering = await connect(server.url, { recovery: { initialDelay: 10, waitForConnect: false, setup } })
    const manager = connectManager([server.url], { reconnectTimeInSeconds: 0.05 })
    for (const client of [recovering, manager]) {
      client.on('error', () => undefined)
      wrapConsumer(client, verifier)
    }
    await recovering.waitForConnect()
    await manager.createChannel({ setup: start }).waitForConnect()
    const reconnected = [recovering, manager].map((client) => new Promise((resolve) => client.once('connect', resolve)))
    await server.closeConnections()
    await Promise.all(reconnected)
    const plain = await (await at.connection()).createConfirmChannel()
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
    for (let index = 0; index < 10; index++) {
      plain.sendToQueue(queue, Buffer.from(`forged ${index}`))
      producer.sendToQueue(queue, Buffer.from(`signed ${index}`))
    }
    await producer.waitForConfirms()
    await eventually(async () => expect(await at.ready(`${queue}.dlq`)).toBe(10))
    await eventually(() => expect(got).toHaveLength(10))
    expect(got.every((text) => text.startsWith('signed'))).toBe(true)
    await Promise.all([recovering.close(), manager.close()])
  })
})
