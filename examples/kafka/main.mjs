// A producer and a consumer on Kafka, and someone who only has access to the broker.
//
//   KAFKA_BROKERS=localhost:9092 node examples/kafka/main.mjs        (after npm run build)

import kafkajs from 'kafkajs'
import { AuthorizedKeys, Signer, senderOf, Verifier } from 'queue-key-auth'
import { wrapConsumer, wrapProducer } from 'queue-key-auth/kafka'

const brokers = (process.env.KAFKA_BROKERS ?? 'localhost:9092').split(',')
const topic = `example.orders.${process.pid}`
const newKafka = () => new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING })

// A key that lives as long as this program; a service reads its own with Signer.fromFile.
const signer = Signer.generate('checkout')
const keys = AuthorizedKeys.parse(signer.authorizedKeysLine('example.orders.*'))

const admin = newKafka().admin()
await admin.connect()
// Producers wait for a new topic by themselves.
await admin.createTopics({ waitForLeaders: false, topics: [{ topic }] })

const thief = newKafka().producer()
await thief.connect()
await thief.send({ topic, messages: [{ key: 'order', value: '{"id":666}' }] })

const producer = wrapProducer(newKafka(), signer).producer()
await producer.connect()
await producer.send({ topic, messages: [{ key: 'order', value: '{"id":1}' }] })

const kafka = wrapConsumer(newKafka(), new Verifier({ keys }), {
  onVerdict: (verdict) => {
    if (verdict.outcome === 'rejected') console.log(`rejected: ${verdict.code}`)
  },
})
await consumeOne(kafka.consumer({ groupId: `example-${topic}` }), topic, (message) => {
  console.log(`${senderOf(message).service} sent ${message.value}`)
})

// Dead letters are for people to look at, so nothing checks them.
await consumeOne(newKafka().consumer({ groupId: `letters-${topic}` }), `${topic}-dlt`, ({ value, headers }) => {
  console.log(`dead letter: ${value}, because of ${headers['queueauth-reason']}`)
})

await Promise.all([thief.disconnect(), producer.disconnect()])
await admin.deleteTopics({ topics: [topic, `${topic}-dlt`] })
await admin.disconnect()

async function consumeOne(consumer, from, handle) {
  await consumer.connect()
  await consumer.subscribe({ topics: [from], fromBeginning: true })
  await new Promise((resolve) => {
    consumer.run({
      eachMessage: async ({ message }) => {
        handle(message)
        resolve()
      },
    })
  })
  await consumer.disconnect()
}
