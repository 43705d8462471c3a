import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Admin, Kafka, type KafkaConfig, type KafkaMessage, logLevel, Partitioners } from 'kafkajs'
import { wrapConsumer, wrapProducer } from '../../adapters/kafka/index.ts'
import type { Verifier } from '../../src/index.ts'
import { startKafka } from '../../test/brokers/index.ts'
import { DUMMY_HEADER, InFlight, type Producer, type ProducerOptions, type Queue, type Transport } from './transport.ts'

const BATCHES = 'eachBatch'

export const kafka: Transport = {
  name: 'Kafka',
  client: 'kafkajs',
  variants: ['eachMessage', BATCHES],
  // Room on the disk is given back at once; the default is a minute.
  start: () => startKafka({ fast: true, config: { 'log.segment.delete.delay.ms': '1000' } }),
  createQueue,
  openProducer,
  openConsumer,
  tokenLength: (native) => ((native as KafkaMessage).headers?.queueauth as Buffer | undefined)?.length ?? 0,
}

/** kafkajs logs as errors what it tries again: a topic that is new. */
function client({ address }: Queue, more: Partial<KafkaConfig> = {}): Kafka {
  return new Kafka({ clientId: 'bench', brokers: address.split(','), logLevel: logLevel.NOTHING, ...more })
}

async function createQueue(queue: Queue): Promise<() => Promise<void>> {
  const admin = client(queue).admin()
  await admin.connect()
  await admin.createTopics({ waitForLeaders: false, topics: [{ topic: queue.name, numPartitions: 1 }] })
  while (!(await hasLeader(admin, queue.name))) await sleep(50)
  return async () => {
    const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(queue.name))
    await admin.deleteTopics({ topics })
    await admin.disconnect()
  }
}

/** A Kafka that has just made a topic may not know it yet. */
async function hasLeader(admin: Admin, topic: string): Promise<boolean> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return topics.every(({ partitions }) => partitions.length > 0 && partitions.every(({ leader }) => leader >= 0))
  } catch {
    return false
  }
}

async function openProducer(queue: Queue, { signer, batch, dummy }: ProducerOptions): Promise<Producer> {
  const sockets: Socket[] = []
  const socketFactory: NonNullable<KafkaConfig['socketFactory']> = ({ host, port, onConnect }) => {
    const socket = connect({ host, port, noDelay: true }, onConnect)
    sockets.push(socket)
    return socket
  }
  const producer = client(queue, { socketFactory }).producer({ createPartitioner: Partitioners.DefaultPartitioner })
  if (signer !== undefined) wrapProducer(producer, signer, { batch })
  await producer.connect()
  const headers = dummy === undefined ? {} : { [DUMMY_HEADER]: dummy }
  const inFlight = new InFlight()
  return {
    send: (bodies) =>
      inFlight.add(producer.send({ topic: queue.name, messages: bodies.map((value) => ({ value, headers })) })),
    settle: () => inFlight.settle(),
    bytesWritten: () => sockets.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0),
  }
}

async function openConsumer(
  queue: Queue,
  verifier: Verifier | undefined,
  handle: (body: Buffer, native: unknown) => void,
): Promise<void> {
  const kafka = client(queue)
  if (verifier !== undefined) wrapConsumer(kafka, verifier)
  const consumer = kafka.consumer({ groupId: `group-${queue.name}` })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    throw payload.error
  })
  await consumer.connect()
  await consumer.subscribe({ topic: queue.name, fromBeginning: true })
  const take = (message: KafkaMessage): void => handle(message.value as Buffer, message)
  await consumer.run(
    queue.variant === BATCHES
      ? { eachBatch: async ({ batch }) => batch.messages.forEach(take) }
      : { eachMessage: async ({ message }) => take(message) },
  )
}
