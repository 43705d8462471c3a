import { connect, type Socket } from 'node:net'
import {
  type Consumer,
  type ConsumerConfig,
  type ConsumerRunConfig,
  Kafka,
  logLevel,
  type Producer,
  type ProducerConfig,
  type Transaction,
} from 'kafkajs'
import type { CuttableProxy } from './cuttable-proxy.ts'
import type { ConfluentClient } from './find-confluent.ts'

/** A client library for Kafka as the tests use it: what differs between kafkajs and the Confluent client. */
export interface ClientLibrary {
  readonly name: 'kafkajs' | 'confluent'
  open(): OpenKafka
  /** a consumer of a group, quick, before it is connected */
  consumer(kafka: Kafka, groupId: string, autoCommit?: boolean): Consumer
  /** subscribes from the beginning, and runs */
  run(consumer: Consumer, topics: (string | RegExp)[], config: ConsumerRunConfig): Promise<void>
  /** a producer that can begin transactions, one at a time */
  transactionalProducer(kafka: Kafka, transactionalId: string): Producer
  /** Commits, with a transaction, that a consumer's group is through with what comes before an offset of partition 0. */
  sendOffset(transaction: Transaction, consumer: Consumer, groupId: string, position: Position): Promise<void>
  /** what the plain client has to be given so that it sends these bytes */
  bytes(value: Uint8Array): Uint8Array
  /** Makes a producer send in the order of the calls, where it does not. */
  keepOrder(producer: Producer): void
  /**
   * Calls back when a consumer ends by itself. One that never does has ended, for the contract suite, when its handler has
   * failed.
   */
  onEnd(consumer: Consumer, ended: (error: unknown) => void): 'by itself' | 'never'
  /** Calls back with the member's id when a consumer has joined its group, where the client tells it. */
  onJoin(consumer: Consumer, joined: (memberId: string) => void): void
}

/** A Kafka of its own. */
export interface OpenKafka {
  readonly kafka: Kafka
  /** Breaks its connections, and lets it make no other. */
  cut(): void
  /** What it takes for a client that was cut off to end in good time. */
  mend(): void
}

export interface Position {
  readonly topic: string
  readonly partition: number
  readonly offset: string
}

/** @param mayEnd whether consumers soon give up a handler that fails, and do not begin anew */
export function kafkajsLibrary(brokers: readonly string[], mayEnd = false): ClientLibrary {
  return {
    name: 'kafkajs',
    open: () => {
      const sockets = new Set<Socket>()
      let isCut = false
      const kafka = new Kafka({
        brokers: [...brokers],
        logLevel: logLevel.NOTHING,
        connectionTimeout: 60_000,
        retry: { initialRetryTime: 20, maxRetryTime: 500, retries: 60 },
        socketFactory: ({ host, port, onConnect }) => {
          const socket = connect({ host, port }, onConnect)
          sockets.add(socket)
          if (isCut) socket.destroy(new Error('the connection was cut'))
          return socket
        },
      })
      const cut = (): void => {
        isCut = true
        for (const socket of sockets) socket.destroy()
      }
      return { kafka, cut, mend: () => undefined }
    },
    consumer: (kafka, groupId) =>
      kafka.consumer({
        groupId,
        maxWaitTimeInMs: 50,
        heartbeatInterval: 200,
        ...(mayEnd && {
          retry: { initialRetryTime: 20, maxRetryTime: 50, retries: 10, restartOnFailure: async () => false },
        }),
      }),
    run: async (consumer, topics, config) => {
      await consumer.subscribe({ topics, fromBeginning: true })
      await consumer.run(config)
    },
    transactionalProducer: (kafka, transactionalId) =>
      kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 }),
    sendOffset: (transaction, _consumer, consumerGroupId, { topic, partition, offset }) =>
      transaction.sendOffsets({ consumerGroupId, topics: [{ topic, partitions: [{ partition, offset }] }] }),
    bytes: (value) => value,
    keepOrder: (producer) => {
      const send = producer.send
      let last: Promise<unknown> = Promise.resolve()
      producer.send = (record) => {
        const sending = last.then(() => send(record))
        last = Promise.allSettled([sending])
        return sending
      }
    },
    onEnd: (consumer, ended) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => ended(causeOf(payload.error)))
      return 'by itself'
    },
    onJoin: (consumer, joined) => {
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => joined(payload.memberId))
    },
  }
}

/** kafkajs wraps the error of a handler that failed too often. */
function causeOf(error: Error): unknown {
  return error.cause instanceof Error ? causeOf(error.cause) : error
}

/** @param proxy what the broker advertises, for clients that are to be cut off: this one opens its sockets itself */
export function confluentLibrary(
  client: ConfluentClient,
  brokers: readonly string[],
  proxy?: CuttableProxy,
): ClientLibrary {
  let opened = 0
  return {
    name: 'confluent',
    open: () => {
      const clientId = `client-${++opened}`
      const kafkaJS = { brokers, clientId, logLevel: client.logLevel.NOTHING }
      const kafka = new client.Kafka({ kafkaJS, 'reconnect.backoff.ms': 50, 'reconnect.backoff.max.ms': 300 })
      return { kafka, cut: () => proxy?.cut(clientId), mend: () => proxy?.mend(clientId) }
    },
    consumer: (kafka, groupId, autoCommit = true) => {
      const quick = { maxWaitTimeInMs: 50, sessionTimeout: 1_000, heartbeatInterval: 200, autoCommitInterval: 100 }
      return kafka.consumer({
        kafkaJS: { groupId, fromBeginning: true, autoCommit, ...quick },
      } as never as ConsumerConfig)
    },
    run: async (consumer, topics, { autoCommit: _, ...config }) => {
      await consumer.subscribe({ topics })
      await consumer.run(config)
    },
    transactionalProducer: (kafka, transactionalId) =>
      kafka.producer({ kafkaJS: { transactionalId } } as never as ProducerConfig),
    sendOffset: (transaction, consumer, _groupId, { topic, partition, offset }) =>
      transaction.sendOffsets({ consumer, topics: [{ topic, partitions: [{ partition, offset }] }] } as never),
    // It takes an empty buffer that points nowhere for null.
    bytes: (value) => (value.length === 0 ? Buffer.alloc(1).subarray(0, 0) : value),
    keepOrder: () => undefined,
    onEnd: () => 'never',
    // Its sessions are short instead. Its heartbeats come from a thread of their own.
    onJoin: () => undefined,
  }
}
