// Run with --experimental-vm-modules: `import` gets the ES modules and `require`, in the same test, the CommonJS build.

import { createRequire } from 'node:module'
import { setImmediate as turn } from 'node:timers/promises'
import { jest } from '@jest/globals'
import * as imported from 'queue-key-auth'
import * as importedMemory from 'queue-key-auth/memory'
import { testKeys } from 'queue-key-auth/testing'

const require = createRequire(import.meta.url)
const required = require('queue-key-auth')
const requiredMemory = require('queue-key-auth/memory')

jest.setTimeout(60_000)

test('both builds are there', () => {
  expect(imported.Signer).not.toBe(required.Signer)
})

test('the signer of one build and the adapter of the other work together', async () => {
  const { signer, verifier } = testKeys('checkout', 'orders')
  const broker = new importedMemory.MemoryBroker()
  const producer = requiredMemory.wrapProducer(broker.connect(), signer)
  const consumer = requiredMemory.wrapConsumer(broker.connect(), verifier)
  const senders = []
  await consumer.consume('orders', (message) => {
    senders.push(imported.senderOf(message).service, required.senderOf(message).service)
    consumer.ack(message)
  })
  producer.publish('orders', Buffer.from('signed'))
  broker.connect().publish('orders', Buffer.from('forged'))
  await turn()
  await turn()
  expect(senders).toEqual(['checkout', 'checkout'])
  expect(broker.peek('orders.dlq').length).toBe(1)
  expect(importedMemory.isWrapped(consumer)).toBe(true)
  expect(() => importedMemory.wrapProducer(producer, imported.Signer.generate('billing'))).toThrow(required.SetupError)
})
