// A consumer of Kafka in a process of its own, to be killed at any moment. It notes what it handled in a file.

import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import kafkajs from 'kafkajs'

const { built, brokers, topic, groupId, authorizedKeys, effectsFile, mode, dieAfter } = JSON.parse(process.argv[2])
const { AuthorizedKeys, Verifier } = await import(join(built, 'src/index.js'))
const { wrapConsumer } = await import(join(built, 'adapters/kafka/index.js'))

process.on('disconnect', () => process.exit(1))

const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 60 }
const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING, connectionTimeout: 60_000, retry })
wrapConsumer(kafka, new Verifier({ keys: AuthorizedKeys.parse(authorizedKeys) }), { onVerdict: () => undefined })
const consumer = kafka.consumer({
  groupId,
  retry,
  maxWaitTimeInMs: 50,
  heartbeatInterval: 300,
  maxBytesPerPartition: 20_000,
})
consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => process.send({ memberId: payload.memberId }))
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
let noted = 0
const note = ({ value }) => {
  appendFileSync(effectsFile, `${value}\n`)
  // Somewhere in what comes next: a handler, a dead letter, a commit.
  if (++noted === dieAfter) setTimeout(() => process.kill(process.pid, 'SIGKILL'), Math.random() * 20)
}
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
