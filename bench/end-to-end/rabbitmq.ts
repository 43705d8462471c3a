import type { Socket } from 'node:net'
import { type Channel, type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import type { Verifier } from '../../src/index.ts'
import { startRabbitmq } from '../../test/brokers/index.ts'
import { DUMMY_HEADER, type Producer, type ProducerOptions, type Queue, type Transport } from './transport.ts'

const PERSISTENT = 'persistent, confirms'

/** After so many persistent messages their confirms are waited for. */
const CONFIRMED_TOGETHER = 1000

/** Or each message of a low load waits up to 40 ms, in all programs, since the system gathers small packets. */
const SOCKET = { noDelay: true }

const isPersistent = ({ variant }: Queue): boolean => variant === PERSISTENT

export const rabbitmq: Transport = {
  name: 'RabbitMQ',
  client: 'amqplib',
  variants: ['transient', PERSISTENT],
  start: () => startRabbitmq(),
  createQueue,
  openProducer,
  openConsumer,
  tokenLength: (native) => String((native as ConsumeMessage).properties.headers?.queueauth ?? '').length,
}

async function createQueue(queue: Queue): Promise<() => Promise<void>> {
  const connection = await connect(queue.address, SOCKET)
  const channel = await connection.createChannel()
  await channel.assertQueue(queue.name, { durable: isPersistent(queue) })
  return async () => {
    await channel.deleteQueue(queue.name)
    await channel.deleteQueue(`${queue.name}.dlq`)
    await connection.close()
  }
}

async function openProducer(queue: Queue, { signer, batch, dummy }: ProducerOptions): Promise<Producer> {
  const connection = await connect(queue.address, SOCKET)
  const persistent = isPersistent(queue)
  const channel: Channel = await (persistent ? connection.createConfirmChannel() : connection.createChannel())
  if (signer !== undefined) wrapProducer(channel, signer, { batch })
  const headers = dummy === undefined ? {} : { [DUMMY_HEADER]: dummy }
  const { stream } = connection.connection as unknown as { stream: Socket }
  let unconfirmed = 0
  const settle = async (): Promise<void> => {
    unconfirmed = 0
    if (persistent) await (channel as ConfirmChannel).waitForConfirms()
    // It answers when it has taken all that came before.
    else await channel.checkQueue(queue.name)
  }
  return {
    async send(bodies) {
      let writable = true
      for (const body of bodies) {
        writable = channel.publish('', queue.name, body, { headers, contentType: 'application/json', persistent })
      }
      await new Promise<void>((resolve) => {
        if (writable) setImmediate(resolve)
        else channel.once('drain', resolve)
      })
      unconfirmed += bodies.length
      if (persistent && unconfirmed >= CONFIRMED_TOGETHER) await settle()
    },
    settle,
    bytesWritten: () => stream.bytesWritten,
  }
}

async function openConsumer(
  queue: Queue,
  verifier: Verifier | undefined,
  handle: (body: Buffer, native: unknown) => void,
): Promise<void> {
  const connection = await connect(queue.address, SOCKET)
  const channel = await connection.createChannel()
  await channel.prefetch(1000)
  if (verifier !== undefined) wrapConsumer(channel, verifier)
  await channel.consume(queue.name, (message) => {
    if (message === null) throw new Error('the broker has cancelled the consumer')
    handle(message.content, message)
    channel.ack(message)
  })
}
