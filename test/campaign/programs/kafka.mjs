// A consumer of Kafka by kafkajs, one record after the other on each partition, three partitions at a time.

import kafkajs from 'kafkajs'
import { adapter, job, onClose, verifier, work } from './common.mjs'

const { wrapConsumer } = await adapter('kafka')
const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 200 }
const kafka = new kafkajs.Kafka({ brokers: job.brokers, logLevel: kafkajs.logLevel.NOTHING, retry })
wrapConsumer(kafka, verifier, { onVerdict: () => undefined })
const consumer = kafka.consumer({
  groupId: job.groupId,
  maxWaitTimeInMs: 50,
  heartbeatInterval: 300,
  sessionTimeout: 6_000,
  retry,
})
// One that gives up is begun anew by what watches over its process.
consumer.on(consumer.events.CRASH, ({ payload }) => {
  if (!payload.restart) process.exit(1)
})
await consumer.connect()
await consumer.subscribe({ topic: job.topic, fromBeginning: true })
await consumer.run({
  autoCommitThreshold: 10,
  partitionsConsumedConcurrently: 3,
  eachMessage: ({ message }) => work(message.value.toString()),
})
onClose(() => consumer.disconnect())
process.send('consuming')
