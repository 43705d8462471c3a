import { connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer } from '../../adapters/rabbitmq/index.ts'
import { Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { type RabbitmqServer, startRabbitmq } from '../brokers/index.ts'
import { bench, bodies } from './helpers.ts'

const { keys } = testKeys('checkout')

describe.skipIf(!inject('startableBrokers').includes('rabbitmq'))(
  'a user that may declare no dead-letter queue',
  () => {
    let server: RabbitmqServer

    beforeAll(async () => {
      server = await startRabbitmq()
      await server.rabbitmqctl(['add_user', 'reader', 'secret'])
      await server.rabbitmqctl(['set_permissions', 'reader', 'mine-.*', '.*', '.*'])
    })
    afterAll(async () => {
      await server?.stop()
    })

    const at = bench(() => server.url)

    it.each(['consume', 'get'] as const)('is told by %s, before there is a dead letter', async (verb) => {
      const queue = await at.queue()
      const connection = wrapConsumer(
        await connect(server.url.replace('guest:guest', 'reader:secret')),
        new Verifier({ keys }),
      )
      const channel = await connection.createChannel()
      const call = verb === 'get' ? channel.get(queue) : channel.consume(queue, () => undefined)
      await expect(call).rejects.toMatchObject({ code: 'dead-letters-unavailable' })
      expect(await at.exists(`${queue}.dlq`)).toBe(false)
      await connection.close()
    })

    it('reads where somebody else declared it', async () => {
      const queue = await at.queue()
      await at.raw.assertQueue(`${queue}.dlq`)
      at.raw.sendToQueue(queue, Buffer.from('x'))
      const connection = wrapConsumer(
        await connect(server.url.replace('guest:guest', 'reader:secret')),
        new Verifier({ keys }),
      )
      await (await connection.createChannel()).consume(queue, () => undefined)
      expect(bodies(await at.letters(queue))).toEqual(['x'])
      await connection.close()
    })

    it('keeps with the dead letters what it may not park, which anyone can ask for', async () => {
      const queue = await at.queue()
      await at.raw.assertQueue(`${queue}.dlq`)
      const headers = { 'queueauth-reason': 'key-unknown', 'queueauth-returns': '999999' }
      at.raw.sendToQueue(queue, Buffer.from('planted'), { headers })
      at.raw.sendToQueue(queue, Buffer.from('next'))
      const connection = wrapConsumer(
        await connect(server.url.replace('guest:guest', 'reader:secret')),
        new Verifier({ keys }),
      )
      const channel = await connection.createChannel()
      await channel.prefetch(1)
      await channel.consume(queue, () => undefined)
      expect(bodies(await at.letters(queue, 2))).toEqual(['planted', 'next'])
      await connection.close()
    })

    it('reads where its own names are used', async () => {
      const queue = await at.queue()
      const connection = wrapConsumer(
        await connect(server.url.replace('guest:guest', 'reader:secret')),
        new Verifier({ keys }),
        { deadLetterName: (name) => `mine-${name}` },
      )
      await (await connection.createChannel()).consume(queue, () => undefined)
      expect(await at.exists(`mine-${queue}`)).toBe(false)
      await connection.close()
    })
  },
)
