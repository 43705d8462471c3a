// A producer and a consumer on RabbitMQ, and someone who only has the broker's password.
//
//   AMQP_URL=amqp://localhost node examples/rabbitmq/main.mjs        (after npm run build)

import { connect } from 'amqplib'
import { AuthorizedKeys, Signer, senderOf, Verifier } from 'queue-key-auth'
import { wrapConsumer, wrapProducer } from 'queue-key-auth/rabbitmq'

const url = process.env.AMQP_URL ?? 'amqp://localhost'
const suffix = process.pid
const exchange = `example-orders-${suffix}`
const queue = `example.orders.created.${suffix}`

// A key that lives as long as this program; a service reads its own with Signer.fromFile.
const signer = Signer.generate('checkout')
const keys = AuthorizedKeys.parse(signer.authorizedKeysLine('example.orders.**'))

const thief = await connect(url)
const stolen = await thief.createConfirmChannel()
await stolen.assertExchange(exchange, 'topic', { autoDelete: true })
await stolen.assertQueue(queue, { durable: false })
// The first dead letter would make it; here it is read before that.
await stolen.assertQueue(`${queue}.dlq`)
await stolen.bindQueue(queue, exchange, 'order.created')

const producer = wrapProducer(await connect(url), signer)
const consumer = wrapConsumer(await connect(url), new Verifier({ keys }), {
  onVerdict: (verdict) => {
    if (verdict.outcome === 'rejected') console.log(`rejected: ${verdict.code}`)
  },
})

const receiving = await consumer.createChannel()
let done
const handled = new Promise((resolve) => {
  done = resolve
})
await receiving.consume(queue, (message) => {
  if (message === null) return
  console.log(`${senderOf(message).service} sent ${message.content}`)
  receiving.ack(message)
  done()
})

stolen.publish(exchange, 'order.created', Buffer.from('{"id":666}'))
await stolen.waitForConfirms()
const sending = await producer.createConfirmChannel()
sending.publish(exchange, 'order.created', Buffer.from('{"id":1}'))
await sending.waitForConfirms()
await handled

let letter = false
while (!letter) letter = await stolen.get(`${queue}.dlq`, { noAck: true })
console.log(`dead letter: ${letter.content}, because of ${letter.properties.headers['queueauth-reason']}`)

await stolen.deleteQueue(queue)
await stolen.deleteQueue(`${queue}.dlq`)
await Promise.all([producer.close(), consumer.close(), thief.close()])
