import type { Channel, ConfirmChannel } from 'amqplib'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { RETURNING_CONSUMERS, type ReturningConsumer, type SetUp } from './rabbitmq-clients.ts'
import { expectAll, idOf, numbered, publishAll, report, Scene } from './rabbitmq-scene.ts'

const url = inject('amqpUrl')

describe.skipIf(url === undefined)('RabbitMQ: connections and channels that end in the middle', () => {
  const { signer, keys } = testKeys('checkout')
  const good = numbered('good', 500)
  const bad = numbered('bad', 500)
  let scene: Scene
  let signing: ConfirmChannel
  let plain: ConfirmChannel

  beforeAll(async () => {
    scene = new Scene(url as string)
    signing = await wrapProducer(await scene.connection(), signer).createConfirmChannel()
    plain = await (await scene.connection()).createConfirmChannel()
  })
  afterAll(() => scene.end())

  /** 500 authorized ones and 500 others, by turns. */
  async function publishMixed(queue: string): Promise<void> {
    for (let index = 0; index < good.length; index += 25) {
      await publishAll(signing, queue, good.slice(index, index + 25))
      await publishAll(plain, queue, bad.slice(index, index + 25))
    }
  }

  /** Notes what is handled; `then` hears how much that is, and may break things. */
  function handling(queue: string, handled: string[], then: (channel: Channel, count: number) => void): SetUp {
    return async (channel) => {
      await channel.prefetch(40)
      await channel.consume(queue, (message) => {
        if (message === null) return
        handled.push(idOf(message))
        channel.ack(message)
        then(channel, handled.length)
      })
    }
  }

  /** Waits until every message is where it belongs, and says what is at the dead letters. */
  async function outcome(queue: string, handled: readonly string[]): Promise<string[]> {
    const letters: string[] = []
    await expect
      .poll(async () => {
        letters.push(...(await scene.drain(`${queue}.dlq`)).map(idOf))
        return [new Set(handled).size, new Set(letters).size]
      })
      .toEqual([good.length, bad.length])
    expectAll(handled, good)
    expectAll(letters, bad)
    return letters
  }

  describe.each(Object.entries(RETURNING_CONSUMERS))('%s', (_name, start) => {
    it('the socket is cut again and again: nothing is lost, nothing is in both places', async () => {
      const queue = await scene.queue('cut')
      await publishMixed(queue)
      const handled: string[] = []
      let cuts = 0
      let consumer: ReturningConsumer | undefined
      const cutNow = (): void => {
        if (consumer?.cut()) cuts++
      }
      const setUp = handling(queue, handled, (_channel, count) => {
        if (count % 90 === 0) setImmediate(cutNow)
      })
      consumer = await start(url as string, new Verifier({ keys }), setUp)
      const letters = await outcome(queue, handled)
      // What was handled and not acknowledged comes again, and is skipped.
      await expect.poll(() => scene.waiting(queue)).toBe(0)
      await consumer.close()
      expect(cuts).toBeGreaterThan(3)
      expect(consumer.connections()).toBe(cuts + 1)
      report('socket cut', { cuts, in: 1_000, handled: handled.length, letters: letters.length })
    })

    it('the broker closes the channel while dead letters are under way: nothing is lost', async () => {
      const queue = await scene.queue('closed')
      await publishMixed(queue)
      const handled: string[] = []
      let closes = 0
      const setUp = handling(queue, handled, (channel, count) => {
        if (count % 90 !== 0) return
        closes++
        // The broker knows no such delivery: 406, and the channel is gone with all it has in hand.
        channel.ack({ fields: { deliveryTag: 4_000_000_000 } } as never)
      })
      const consumer = await start(url as string, new Verifier({ keys }), setUp)
      const letters = await outcome(queue, handled)
      await expect.poll(() => scene.waiting(queue)).toBe(0)
      await consumer.close()
      expect(closes).toBeGreaterThan(3)
      report('channel closed by the broker', { closes, in: 1_000, handled: handled.length, letters: letters.length })
    })
  })

  it.each(['connection', 'channel'] as const)(
    'close() of the %s in a burst: nothing is lost, and no dead letter comes back',
    async (what) => {
      const queue = await scene.queue('close')
      await publishMixed(queue)
      const handled: string[] = []
      const connection = wrapConsumer(await scene.connection(), new Verifier({ keys }))
      const channel = await connection.createChannel()
      const closed = new Promise<void>((resolve, reject) => {
        const setUp = handling(queue, handled, (_channel, count) => {
          if (count === 200) (what === 'connection' ? connection : channel).close().then(resolve, reject)
        })
        setUp(channel).catch(() => undefined)
      })
      await closed
      const letters: string[] = []
      const left: string[] = []
      // The broker puts back what the channel had in hand in its own time.
      await expect
        .poll(async () => {
          letters.push(...(await scene.drain(`${queue}.dlq`)).map(idOf))
          left.push(...(await scene.drain(queue)).map(idOf))
          return handled.length + letters.length + left.length
        })
        .toBeGreaterThanOrEqual(good.length + bad.length)
      const isBad = (id: string): boolean => id.startsWith('bad')
      expect(handled.some(isBad)).toBe(false)
      expect([...letters, ...left.filter(isBad)].sort()).toEqual([...bad].sort())
      expect([...handled, ...left.filter((id) => !isBad(id))].sort()).toEqual([...good].sort())
      expect(letters.length).toBeGreaterThan(0)
      report(`close of the ${what}`, { in: 1_000, handled: handled.length, letters: letters.length, left: left.length })
    },
  )
})
