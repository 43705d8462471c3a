import type { ConfirmChannel, Options } from 'amqplib'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { type KeySource, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { bench } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

class FailingKeys implements KeySource {
  reachable = false
  get snapshot(): KeySource['snapshot'] {
    return this.reachable ? keys.snapshot : undefined
  }
}

/** Before RabbitMQ 4.3 each requeue counts, and 4.0 to 4.2 have a limit of 20 where none is declared. */
const LIMIT = 3

describe.skipIf(url === undefined)('a quorum queue with a delivery limit, in an outage of many holds', () => {
  const at = bench(url)
  let producer: ConfirmChannel

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  async function filled(texts: readonly string[]): Promise<string> {
    const queue = uniqueName('limited')
    await at.raw.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': LIMIT } })
    for (const text of texts) producer.sendToQueue(queue, Buffer.from(text))
    await producer.waitForConfirms()
    return queue
  }

  it.each(['on one channel', 'on a channel each'])('keeps what get asked for again and again, %s', async (where) => {
    const queue = await filled(['a'])
    const source = new FailingKeys()
    const connection = wrapConsumer(await at.connection(), new Verifier({ keys: source }), { maxHoldSeconds: 0.05 })
    let channel = await connection.createChannel()
    for (let asked = 0; asked < 3 * LIMIT; asked++) {
      expect(await channel.get(queue)).toBe(false)
      if (where === 'on one channel') continue
      await channel.close()
      channel = await connection.createChannel()
    }
    source.reachable = true
    await eventually(async () => expect(await at.ready(queue)).toBe(1))
    expect(await channel.get(queue)).toMatchObject({ content: Buffer.from('a') })
  })

  it('ends a get that waits when its channel is closed', async () => {
    const queue = await filled(['a'])
    const verifier = new Verifier({ keys: new FailingKeys() })
    const first = await wrapConsumer(await at.connection(), verifier, { maxHoldSeconds: 0.05 }).createChannel()
    expect(await first.get(queue)).toBe(false)
    const second = await wrapConsumer(await at.connection(), verifier).createChannel()
    const waiting = expect(second.get(queue)).rejects.toMatchObject({ name: 'IllegalOperationError' })
    await second.close()
    await waiting
    expect(await at.ready(queue)).toBe(1)
  })

  it.each<[string, Options.Consume]>([
    ['a consumer', {}],
    ['an exclusive consumer', { exclusive: true }],
  ])('keeps what %s is sent', async (_which, consume) => {
    const queue = await filled(['a', 'b', 'c'])
    const source = new FailingKeys()
    const connection = wrapConsumer(await at.connection(), new Verifier({ keys: source }), { maxHoldSeconds: 0.2 })
    const channel = await connection.createChannel()
    const got: string[] = []
    await channel.consume(
      queue,
      (message) => {
        if (message === null) return
        got.push(message.content.toString())
        channel.ack(message)
      },
      consume,
    )
    // Ten times maxHoldSeconds.
    await new Promise((resolve) => {
      setTimeout(resolve, 2_000)
    })
    source.reachable = true
    await eventually(() => expect([...got].sort()).toEqual(['a', 'b', 'c']))
  })

  it('an exclusive consumer that another took the place of waits for it', async () => {
    if (!(await at.countsRequeues())) return
    const queue = await filled(['a'])
    const source = new FailingKeys()
    const connection = wrapConsumer(await at.connection(), new Verifier({ keys: source }), { maxHoldSeconds: 0.2 })
    const channel = await connection.createChannel()
    const got: string[] = []
    await channel.consume(
      queue,
      (message) => {
        if (message === null) return
        got.push(message.content.toString())
        channel.ack(message)
      },
      { exclusive: true },
    )
    const other = await (await at.connection()).createChannel()
    await eventually(async () => expect((await other.checkQueue(queue)).messageCount).toBe(1))
    const taken: string[] = []
    await eventually(async () => {
      const taking = await (await at.connection()).createChannel()
      taking.on('error', () => undefined)
      await taking.consume(queue, (message) => message && taken.push(message.content.toString()), {
        consumerTag: 'other',
      })
    })
    source.reachable = true
    await eventually(() => expect(taken).toEqual(['a']))
    await channel.checkQueue(queue)
    expect(got).toEqual([])
  })
})
