import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { type ReplayStore, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies, inbox } from './helpers.ts'
import { RemoteStore } from './remote-store.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout', 'orders.updates')

/** Every instance of a service reads a queue of its own, which the broker named; policies know them by one name. */
const options = { queueName: () => 'orders.updates' }

describe.skipIf(url === undefined)('queues that share a name by queueName', () => {
  const at = bench(url)
  let producer: ConfirmChannel

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  it.each<[string, () => ReplayStore | undefined]>([
    ['memory', () => undefined],
    ['shared', () => new RemoteStore()],
  ])('each get every message once, with a %s replay store', async (_where, makeStore) => {
    const exchange = uniqueName('updates')
    await at.raw.assertExchange(exchange, 'fanout')
    const replay = makeStore()
    const verifier = new Verifier({ keys, ...(replay !== undefined && { replay }) })
    const instances = await Promise.all([instance(exchange, verifier), instance(exchange, verifier)])
    producer.publish(exchange, '', Buffer.from('a'))
    await producer.waitForConfirms()
    await eventually(() => expect(instances.map(({ got }) => bodies(got))).toEqual([['a'], ['a']]))
    // A copy is a copy all the same, in the queue where it was handled.
    const { content, properties } = instances[0].got[0] as ConsumeMessage
    at.raw.publish(exchange, '', content, properties)
    producer.publish(exchange, '', Buffer.from('b'))
    await producer.waitForConfirms()
    await eventually(() =>
      expect(instances.map(({ got }) => bodies(got))).toEqual([
        ['a', 'b'],
        ['a', 'b'],
      ]),
    )
  })

  async function instance(exchange: string, verifier: Verifier) {
    const channel = await wrapConsumer(await at.connection(), verifier, options).createChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, exchange, '')
    return { got: await inbox(channel, queue) }
  }
})
