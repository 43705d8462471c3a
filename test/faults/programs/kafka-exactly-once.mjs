// Consume, transform, produce in a process of its own, to be killed at any moment. Each record, or each batch, is a
// transaction with its outputs and its offset.

import { join } from 'node:path'
import { dieSoon, openClient } from './kafka-client.mjs'

const { built, brokers, topic, groupId, authorizedKeys, mode, dieAfter, confluent } = JSON.parse(process.argv[2])
const { AuthorizedKeys, Verifier } = await import(join(built, 'src/index.js'))
const { testKeys } = await import(join(built, 'src/testing.js'))
const { wrapConsumer, wrapProducer } = await import(join(built, 'adapters/kafka/index.js'))

process.on('disconnect', () => process.exit(1))

const client = openClient({ brokers, confluent })
wrapProducer(client.kafka, testKeys('loop').signer)
wrapConsumer(client.kafka, new Verifier({ keys: AuthorizedKeys.parse(authorizedKeys) }), { onVerdict: () => undefined })
const producer = client.transactional(`loop-${topic}`)
await producer.connect()
// By then the last transaction of the process before is over, so the offsets are what they are.
await (await producer.transaction()).abort()
const consumer = client.consumer(groupId, false)
await consumer.connect()
await client.subscribe(consumer, topic)

let begun = 0

async function transact(partition, messages, last) {
  if (begun < dieAfter && begun + messages.length >= dieAfter) dieSoon()
  begun += messages.length
  const transaction = await producer.transaction()
  await transaction.send({ topic: `${topic}-out`, messages: messages.map(({ value }) => ({ value: String(value) })) })
  const partitions = [{ partition, offset: String(Number(last) + 1) }]
  await transaction.sendOffsets(client.offsetsOf(consumer, groupId, [{ topic, partitions }]))
  await transaction.commit()
}

await consumer.run({
  ...client.withoutCommits,
  ...(mode === 'eachMessage' && {
    eachMessage: async ({ partition, message }) => transact(partition, [message], message.offset),
  }),
  ...(mode === 'eachBatch' && {
    eachBatch: async ({ batch }) => transact(batch.partition, batch.messages, batch.lastOffset()),
  }),
})
process.on('message', async (message) => {
  if (message !== 'close') return
  await consumer.disconnect()
  await producer.disconnect()
  process.disconnect()
  process.exit(0)
})
