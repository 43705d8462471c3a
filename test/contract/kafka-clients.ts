import { connect, type Socket } from 'node:net'
import { type Consumer, type ConsumerConfig, Kafka, logLevel, type Producer } from 'kafkajs'
import type { CuttableProxy } from '../kafka/cuttable-proxy.ts'
import type { ConfluentClient } from '../kafka/find-confluent.ts'

/** A client library for Kafka as the contract suite uses it: what differs between kafkajs and the Confluent client. */
export interface ClientLibrary {
  open(): OpenKafka
  /** a consumer of a group, quick, from the beginning, before it subscribes */
  consumer(kafka: Kafka, groupId: string): Consumer
  subscribe(consumer: Consumer, topic: string): Promise<void>
  /** what the plain client has to be given so that it sends these bytes */
  bytes(value: Uint8Array): Uint8Array
  /** Makes a producer send in the order of the calls, where it does not. */
  keepOrder(producer: Producer): void
  /**
   * Calls back when a consumer ends by itself; one that never does has ended, for the suite, when its handler has failed.
   */
  onEnd(consumer: Consumer, ended: (error: unknown) => void): 'by itself' | 'never'
}

/** A Kafka of its own. */
export interface OpenKafka {
  readonly kafka: Kafka
  /** Breaks its connections, and lets it make no other. */
  cut(): void
  /** What it takes for a client that was cut off to end in good time. */
  mend(): void
}

const quick = { maxWaitTimeInMs: 50, sessionTimeout: 1_000, heartbeatInterval: 200 }

export function kafkajsLibrary(brokers: readonly string[]): ClientLibrary {
  return {
    open: () => {
      const sockets = new Set<Socket>()
      let isCut = false
      const kafka = new Kafka({
        brokers: [...brokers],
        logLevel: logLevel.NOTHING,
        retry: { initialRetryTime: 20, maxRetryTime: 100, retries: 3 },
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
    consumer: (kafka, groupId) => {
      const retry = { initialRetryTime: 20, retries: 5, restartOnFailure: async () => false }
      return kafka.consumer({ groupId, ...quick, retry })
    },
    subscribe: (consumer, topic) => consumer.subscribe({ topic, fromBeginning: true }),
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
  }
}

/** kafkajs wraps the error of a handler that failed too often. */
function causeOf(error: Error): unknown {
  return error.cause instanceof Error ? causeOf(error.cause) : error
}

/** @param proxy what the broker advertises: the client opens its sockets itself */
export function confluentLibrary(client: ConfluentClient, proxy: CuttableProxy): ClientLibrary {
  let opened = 0
  return {
    open: () => {
      const clientId = `client-${++opened}`
      const kafkaJS = { brokers: [proxy.address], clientId, logLevel: client.logLevel.NOTHING }
      const kafka = new client.Kafka({ kafkaJS, 'reconnect.backoff.ms': 50, 'reconnect.backoff.max.ms': 300 })
      return { kafka, cut: () => proxy.cut(clientId), mend: () => proxy.mend(clientId) }
    },
    consumer: (kafka, groupId) => {
      const kafkaJS = { groupId, fromBeginning: true, autoCommitInterval: 100, ...quick }
      return kafka.consumer({ kafkaJS } as unknown as ConsumerConfig)
    },
    subscribe: (consumer, topic) => consumer.subscribe({ topic }),
    // It takes an empty buffer that points nowhere for null.
    bytes: (value) => (value.length === 0 ? Buffer.alloc(1).subarray(0, 0) : value),
    keepOrder: () => undefined,
    onEnd: () => 'never',
  }
}
