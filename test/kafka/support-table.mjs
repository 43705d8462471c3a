/**
 * Tries what kafkajs does against a running Kafka and prints a table of what works. Not a test: the table in
 * docs/kafka.md comes from here.
 *
 *     TEST_KAFKA_BROKERS=127.0.0.1:9092 node test/kafka/support-table.mjs
 */
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'

const { AssignerProtocol, CompressionTypes, ConfigResourceTypes, Kafka, logLevel, PartitionAssigners } = kafkajs
const brokers = (process.env.TEST_KAFKA_BROKERS ?? '127.0.0.1:9092').split(',')
const retry = { retries: 4, initialRetryTime: 100 }
const kafka = new Kafka({ clientId: 'support', brokers, logLevel: logLevel.NOTHING, retry })
const run = Date.now().toString(36)
const admin = kafka.admin()
let count = 0

async function topic(numPartitions = 1, configEntries = []) {
  const name = `support-${run}-${++count}`
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic: name, numPartitions, configEntries }] })
  return name
}

async function withProducer(options, use) {
  const producer = kafka.producer({ retry, ...options })
  await producer.connect()
  try {
    return await use(producer)
  } finally {
    await producer.disconnect()
  }
}

/** Reads `expected` messages from the beginning. */
async function read(name, expected, { options = {}, runOptions = {}, seconds = 15 } = {}) {
  const consumer = kafka.consumer({ groupId: `group-${name}-${++count}`, maxWaitTimeInMs: 200, ...options })
  await consumer.connect()
  await consumer.subscribe({ topic: name, fromBeginning: true })
  const messages = []
  await consumer.run({ eachMessage: async ({ message }) => void messages.push(message), ...runOptions })
  for (const end = Date.now() + seconds * 1000; messages.length < expected && Date.now() < end; ) await sleep(50)
  await consumer.disconnect()
  if (messages.length < expected) throw new Error(`${messages.length} of ${expected} messages came`)
  return messages
}

function must(condition, what) {
  if (!condition) throw new Error(what)
}

const group = async (name, work) => {
  const consumer = kafka.consumer({ groupId: name, maxWaitTimeInMs: 200 })
  await consumer.connect()
  try {
    return await work(consumer)
  } finally {
    await consumer.disconnect()
  }
}

