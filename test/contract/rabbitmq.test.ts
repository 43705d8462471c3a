import {
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  type ConsumeMessage,
  connect,
  type Options,
} from 'amqplib'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import type { CoveredProperties, Headers } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import { eventually } from '../eventually.ts'
import { adapterContract } from './adapter-contract.ts'
import type { ConsumerSetup, Features, Harness, TestConsumer, TestMessage, TestProducer } from './harness.ts'
import { paired } from './paired.ts'
import { openScene, settlements, text } from './scene.ts'

const url = inject('amqpUrl')
const PROPERTIES = ['type', 'contentType', 'contentEncoding', 'replyTo', 'correlationId', 'messageId', 'appId'] as const

/** for everything but the clients under test */
let shared: ChannelModel
let setUp: ConfirmChannel
const queues: string[] = []

const plain: Harness = {
  async start() {
    shared = await connection()
    setUp = await shared.createConfirmChannel()
  },
  async stop() {
    for (const queue of queues.splice(0)) await setUp.deleteQueue(queue)
    await shared.close()
  },
  async createQueue(queue) {
    const refused = `${queue}.refused`
    queues.push(queue, refused, `${queue}.dlq`)
    await setUp.assertQueue(refused)
    await setUp.assertQueue(queue, { deadLetterExchange: '', deadLetterRoutingKey: refused })
  },
  destinationOf: (queue) => `amqp:/${queue}`,
  openProducer: producer,
  openConsumer: consumer,
  take,
  deadLetterQueueOf: (queue) => `${queue}.dlq`,
  parkedQueueOf: (queue) => `${queue}.dlq.parked`,
  brokerDeadLetterQueueOf: (queue) => `${queue}.refused`,
  async breakDeadLetters(queue) {
    await setUp.assertQueue(`${queue}.dlq`, { maxLength: 0, arguments: { 'x-overflow': 'reject-publish' } })
  },
  async repairDeadLetters(queue) {
    await setUp.deleteQueue(`${queue}.dlq`)
  },
}

const batching: Harness = {
  ...plain,
  batch: true,
  openProducer: (signer) => producer(signer && paired(signer), true),
  openConsumer: (setup) => consumer({ ...setup, ...(setup.signer && { signer: paired(setup.signer) }) }, true),
}

const features: Features = {
  nullPayload: false,
  repeatedHeaders: true,
  structuredHeaders: true,
  brokerDeadLetters: true,
  requeue: true,
  properties: PROPERTIES,
}

describe.skipIf(url === undefined)('on a real broker', () => {
  adapterContract('RabbitMQ', plain, features)
  adapterContract('RabbitMQ, in batches', batching, features)

  it('CC in a rejected message does not route its dead letter', async () => {
    await plain.start()
    onTestFinished(() => plain.stop())
    const scene = await openScene(plain)
    const other = `${scene.queue}.other`
    await plain.createQueue(other)
    const consumer = await scene.consume()
    await scene.attack({ payload: Buffer.from('forged'), headers: { CC: [other] } })
    const [letter] = await scene.deadLetters(1)
    await eventually(() => expect(settlements(consumer)).toEqual(['ack forged']))
    expect(letter?.headers).toMatchObject({ 'queueauth-original-CC': [other] })
    // The attacker's own copy, and no other.
    expect(await take(other)).toHaveLength(1)
  })
})

async function connection(): Promise<ChannelModel> {
  const made = await connect(url as string)
  // Without a listener, a connection that breaks ends the process.
  made.on('error', () => undefined)
  return made
}

async function producer(signer?: Signer, batch = false): Promise<TestProducer> {
  const channel = await shared.createConfirmChannel()
  if (signer !== undefined) wrapProducer(channel, signer, { batch })
  return {
    publish: (queue, { payload, headers, properties }) =>
      channel.sendToQueue(queue, payload as Buffer, Object.freeze({ ...properties, headers }) as Options.Publish),
    flush: () => channel.waitForConfirms(),
    close: () => channel.close(),
  }
}

async function consumer({ verifier, signer, options }: ConsumerSetup, batch = false): Promise<TestConsumer> {
  const client = await connection()
  const channel = await client.createChannel()
  const ended = new Promise<unknown>((resolve) => {
    channel.once('error', resolve)
    client.once('error', resolve)
    channel.once('close', () => resolve(undefined))
  })
  const kill = (): void => {
    const { stream } = client.connection as unknown as { stream: { destroy(error: Error): void } }
    stream.destroy(new Error('the connection broke'))
  }
  const { settlements, dieAtNext } = watchSettlements(channel, kill)
  if (signer !== undefined) wrapProducer(client, signer, { batch })
  if (verifier !== undefined) wrapConsumer(client, verifier, options)
  return {
    consume: async (queue, handler) => {
      await channel.consume(queue, (message) => {
        if (message === null) return
        return handler({
          ...read(message),
          message,
          ack: (copy = message) => channel.ack(copy as ConsumeMessage),
          nack: () => channel.nack(message),
        })
      })
    },
    settlements,
    ended,
    dieAtNextSettlement: dieAtNext,
    kill,
    close: () => client.close(),
  }
}

/** Below the wrapper, which is still to come. */
function watchSettlements(channel: Channel, kill: () => void): { settlements: string[]; dieAtNext: () => void } {
  const settlements: string[] = []
  let dying = false
  const watch = (name: 'ack' | 'nack' | 'reject', requeues: (...args: unknown[]) => boolean): void => {
    const original = channel[name].bind(channel) as (...args: unknown[]) => void
    channel[name] = (...args: unknown[]): void => {
      if (dying) kill()
      else {
        const how = name === 'ack' ? 'ack' : requeues(...args) ? 'requeue' : 'reject'
        settlements.push(`${how} ${text((args[0] as ConsumeMessage).content)}`)
        original(...args)
      }
    }
  }
  watch('ack', () => false)
  watch('nack', (_message, _allUpTo, requeue) => requeue !== false)
  watch('reject', (_message, requeue) => requeue !== false)
  return {
    settlements,
    dieAtNext: () => {
      dying = true
    },
  }
}

async function take(queue: string): Promise<TestMessage[]> {
  const channel = await shared.createChannel()
  channel.on('error', () => undefined)
  const taken: TestMessage[] = []
  try {
    for (;;) {
      const message = await channel.get(queue, { noAck: true })
      if (message === false) break
      taken.push(read(message))
    }
    await channel.close()
  } catch (error) {
    // There is no such queue, which closed the channel.
    if ((error as { code?: unknown }).code !== 404) throw error
  }
  return taken
}

function read({ content, properties }: Pick<ConsumeMessage, 'content' | 'properties'>): Required<TestMessage> {
  const present = PROPERTIES.filter((name) => properties[name] !== undefined)
  return {
    payload: content,
    headers: (properties.headers ?? {}) as Headers,
    properties: Object.fromEntries(present.map((name) => [name, properties[name]])) as CoveredProperties,
  }
}
