import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { SetupError, Signer, senderOf } from 'queue-key-auth'
import * as jwtKeyAuth from 'queue-key-auth/jwt-key-auth'
import * as kafka from 'queue-key-auth/kafka'
import { MemoryBroker, wrapConsumer, wrapProducer } from 'queue-key-auth/memory'
import * as rabbitmq from 'queue-key-auth/rabbitmq'
import * as redisStreams from 'queue-key-auth/redis-streams'
import { testKeys } from 'queue-key-auth/testing'

process.on('warning', (warning) => {
  if (warning.name !== 'QueueKeyAuthWarning') throw warning
})

const { signer, verifier } = testKeys('checkout', 'orders')
const broker = new MemoryBroker()
const producer = wrapProducer(broker.connect(), signer)
const consumer = wrapConsumer(broker.connect(), verifier)
const handled = []
await consumer.consume('orders', (message) => {
  handled.push(senderOf(message).service)
  consumer.ack(message)
})
producer.publish('orders', Buffer.from('signed'))
broker.connect().publish('orders', Buffer.from('forged'))
await turn()
await turn()
assert.deepEqual(handled, ['checkout'])
assert.equal(broker.peek('orders.dlq').length, 1)
assert.throws(() => wrapProducer(producer, Signer.generate('billing')), SetupError)
for (const entry of [jwtKeyAuth, kafka, rabbitmq, redisStreams]) assert.ok(Object.keys(entry).length > 0)
console.log(`handled ${handled}`)