const rows = [
  [
    'producing, `acks` -1, 1 and 0',
    async () => {
      const name = await topic()
      await withProducer({}, async (producer) => {
        for (const acks of [-1, 1, 0]) await producer.send({ topic: name, acks, messages: [{ value: 'x' }] })
      })
      await read(name, 3)
    },
  ],
  [
    '`sendBatch` to several topics',
    async () => {
      const names = [await topic(), await topic()]
      await withProducer({}, (producer) =>
        producer.sendBatch({ topicMessages: names.map((name) => ({ topic: name, messages: [{ value: 'x' }] })) }),
      )
      for (const name of names) await read(name, 1)
    },
  ],
  [
    'keys, null values, headers, header lists',
    async () => {
      const name = await topic()
      await withProducer({}, (producer) =>
        producer.send({
          topic: name,
          messages: [{ key: 'k', value: null, headers: { a: 'b', list: ['1', Buffer.from('2')] } }],
        }),
      )
      const [message] = await read(name, 1)
      must(message.value === null && message.key.equals(Buffer.from('k')), 'the value is not null')
      must(message.headers.list.length === 2 && Buffer.isBuffer(message.headers.a), 'headers differ')
    },
  ],
  [
    'null header values',
    async () => {
      const name = await topic()
      await withProducer({}, (producer) =>
        producer.send({ topic: name, messages: [{ value: 'x', headers: { a: null } }] }),
      )
      await read(name, 1)
    },
  ],
  [
    'gzip compression',
    async () => {
      const name = await topic()
      await withProducer({}, (producer) =>
        producer.send({ topic: name, compression: CompressionTypes.GZIP, messages: [{ value: 'x'.repeat(1000) }] }),
      )
      await read(name, 1)
    },
  ],
  [
    'snappy, lz4, zstd compression without a codec package',
    async () => {
      const name = await topic()
      await withProducer({}, (producer) =>
        producer.send({ topic: name, compression: CompressionTypes.Snappy, messages: [{ value: 'x' }] }),
      )
    },
  ],
  [
    'idempotent producer',
    async () => {
      const name = await topic()
      await withProducer({ idempotent: true, maxInFlightRequests: 1 }, async (producer) => {
        for (let n = 0; n < 5; n++) await producer.send({ topic: name, messages: [{ value: 'x' }] })
      })
      await read(name, 5)
    },
  ],
  [
    'transaction: commit, abort, read-committed',
    async () => {
      const name = await topic()
      await withProducer(
        { transactionalId: `tx-${name}`, idempotent: true, maxInFlightRequests: 1 },
        async (producer) => {
          const aborted = await producer.transaction()
          await aborted.send({ topic: name, messages: [{ value: 'aborted' }] })
          await aborted.abort()
          const committed = await producer.transaction()
          await committed.sendBatch({ topicMessages: [{ topic: name, messages: [{ value: 'committed' }] }] })
          await committed.commit()
        },
      )
      const messages = await read(name, 1)
      must(
        messages.every(({ value }) => value.toString() === 'committed'),
        'an aborted message came',
      )
    },
  ],
  [
    'transaction: `sendOffsets`',
    async () => {
      const name = await topic()
      const groupId = `group-${name}-tx`
      await withProducer(
        { transactionalId: `tx-${name}`, idempotent: true, maxInFlightRequests: 1 },
        async (producer) => {
          const transaction = await producer.transaction()
          await transaction.send({ topic: name, messages: [{ value: 'x' }] })
          await transaction.sendOffsets({
            consumerGroupId: groupId,
            topics: [{ topic: name, partitions: [{ partition: 0, offset: '1' }] }],
          })
          await transaction.commit()
        },
      )
      // The commit of the transaction reaches the group a moment later.
      let offset
      for (let n = 0; offset !== '1' && n < 50; n++) {
        const [offsets] = await admin.fetchOffsets({ groupId, topics: [name] })
        offset = offsets.partitions[0].offset
        await sleep(50)
      }
      must(offset === '1', 'the offset was not committed')
    },
  ],
  [
    '`eachMessage`, `eachBatch`, committed offsets',
    async () => {
      const name = await topic(3)
      await withProducer({}, (producer) =>
        producer.send({ topic: name, messages: Array.from({ length: 30 }, (_, n) => ({ key: `${n}`, value: 'x' })) }),
      )
      const groupId = `group-${name}-batch`
      let got = 0
      await group(groupId, async (consumer) => {
        await consumer.subscribe({ topic: name, fromBeginning: true })
        await consumer.run({
          eachBatch: async ({ batch }) => {
            got += batch.messages.length
          },
        })
        for (let n = 0; got < 30 && n < 200; n++) await sleep(50)
        await consumer.stop()
      })
      must(got === 30, `${got} of 30`)
      const [offsets] = await admin.fetchOffsets({ groupId, topics: [name] })
      must(
        offsets.partitions.reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0) === 30,
        'offsets are not committed',
      )
    },
  ],
  [
    '`seek`, `pause`, `resume`',
    async () => {
      const name = await topic()
      await withProducer({}, (producer) => producer.send({ topic: name, messages: [{ value: '0' }, { value: '1' }] }))
      const got = []
      await group(`group-${name}-seek`, async (consumer) => {
        await consumer.subscribe({ topic: name, fromBeginning: true })
        await consumer.run({ eachMessage: async ({ message }) => void got.push(message.value.toString()) })
        for (let n = 0; got.length < 2 && n < 200; n++) await sleep(50)
        consumer.pause([{ topic: name }])
        consumer.seek({ topic: name, partition: 0, offset: '0' })
        consumer.resume([{ topic: name }])
        for (let n = 0; got.length < 4 && n < 200; n++) await sleep(50)
      })
      must(got.join('') === '0101', got.join(''))
    },
  ],
  [
    'rebalance between two members (classic protocol)',
    async () => {
      const name = await topic(4)
      const groupId = `group-${name}-two`
      const assigned = []
      const member = async () => {
        const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 200, heartbeatInterval: 300 })
        consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
          assigned.push(payload.memberAssignment[name]?.length ?? 0),
        )
        await consumer.connect()
        await consumer.subscribe({ topic: name })
        await consumer.run({ eachMessage: async () => undefined })
        return consumer
      }
      const members = [await member(), await member()]
      for (let n = 0; assigned.filter((partitions) => partitions === 2).length < 2 && n < 200; n++) await sleep(50)
      for (const consumer of members) await consumer.disconnect()
      must(assigned.filter((partitions) => partitions === 2).length >= 2, assigned.join())
    },
  ],
  [
    'new consumer group protocol (KIP-848), cooperative rebalancing',
    async () => {
      must(
        Object.keys(PartitionAssigners).length > 1 || 'cooperativeSticky' in PartitionAssigners,
        `assigners: ${Object.keys(PartitionAssigners)}`,
      )
    },
  ],
  [
    'static membership (`group.instance.id`)',
    async () => {
      must(/groupInstanceId/.test(String(AssignerProtocol.MemberMetadata.encode)), 'the client has no option for it')
    },
  ],
  [
    'fetching compacted topics',
    async () => {
      const name = await topic(1, [{ name: 'cleanup.policy', value: 'compact' }])
      await withProducer({}, (producer) =>
        producer.send({
          topic: name,
          messages: [
            { key: 'k', value: 'x' },
            { key: 'k', value: null },
          ],
        }),
      )
      await read(name, 1)
    },
  ],
  [
    '`logAppendTime` timestamps',
    async () => {
      const name = await topic(1, [{ name: 'message.timestamp.type', value: 'LogAppendTime' }])
      await withProducer({}, (producer) => producer.send({ topic: name, messages: [{ value: 'x' }] }))
      await read(name, 1)
    },
  ],
  [
    'admin: create, describe, delete topics',
    async () => {
      const name = await topic()
      must((await admin.listTopics()).includes(name), 'not listed')
      await admin.fetchTopicMetadata({ topics: [name] })
      await admin.deleteTopics({ topics: [name] })
    },
  ],
  [
    'admin: create partitions',
    async () => {
      const name = await topic()
      await admin.createPartitions({ topicPartitions: [{ topic: name, count: 2 }] })
    },
  ],
  [
    'admin: delete records',
    async () => {
      const name = await topic()
      await withProducer({}, (producer) => producer.send({ topic: name, messages: [{ value: 'x' }] }))
      await admin.fetchTopicOffsets(name) // or the client knows no leader yet
      await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: '1' }] })
    },
  ],
  [
    'admin: describe and alter configs',
    async () => {
      const name = await topic()
      const resource = { type: ConfigResourceTypes.TOPIC, name }
      await admin.describeConfigs({ includeSynonyms: false, resources: [resource] })
      await admin.alterConfigs({
        validateOnly: false,
        resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '1000' }] }],
      })
    },
  ],
  [
    'admin: fetch, set and reset offsets; topic offsets',
    async () => {
      const name = await topic()
      await admin.setOffsets({ groupId: `g-${name}`, topic: name, partitions: [{ partition: 0, offset: '0' }] })
      await admin.fetchOffsets({ groupId: `g-${name}`, topics: [name] })
      await admin.fetchTopicOffsets(name)
      await admin.fetchTopicOffsetsByTimestamp(name, Date.now())
    },
  ],
  [
    'admin: list, describe, delete groups',
    async () => {
      const name = await topic()
      await admin.setOffsets({ groupId: `g-${name}`, topic: name, partitions: [{ partition: 0, offset: '0' }] })
      await admin.listGroups()
      await admin.describeGroups([`g-${name}`])
      await admin.deleteGroups([`g-${name}`])
    },
  ],
  [
    'admin: partition reassignments',
    async () => {
      const name = await topic()
      await admin.listPartitionReassignments({ topics: [{ topic: name, partitions: [0] }] })
      await admin.alterPartitionReassignments({
        topics: [{ topic: name, partitionAssignment: [{ partition: 0, replicas: [1] }] }],
      })
    },
  ],
]

await admin.connect()
console.log('| what | kafkajs 2.2.4 |\n| --- | --- |')
for (const [what, attempt] of rows) {
  let answer = 'works'
  try {
    await attempt()
  } catch (error) {
    answer = `**no**: ${error.name === 'Error' ? '' : `${error.name}: `}${error.message.split('\n')[0]}`
  }
  console.log(`| ${what} | ${answer} |`)
}
await admin.disconnect()
