/**
 * Tries the adapter with the Confluent client on a running Kafka. A script and no test, since the client compiles
 * librdkafka where there is no binary for it.
 *
 *     npm install --no-save @confluentinc/kafka-javascript && npm run build
 *     TEST_KAFKA_BROKERS=127.0.0.1:9092 node test/kafka/confluent.mjs
 */
import { deepStrictEqual, match, rejects, strictEqual, throws } from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

const client = process.env.CONFLUENT_CLIENT ?? '@confluentinc/kafka-javascript'
const dist = process.env.DIST ?? new URL('../../dist', import.meta.url).href
const { KafkaJS } = (await import(client)).default
const { wrapConsumer, wrapProducer } = await import(`${dist}/adapters/kafka/index.js`)
const { senderOf, Verifier, MemoryReplayStore } = await import(`${dist}/src/index.js`)
const { testKeys } = await import(`${dist}/src/testing.js`)

const brokers = (process.env.TEST_KAFKA_BROKERS ?? '127.0.0.1:9092').split(',')
const newKafka = () => new KafkaJS.Kafka({ kafkaJS: { brokers, logLevel: KafkaJS.logLevel.NOTHING } })
const admin = newKafka().admin()
await admin.connect()
const quiet = { onVerdict: () => undefined }
let count = 0

async function topic(configEntries = []) {
  const name = `confluent-${Date.now().toString(36)}-${++count}`
  await admin.createTopics({ topics: [{ topic: name, numPartitions: 1, configEntries }] })
  return name
}

