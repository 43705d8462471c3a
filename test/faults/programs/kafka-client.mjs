// The client library of a program that is to be killed: kafkajs, or the Confluent client at a path.

import { createRequire } from 'node:module'
import kafkajs from 'kafkajs'

const quick = { maxWaitTimeInMs: 50, sessionTimeout: 2_000, heartbeatInterval: 300, maxBytesPerPartition: 20_000 }

export function openClient({ brokers, confluent }) {
  return confluent === undefined ? openKafkajs(brokers) : openConfluent(brokers, confluent)
}

function openKafkajs(brokers) {
  const retry = { initialRetryTime: 50, maxRetryTime: 500 }
  const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING, retry })
  return {
    kafka,
    consumer: (groupId) => kafka.consumer({ groupId, ...quick, retry }),
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
    consumer: (groupId, autoCommit = true) =>
      kafka.consumer({ kafkaJS: { groupId, fromBeginning: true, autoCommit, autoCommitInterval: 100, ...quick } }),
    subscribe: (consumer, topic) => consumer.subscribe({ topic }),
    withoutCommits: {},
    transactional: (transactionalId) => kafka.producer({ kafkaJS: { transactionalId } }),
    offsetsOf: (consumer, _groupId, topics) => ({ consumer, topics }),
  }
}
