import { Kafka, logLevel, type Message, type Producer, type ProducerBatch, type ProducerRecord } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { wrapProducer } from '../../../adapters/kafka/index.ts'
import { Signer } from '../../../src/signer.ts'

// kafkajs looks at what it is to send before it looks for a broker.
const kafka = new Kafka({ brokers: ['127.0.0.1:1'], logLevel: logLevel.NOTHING })
const signer = Signer.generate('checkout')

async function errorOf(sending: Promise<unknown>): Promise<Error> {
  const error = await sending.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof Error)) throw new Error('nothing was thrown')
  return error
}

const valueless = [
  { name: 'alone', message: { key: 'k' } },
  { name: 'with headers', message: { key: 'k', headers: { a: 'b' }, other: 1 } },
  { name: 'undefined', message: { value: undefined, headers: {} } },
] as unknown as readonly { readonly name: string; readonly message: Message }[]

const sends: Readonly<Record<string, (producer: Producer, record: ProducerRecord) => Promise<unknown>>> = {
  send: (producer, record) => producer.send(record),
  sendBatch: (producer, record) => producer.sendBatch({ topicMessages: [record] } satisfies ProducerBatch),
}

describe.each(Object.keys(sends))('a message without a value, by %s', (verb) => {
  const send = sends[verb] as (typeof sends)['send'] & object

  it.each(valueless)('gets the error of the plain client: $name', async ({ message }) => {
    const record = { topic: 'orders', messages: [{ value: 'good' }, message] }
    const plain = await errorOf(send(kafka.producer(), record))
    for (const batch of [false, true]) {
      const error = await errorOf(send(wrapProducer(kafka.producer(), signer, { batch }), record))
      expect(error.message).toBe(plain.message)
      expect(error.name).toBe(plain.name)
    }
  })

  it('shows no token that it came with', async () => {
    const message = { headers: { queueauth: 'secret', a: 'b' } } as unknown as Message
    for (const preserveToken of [false, true]) {
      const producer = wrapProducer(kafka.producer(), signer, { preserveToken })
      const { message: text } = await errorOf(send(producer, { topic: 'orders', messages: [message] }))
      expect(text).toContain('"a":"b"')
      expect(text).not.toMatch(/queueauth|secret/)
    }
  })
})
