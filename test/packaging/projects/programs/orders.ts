import { setImmediate as turn } from 'node:timers/promises'
import { senderOf, type Verifier } from 'queue-key-auth'
import { MemoryBroker, type MemoryMessage, wrapConsumer, wrapProducer } from 'queue-key-auth/memory'
import { type TestKeys, testKeys } from 'queue-key-auth/testing'

async function main(): Promise<void> {
  const { signer, verifier }: TestKeys = testKeys('checkout', 'orders')
  const broker = new MemoryBroker()
  const judge: Verifier = verifier
  const producer = wrapProducer(broker.connect(), signer)
  const consumer = wrapConsumer(broker.connect(), judge)
  const handled: (string | undefined)[] = []
  await consumer.consume('orders', (message: MemoryMessage) => {
    handled.push(senderOf(message)?.service)
    consumer.ack(message)
  })
  producer.publish('orders', Buffer.from('signed'))
  broker.connect().publish('orders', Buffer.from('forged'))
  await turn()
  await turn()
  if (broker.peek('orders.dlq').length !== 1) throw new Error('the forged message is not among the dead letters')
  console.log(`handled ${handled}`)
}

void main()
