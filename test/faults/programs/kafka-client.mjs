// The client library of a program that is to be killed: kafkajs, or the Confluent client at a path.

import { createRequire } from 'node:module'
import kafkajs from 'kafkajs'

const quick = { maxWaitTimeInMs: 50, heartbeatInterval: 300, maxBytesPerPartition: 20_000 }

export function openClient({ brokers, confluent }) {
  return confluent === undefined ? openKafkajs(brokers) : openConfluent(brokers, confluent)
}

function openKafkajs(brokers) {
  const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 60 }
  const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING, connectionTimeout: 60_000, retry })
  return {
    kafka,
    consumer: (groupId) => {
      const consumer = kafka.consumer({ groupId, ...quick, retry })
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => process.send({ memberId: payload.memberId }))
      return consumer
    },
    subscribe: (consumer, topic) => consumer.subscribe({ topic, fromBeginning: true }),
    withoutCommits: { autoCommit: false },
    transactional: (transactionalId) =>
      kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, retry }),
    offsetsOf: (_consumer, consumerGroupId, topics) => ({ consumerGroupId, topics }),
  }
}

function openConfluent(brokers, path) {
  const { KafkaJS } = createRequire(path)(path)
  const kafka = new KafkaJS.Kafka({ kafkaJS: { brokers, logLevel: KafkaJS.logLevel.NOTHING } })
  return {
    kafka,
    // It does not tell its member's id, so its sessions are short; its heartbeats come from a thread of their own.
    consumer: (groupId, autoCommit = true) =>
      kafka.consumer({
        kafkaJS: { groupId, fromBeginning: true, autoCommit, autoCommitInterval: 100, sessionTimeout: 2_000, ...quick },
        rebalance_cb: () => void process.send({}),
      }),
    subscribe: (consumer, topic) => consumer.subscribe({ topic }),
    withoutCommits: {},
    transactional: (transactionalId) => kafka.producer({ kafkaJS: { transactionalId } }),
    offsetsOf: (consumer, _groupId, topics) => ({ consumer, topics }),
  }
}

/** Somewhere in what comes next: a handler, a dead letter, a commit. */
export function dieSoon() {
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), Math.random() * 20)
}