async function until(condition, what) {
  for (const end = Date.now() + 30_000; !(await condition()); await sleep(20)) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`)
  }
}

const config = (groupId) => ({ kafkaJS: { groupId, fromBeginning: true }, 'auto.commit.interval.ms': 100 })

async function consume(kafka, name, run, groupId = `group-${name}`) {
  const consumer = kafka.consumer(config(groupId))
  await consumer.connect()
  await consumer.subscribe({ topics: [name] })
  await consumer.run(run)
  return consumer
}

async function read(name, expected) {
  const messages = []
  const consumer = await consume(
    newKafka(),
    name,
    { eachMessage: async ({ message }) => void messages.push(message) },
    `reader-${name}-${++count}`,
  )
  await until(() => messages.length >= expected, `${expected} records in ${name}`)
  await consumer.disconnect()
  strictEqual(messages.length, expected)
  return messages
}

async function sendPlain(name, messages) {
  const producer = newKafka().producer()
  await producer.connect()
  await producer.send({ topic: name, messages })
  await producer.disconnect()
}

const forged = (values) => values.map((value) => ({ value, key: 'k', headers: { queueauth: 'no.to.ken' } }))

function deepFreeze(value) {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  for (const item of Object.values(value)) deepFreeze(item)
  return Object.freeze(value)
}

const checks = {
  'send and sendBatch sign, and leave frozen input alone': async () => {
    const name = await topic()
    const { signer, verifier } = testKeys('checkout', name)
    const producer = wrapProducer(newKafka(), signer).producer()
    await producer.connect()
    const messages = (kind) => [
      { key: 'k', value: kind, headers: { a: 'b', list: ['1', Buffer.from('2')], 'content-type': 'text/plain' } },
      { key: Buffer.from([0xff]), value: Buffer.from(`${kind} bytes`), timestamp: '1000' },
      { key: 'k', value: null, headers: { none: undefined } },
    ]
    await producer.send(deepFreeze({ topic: name, messages: messages('send') }))
    await producer.sendBatch(deepFreeze({ topicMessages: [{ topic: name, messages: messages('batch') }] }))
    await producer.disconnect()
    const got = []
    const consumer = await consume(wrapConsumer(newKafka(), verifier, quiet), name, {
      eachMessage: async ({ message }) =>
        void got.push([message.value?.toString() ?? null, senderOf(message)?.service]),
    })
    await until(() => got.length === 6, 'six records')
    await consumer.disconnect()
    deepStrictEqual(
      got.map(([value]) => value),
      ['send', 'send bytes', null, 'batch', 'batch bytes', null],
    )
    strictEqual(
      got.every(([, service]) => service === 'checkout'),
      true,
    )
  },
  'a null header is refused, and nothing is produced': async () => {
    const name = await topic()
    const producer = wrapProducer(newKafka().producer(), testKeys('checkout').signer)
    await producer.connect()
    await rejects(producer.send({ topic: name, messages: [{ value: 'x', headers: { a: null } }] }), {
      code: 'header-unsupported',
    })
    await producer.send({ topic: name, messages: [{ value: 'good' }] })
    await producer.disconnect()
    strictEqual(String((await read(name, 1))[0].value), 'good')
  },
  'transactions: what is aborted is not seen': async () => {
    const name = await topic()
    const { signer, verifier } = testKeys('checkout', name)
    const producer = wrapProducer(newKafka(), signer).producer({ kafkaJS: { transactionalId: name } })
    await producer.connect()
    for (const end of ['abort', 'commit']) {
      const transaction = await producer.transaction()
      await transaction.send({ topic: name, messages: [{ value: end }] })
      await transaction[end]()
    }
    await producer.disconnect()
    const got = []
    const consumer = await consume(wrapConsumer(newKafka(), verifier, quiet), name, {
      eachMessage: async ({ message }) => void got.push(String(message.value)),
    })
    await until(() => got.length > 0, 'the committed record')
    await consumer.disconnect()
    deepStrictEqual(got, ['commit'])
  },
  'eachMessage: 300 malformed among good ones; seek back; new group': async () => {
    const name = await topic()
    const { signer, verifier } = testKeys('checkout', name)
    const producer = wrapProducer(newKafka().producer(), signer)
    await producer.connect()
    await producer.send({ topic: name, messages: [{ value: 'a' }] })
    await sendPlain(name, forged(Array.from({ length: 300 }, (_, index) => `bad ${index}`)))
    await producer.send({ topic: name, messages: [{ value: 'b' }] })
    await producer.disconnect()
    const got = []
    const eachMessage = async ({ message }) => void got.push(String(message.value))
    const kafka = wrapConsumer(newKafka(), verifier, quiet)
    const consumer = await consume(kafka, name, { eachMessage })
    await until(() => got.length === 2, 'both good records')
    consumer.seek({ topic: name, partition: 0, offset: '301' })
    await until(() => got.length === 3, 'the last one again')
    await consumer.disconnect()
    const other = await consume(kafka, name, { eachMessage }, `other-${name}`)
    await until(() => got.length === 5, 'both in another group')
    await other.disconnect()
    deepStrictEqual(got, ['a', 'b', 'b', 'a', 'b'])
    const letters = await read(`${name}-dlt`, 600)
    match(String(letters[0].headers['queueauth-reason']), /^token-malformed$/)
  },
  'eachBatch by hand: bad ones are passed': async () => {
    const name = await topic()
    const { signer, verifier } = testKeys('checkout', name)
    const producer = wrapProducer(newKafka().producer(), signer)
    await producer.connect()
    await sendPlain(name, forged(['1', '2']))
    await producer.send({ topic: name, messages: [{ value: 'a' }, { value: 'b' }] })
    await sendPlain(name, forged(['3', '4', '5']))
    await producer.disconnect()
    const got = []
    const consumer = await consume(wrapConsumer(newKafka(), verifier, quiet), name, {
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, resolveOffset }) => {
        for (const message of batch.messages) {
          got.push(String(message.value))
          resolveOffset(message.offset)
        }
      },
    })
    const committed = async () => (await consumer.committed([{ topic: name, partition: 0 }]))[0]?.offset
    await until(async () => String(await committed()) === '7', 'the committed offset')
    await consumer.disconnect()
    deepStrictEqual(got, ['a', 'b'])
    await read(`${name}-dlt`, 5)
  },
  'disconnect returns within 5 s while a record is held': async () => {
    for (const mode of ['eachMessage', 'eachBatch']) {
      const name = await topic()
      const { signer, keys } = testKeys('checkout', name)
      const replay = new MemoryReplayStore()
      let asked = 0
      const down = {
        begin: () => {
          asked++
          throw new Error('down')
        },
        commit: replay.commit.bind(replay),
        release: () => undefined,
        renew: () => undefined,
      }
      const producer = wrapProducer(newKafka().producer(), signer)
      await producer.connect()
      await producer.send({ topic: name, messages: [{ value: 'a' }] })
      await producer.disconnect()
      const kafka = wrapConsumer(newKafka(), new Verifier({ keys, replay: down }), quiet)
      const consumer = await consume(kafka, name, { [mode]: async () => process.exit(1) })
      await until(() => asked > 0, 'the record')
      const started = Date.now()
      await consumer.disconnect()
      strictEqual(Date.now() - started < 5_000, true)
    }
  },
  'dead letters that are too large go down the ladder': async () => {
    const name = await topic()
    await admin.createTopics({
      topics: [
        { topic: `${name}-dlt`, numPartitions: 1, configEntries: [{ name: 'max.message.bytes', value: '20000' }] },
      ],
    })
    const random = Buffer.from(Array.from({ length: 60_000 }, () => Math.floor(Math.random() * 256)))
    await sendPlain(name, forged([Buffer.alloc(60_000, 'x'), random, Buffer.from('small')]))
    const consumer = await consume(wrapConsumer(newKafka(), testKeys('checkout').verifier, quiet), name, {
      eachBatch: async () => undefined,
    })
    const letters = await read(`${name}-dlt`, 3)
    await consumer.disconnect()
    deepStrictEqual(
      letters
        .map(({ value }) => value.length)
        .sort((a, b) => a - b)
        .map((length) => (length < 200 ? 'short' : length)),
      ['short', 'short', 60_000],
    )
  },
  'a consumer that is subscribed already is refused': async () => {
    const name = await topic()
    const consumer = newKafka().consumer(config(`group-${name}`))
    await consumer.connect()
    await consumer.subscribe({ topics: [name] })
    throws(() => wrapConsumer(consumer, testKeys('checkout').verifier, { onRejected: 'acknowledge' }), {
      code: 'already-consuming',
    })
    await consumer.disconnect()
  },
}

let failed = 0
for (const [what, check] of Object.entries(checks)) {
  const started = Date.now()
  try {
    await check()
    console.log(`ok    ${what} (${Date.now() - started} ms)`)
  } catch (error) {
    failed++
    console.log(`FAIL  ${what}: ${error.stack}`)
  }
}
await admin.disconnect()
process.exit(failed === 0 ? 0 : 1)
