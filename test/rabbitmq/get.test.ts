import type { Channel, ConfirmChannel, GetMessage } from 'amqplib'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { type RabbitmqConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { type ReplayStore, senderOf, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies } from './helpers.ts'
import { RemoteStore } from './remote-store.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

describe.skipIf(url === undefined)('get on RabbitMQ', () => {
  const at = bench(url)
  let producer: ConfirmChannel

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  async function filled(...texts: string[]): Promise<string> {
    const queue = await at.queue()
    for (const text of texts) {
      if (text.startsWith('forged')) at.raw.sendToQueue(queue, Buffer.from(text))
      else producer.sendToQueue(queue, Buffer.from(text))
      await at.raw.waitForConfirms()
      await producer.waitForConfirms()
    }
    return queue
  }

  async function open(options?: RabbitmqConsumerOptions, replay?: ReplayStore): Promise<Channel> {
    const verifier = new Verifier({ keys, ...(replay !== undefined && { replay }) })
    return wrapConsumer(await (await at.connection()).createChannel(), verifier, options)
  }

  it.each([undefined, new RemoteStore()])('settles rejected messages and looks again', async (replay) => {
    const queue = await filled('forged 1', 'forged 2', 'a', 'forged 3')
    const channel = await open({}, replay)
    const message = (await channel.get(queue)) as GetMessage
    expect(message.content.toString()).toBe('a')
    expect(senderOf(message)?.service).toBe('checkout')
    expect(message.fields.messageCount).toBe(1)
    channel.ack(message)
    expect(await channel.get(queue)).toBe(false)
    await channel.close()
    expect(bodies(await at.letters(queue, 3))).toEqual(['forged 1', 'forged 2', 'forged 3'])
    expect(await at.ready(queue)).toBe(0)
  })

  it('a message that is not acknowledged stays', async () => {
    const queue = await filled('a')
    const channel = await open()
    expect(await channel.get(queue)).not.toBe(false)
    await channel.close()
    await eventually(async () => expect(await at.ready(queue)).toBe(1))
  })

  it('several at once share the messages in order', async () => {
    const queue = await filled('a', 'b', 'c')
    const channel = await open()
    const got = await Promise.all([channel.get(queue), channel.get(queue), channel.get(queue), channel.get(queue)])
    expect(got.map((message) => message !== false && message.content.toString())).toEqual(['a', 'b', 'c', false])
  })

  it('is sent at once, so that calls after it find what the plain client would find', async () => {
    const queue = await filled('a')
    const channel = await open()
    const getting = channel.get(queue)
    await channel.deleteQueue(queue)
    expect(await getting).toMatchObject({ content: Buffer.from('a') })
  })

  it('without acknowledgements only on request, and rejected ones are copied to the dead letters', async () => {
    const queue = await filled('forged', 'a')
    await expect((await open()).get(queue, { noAck: true })).rejects.toMatchObject({ code: 'no-ack-refused' })
    const channel = await open({ noAck: 'drop' })
    expect(await channel.get(queue, { noAck: true })).toMatchObject({ content: Buffer.from('a') })
    expect(bodies(await at.letters(queue))).toEqual(['forged'])
    await channel.close()
    expect(await at.ready(queue)).toBe(0)
  })

  it('a message that cannot be judged for long goes back, and the answer is that there is none', async () => {
    const queue = await filled('a')
    const replay = new RemoteStore()
    replay.reachable = false
    const channel = await open({ maxHoldSeconds: 0.2 }, replay)
    expect(await channel.get(queue)).toBe(false)
    await eventually(async () => expect(await at.ready(queue)).toBe(1))
    replay.reachable = true
    expect(await channel.get(queue)).toMatchObject({ content: Buffer.from('a'), fields: { redelivered: true } })
  })

  it('when the dead letters have nowhere to go, the message goes back', async () => {
    const queue = await filled('a')
    const channel = await open({ deadLetterName: () => 'amq.reserved' })
    await expect(channel.get(queue)).rejects.toMatchObject({ code: 'dead-letters-unavailable' })
    await eventually(async () => expect(await at.ready(queue)).toBe(1))
  })

  it('a queue that is not there fails as it does in a plain client', async () => {
    const outcome = async (wrapped: boolean): Promise<unknown> => {
      const channel = wrapped ? await open() : await (await at.connection()).createChannel()
      channel.on('error', () => undefined)
      return await channel.get('no-such-queue').catch((error: Error) => error.message)
    }
    expect(await outcome(true)).toEqual(await outcome(false))
  })
})
