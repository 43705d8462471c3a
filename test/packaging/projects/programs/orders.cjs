const assert = require('node:assert/strict')
const { setImmediate: turn } = require('node:timers/promises')
const { Signer, SetupError, senderOf } = require('queue-key-auth')
const { MemoryBroker, wrapConsumer, wrapProducer } = require('queue-key-auth/memory')
const { testKeys } = require('queue-key-auth/testing')

process.on('warning', (warning) => {
  if (warning.name !== 'QueueKeyAuthWarning') throw warning
})

async function main() {
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
  for (const name of ['rabbitmq', 'kafka', 'redis-streams', 'jwt-key-auth']) {
    // Each written out, for bundlers.
    assert.ok(Object.keys(entries[name]).length > 0, name)
  }
  console.log(`handled ${handled}`)
}

const entries = {
  rabbitmq: require('queue-key-auth/rabbitmq'),
  kafka: require('queue-key-auth/kafka'),
  'redis-streams': require('queue-key-auth/redis-streams'),
  'jwt-key-auth': require('queue-key-auth/jwt-key-auth'),
}
main()
