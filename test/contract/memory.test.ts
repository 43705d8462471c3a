import {
  MemoryBroker,
  type MemoryClient,
  type MemoryMessage,
  wrapConsumer,
  wrapProducer,
} from '../../adapters/memory/index.ts'
import type { Signer } from '../../src/signer.ts'
import { adapterContract } from './adapter-contract.ts'
import type { ConsumerSetup, Features, Harness, TestConsumer, TestMessage, TestProducer } from './harness.ts'
import { paired } from './paired.ts'
import { text } from './scene.ts'

const broker = new MemoryBroker()
let setUp: MemoryClient

const plain: Harness = {
  start: async () => {
    setUp = broker.connect()
  },
  stop: () => setUp.close(),
  createQueue: async (queue) => {
    await setUp.assertQueue(queue, { deadLetterQueue: `${queue}.refused` })
  },
  destinationOf: (queue) => `memory:${queue}`,
  openProducer: async (signer) => producer(signer),
  openConsumer: async (setup) => consumer(setup),
  take,
  deadLetterQueueOf: (queue) => `${queue}.dlq`,
  parkedQueueOf: (queue) => `${queue}.dlq.parked`,
  brokerDeadLetterQueueOf: (queue) => `${queue}.refused`,
  breakDeadLetters: async (queue) => {
    await setUp.assertQueue(`${queue}.dlq`, { maxLength: 0 })
  },
  repairDeadLetters: async (queue) => {
    await setUp.assertQueue(`${queue}.dlq`)
  },
}

const batching: Harness = {
  ...plain,
  batch: true,
  openProducer: async (signer) => producer(signer && paired(signer), true),
  openConsumer: async (setup) => consumer({ ...setup, ...(setup.signer && { signer: paired(setup.signer) }) }, true),
}

const features: Features = {
  nullPayload: true,
  repeatedHeaders: true,
  structuredHeaders: true,
  brokerDeadLetters: true,
  requeue: true,
  properties: ['key', 'type', 'contentType', 'contentEncoding', 'replyTo', 'correlationId', 'messageId', 'appId'],
}

adapterContract('memory', plain, features)
adapterContract('memory, in batches', batching, features)

function producer(signer: Signer | undefined, batch = false): TestProducer {
  const client = broker.connect()
  if (signer !== undefined) wrapProducer(client, signer, { batch })
  return {
    publish: (queue, { payload, headers, properties }) =>
      client.publish(queue, payload, Object.freeze({ headers, properties })),
    flush: async () => undefined,
    close: () => client.close(),
  }
}

function consumer({ verifier, signer, options }: ConsumerSetup, batch = false): TestConsumer {
  const client = broker.connect()
  const ended = new Promise<unknown>((resolve) => {
    client.once('error', resolve)
    client.once('close', () => resolve(undefined))
  })
  const { settlements, dieAtNext } = watchSettlements(client)
  if (signer !== undefined) wrapProducer(client, signer, { batch })
  if (verifier !== undefined) wrapConsumer(client, verifier, options)
  return {
    consume: (queue, handler) =>
      client.consume(queue, (message) =>
        handler({
          ...message,
          message,
          ack: (copy = message) => client.ack(copy as MemoryMessage),
          nack: () => client.nack(message),
        }),
      ),
    settlements,
    ended,
    dieAtNextSettlement: dieAtNext,
    kill: () => client.destroy(),
    close: () => client.close(),
  }
}

/** Below the wrapper, which is still to come. */
function watchSettlements(client: MemoryClient): { settlements: string[]; dieAtNext: () => void } {
  const { ack, nack } = client
  const settlements: string[] = []
  let dying = false
  const watch = (how: string, message: unknown, settle: () => void): void => {
    if (dying) client.destroy()
    else {
      settlements.push(`${how} ${text((message as MemoryMessage).payload)}`)
      settle()
    }
  }
  client.ack = (message) => watch('ack', message, () => ack.call(client, message))
  client.nack = (message, options) =>
    watch(options?.requeue === false ? 'reject' : 'requeue', message, () => nack.call(client, message, options))
  return {
    settlements,
    dieAtNext: () => {
      dying = true
    },
  }
}

async function take(queue: string): Promise<TestMessage[]> {
  const client = broker.connect()
  const taken: TestMessage[] = []
  const waiting = broker.peek(queue).length
  if (waiting > 0) {
    await new Promise<void>((resolve) => {
      void client.consume(queue, (message) => {
        client.ack(message)
        if (taken.push(message) === waiting) resolve()
      })
    })
  }
  await client.close()
  return taken
}
