// Which build each way of loading gets, and that the two are one package to a program that has both.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { setImmediate as turn } from 'node:timers/promises'
import * as imported from 'queue-key-auth'
import * as importedJwt from 'queue-key-auth/jwt-key-auth'
import * as importedMemory from 'queue-key-auth/memory'
import * as importedTesting from 'queue-key-auth/testing'

const require = createRequire(import.meta.url)
const required = require('queue-key-auth')
const requiredJwt = require('queue-key-auth/jwt-key-auth')
const requiredMemory = require('queue-key-auth/memory')
const requiredTesting = require('queue-key-auth/testing')

const entries = [
  [imported, required],
  [importedJwt, requiredJwt],
  [importedMemory, requiredMemory],
  [importedTesting, requiredTesting],
]

let classes = 0
for (const [theirs, ours] of entries) {
  assert.deepEqual(Object.keys(theirs).sort(), Object.keys(ours).sort())
  for (const [name, Class] of Object.entries(theirs)) {
    if (typeof Class !== 'function' || !/^class\b/.test(Function.prototype.toString.call(Class))) continue
    assert.ok(Object.create(Class.prototype) instanceof ours[name], name)
    assert.ok(Object.create(ours[name].prototype) instanceof Class, name)
    classes++
  }
}

async function together([keys, adapter]) {
  const { signer, verifier } = keys.testing.testKeys('checkout', 'orders')
  const broker = new keys.memory.MemoryBroker()
  const producer = adapter.memory.wrapProducer(broker.connect(), signer)
  const consumer = adapter.memory.wrapConsumer(broker.connect(), verifier)
  let verdicts = 0
  const stop = keys.core.subscribe('queue-key-auth:verdict', () => verdicts++)
  const senders = []
  await consumer.consume('orders', (message) => {
    senders.push(keys.core.senderOf(message).service, adapter.core.senderOf(message).service)
    consumer.ack(message)
  })
  producer.publish('orders', Buffer.from('signed'))
  broker.connect().publish('orders', Buffer.from('forged'))
  await turn()
  await turn()
  stop()
  assert.deepEqual([senders, verdicts, broker.peek('orders.dlq').length], [['checkout', 'checkout'], 2, 1])
  // Wrapped by one, wrapped for the other.
  const { publish } = producer
  assert.equal(keys.memory.isWrapped(producer, 'producer'), true)
  keys.memory.wrapProducer(producer, signer)
  assert.equal(producer.publish, publish)
  const another = keys.core.Signer.generate('billing')
  assert.throws(
    () => keys.memory.wrapProducer(producer, another),
    (error) => error instanceof adapter.core.SetupError && error.code === 'already-wrapped',
  )
}

const esm = { core: imported, memory: importedMemory, testing: importedTesting }
const cjs = { core: required, memory: requiredMemory, testing: requiredTesting }
await together([esm, cjs])
await together([cjs, esm])
console.log(imported.Signer === required.Signer ? 'one build' : 'two builds', `${classes} classes`)
