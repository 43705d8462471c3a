import { connect as connectManager } from 'amqp-connection-manager'
import { type Channel, connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { type RabbitmqServer, startRabbitmq } from '../brokers/index.ts'
import { RETURNING_CONSUMERS, type ReturningConsumer } from './rabbitmq-clients.ts'
import { expectAll, idOf, numbered, report, Scene } from './rabbitmq-scene.ts'

describe.skipIf(!inject('startableBrokers').includes('rabbitmq'))('RabbitMQ: kill -9 of the broker', () => {
  let server: RabbitmqServer

  beforeAll(async () => {
    server = await startRabbitmq()
  })
  afterAll(() => server?.stop())

  it('no message is lost and none is in the wrong place, whichever client comes back', async () => {
    const { signer, keys } = testKeys('checkout')
    const good = numbered('good', 1_500)
    const bad = numbered('bad', 1_500)
    const clients = Object.entries(RETURNING_CONSUMERS).map(([name, start]) => ({
      name,
      start,
      queue: `restart-${name.replaceAll(' ', '-')}`,
      handled: [] as string[],
    }))
    const setUp = await connect(server.url)
    const declaring = await setUp.createChannel()
    for (const { queue } of clients) {
      await declaring.assertQueue(queue, { durable: true })
      await declaring.assertQueue(`${queue}.dlq`, { durable: true })
    }
    await setUp.close()
    // RabbitMQ 3.10 can forget a durable queue that was declared within a second of the kill, with all it had confirmed.
    // An orderly restart writes them down.
    await server.restart()

    const consumers: ReturningConsumer[] = []
    for (const { start, queue, handled } of clients) {
      const consume = async (channel: Channel): Promise<void> => {
        await channel.prefetch(40)
        await channel.consume(queue, (message) => {
          if (message === null) return
          handled.push(idOf(message))
          channel.ack(message)
        })
      }
      consumers.push(await start(server.url, new Verifier({ keys }), consume))
    }

    const signing = wrapProducer(connectManager([server.url], { reconnectTimeInSeconds: 0.2 }), signer)
    const plain = connectManager([server.url], { reconnectTimeInSeconds: 0.2 })
    const channels = { good: signing.createChannel(), bad: plain.createChannel() }
    let [published, before, repeated] = [0, 0, 0]
    let restarting: Promise<void> | undefined
    /** What was not confirmed is published again: that is what confirms are for. */
    const publish = async (kind: 'good' | 'bad', queue: string, id: string): Promise<void> => {
      for (;;) {
        try {
          await channels[kind].publish('', queue, Buffer.from(id), { persistent: true })
          return
        } catch {
          repeated++
        }
      }
    }
    const publishing = clients.map(async ({ queue }) => {
      for (let index = 0; index < good.length; index += 50) {
        await Promise.all([
          ...good.slice(index, index + 50).map((id) => publish('good', queue, id)),
          ...bad.slice(index, index + 50).map((id) => publish('bad', queue, id)),
        ])
        published += 100
        // While others are on their way, and most are still to come.
        if (published > 1_000 && restarting === undefined) {
          before = published
          restarting = server.kill().then(() => server.restart())
        }
      }
    })
    await Promise.all(publishing)
    await restarting
    report('broker killed', { 'published before': before, 'and all in all': published, repeated })

    const scene = new Scene(server.url)
    for (const { name, queue, handled } of clients) {
      const letters: string[] = []
      await expect
        .poll(async () => {
          letters.push(...(await scene.drain(`${queue}.dlq`)).map(idOf))
          return [new Set(handled).size, new Set(letters).size]
        })
        .toEqual([good.length, bad.length])
      expectAll(handled, good)
      expectAll(letters, bad)
      report(`broker killed, ${name}`, {
        in: good.length + bad.length,
        handled: handled.length,
        'dead-lettered': letters.length,
      })
    }
    expect(consumers.map((consumer) => consumer.connections() > 1)).toEqual([true, true])
    // What was handled and not acknowledged comes again, and is skipped.
    for (const { queue } of clients) await expect.poll(() => scene.waiting(queue)).toBe(0)
    for (const closing of [...consumers, signing, plain]) await closing.close()
    await scene.end()
  })
})
