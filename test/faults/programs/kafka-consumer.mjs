// A consumer of Kafka in a process of its own, to be killed at any moment. It notes what it handled in a file.

import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { dieSoon, openClient } from './kafka-client.mjs'

const { built, brokers, topic, groupId, authorizedKeys, effectsFile, mode, dieAfter, confluent } = JSON.parse(
  process.argv[2],
)
const { AuthorizedKeys, Verifier } = await import(join(built, 'src/index.js'))
const { wrapConsumer } = await import(join(built, 'adapters/kafka/index.js'))

process.on('disconnect', () => process.exit(1))

const client = openClient({ brokers, confluent })
wrapConsumer(client.kafka, new Verifier({ keys: AuthorizedKeys.parse(authorizedKeys) }), { onVerdict: () => undefined })
const consumer = client.consumer(groupId)
await consumer.connect()
await client.subscribe(consumer, topic)
let noted = 0
const note = ({ value }) => {
  appendFileSync(effectsFile, `${value}\n`)
  if (++noted === dieAfter) dieSoon()
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
