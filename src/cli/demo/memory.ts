import { MemoryBroker, wrapConsumer, wrapProducer } from '../../../adapters/memory/index.ts'
import type { DemoTransport } from './transport.ts'

export async function openMemory(): Promise<DemoTransport> {
  const broker = new MemoryBroker()
  const consumer = broker.connect()
  const deadLettersTaken = new Map<string, number>()
  return {
    title: 'in-memory broker',
    queueNamed: (name) => name,
    async send(signer, queue, body) {
      wrapProducer(broker.connect(), signer).publish(queue, body)
    },
    async copyAll(queue) {
      return broker.peek(queue).map(({ payload, headers }) => ({ body: payload ?? Buffer.alloc(0), headers }))
    },
    async inject(queue, { body, headers }) {
      broker.connect().publish(queue, body, { headers })
    },
    async consume(queue, verifier, handler) {
      await wrapConsumer(consumer, verifier).consume(queue, (message) => {
        handler(message)
        consumer.ack(message)
      })
    },
    async takeDeadLetter(queue) {
      const taken = deadLettersTaken.get(queue) ?? 0
      const letter = broker.peek(`${queue}.dlq`)[taken]
      if (letter !== undefined) deadLettersTaken.set(queue, taken + 1)
      return letter?.headers
    },
    close: () => consumer.close(),
  }
}
