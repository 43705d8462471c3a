// A consumer of Kafka in a process of its own, to be killed at any moment. It notes what it handled in a file.

import { appendFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import kafkajs from 'kafkajs'

const { built, brokers, topic, groupId, authorizedKeys, effectsFile, mode, confluent } = JSON.parse(process.argv[2])
const { AuthorizedKeys, Verifier } = await import(join(built, 'src/index.js'))
const { wrapConsumer } = await import(join(built, 'adapters/kafka/index.js'))

process.on('disconnect', () => process.exit(1))

const quick = {
  groupId,
  maxWaitTimeInMs: 50,
  sessionTimeout: 2_000,
  heartbeatInterval: 300,
  maxBytesPerPartition: 20_000,
}

function withKafkajs() {
  const retry = { initialRetryTime: 50, maxRetryTime: 500 }
  const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING, retry })
  return { kafka, make: () => kafka.consumer({ ...quick, retry }), subscription: { topic, fromBeginning: true } }
}

function withConfluent() {
  const { KafkaJS } = createRequire(confluent)(confluent)
  const kafka = new KafkaJS.Kafka({ kafkaJS: { brokers, logLevel: KafkaJS.logLevel.NOTHING } })
  const kafkaJS = { ...quick, fromBeginning: true, autoCommitInterval: 100 }
  return { kafka, make: () => kafka.consumer({ kafkaJS }), subscription: { topic } }
}

const { kafka, make, subscription } = confluent === undefined ? withKafkajs() : withConfluent()
wrapConsumer(kafka, new Verifier({ keys: AuthorizedKeys.parse(authorizedKeys) }), { onVerdict: () => undefined })
const consumer = make()
await consumer.connect()
await consumer.subscribe(subscription)
const note = ({ value }) => appendFileSync(effectsFile, `${value}\n`)
await consumer.run({
  partitionsConsumedConcurrently: 3,
  ...(mode === 'eachMessage' && { eachMessage: async ({ message }) => note(message) }),
  ...(mode === 'eachBatch' && {
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, isRunning, isStale }) => {
      for (const message of batch.messages) {
        if (!isRunning() || isStale()) return
        note(message)
        resolveOffset(message.offset)
        await heartbeat()
        await commitOffsetsIfNecessary()
      }
    },
  }),
})
process.on('message', async (message) => {
  if (message !== 'close') return
  await consumer.disconnect()
  process.disconnect()
  process.exit(0)
})
process.send('consuming')
