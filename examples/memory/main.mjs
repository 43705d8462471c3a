// Two services on the in-memory broker: one is authorized for the queue, the other is not.
//
//   node examples/memory/main.mjs        (after npm run build)

import { AuthorizedKeys, Signer, senderOf, Verifier } from 'queue-key-auth'
import { MemoryBroker, wrapConsumer, wrapProducer } from 'queue-key-auth/memory'

const broker = new MemoryBroker()

const checkout = Signer.generate('checkout')
const reporting = Signer.generate('reporting')
const keys = AuthorizedKeys.parse(`
${checkout.authorizedKeysLine('orders')}
${reporting.authorizedKeysLine('reports')}
`)

const verifier = new Verifier({ keys })
const consumer = wrapConsumer(broker.connect(), verifier, {
  onVerdict: (verdict) => {
    if (verdict.outcome === 'rejected') console.log(`rejected: ${verdict.code}`)
  },
})
const handled = new Promise((resolve) => {
  consumer.consume('orders', (message) => {
    console.log(`${senderOf(message).service} sent ${Buffer.from(message.payload)}`)
    consumer.ack(message)
    resolve()
  })
})

wrapProducer(broker.connect(), reporting).publish('orders', Buffer.from('{"id":666}'))
wrapProducer(broker.connect(), checkout).publish('orders', Buffer.from('{"id":1}'))

await handled
await consumer.close()
