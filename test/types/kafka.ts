/** Checked by the compiler, never run: the clients fit, and a lone consumer has to say where dead letters go. */

import type { Consumer, Kafka, Producer } from 'kafkajs'
import { wrapConsumer, wrapProducer } from '../../adapters/kafka/index.ts'
import type { Signer } from '../../src/signer.ts'
import type { Verifier } from '../../src/verifier.ts'

export function producers(kafka: Kafka, producer: Producer, consumer: Consumer, signer: Signer): [Kafka, Producer] {
  // @ts-expect-error: a consumer sends nothing
  wrapProducer(consumer, signer)
  return [wrapProducer(kafka, signer), wrapProducer(producer, signer, { preserveToken: true })]
}

export function consumers(kafka: Kafka, consumer: Consumer, producer: Producer, verifier: Verifier): Kafka {
  // @ts-expect-error: nowhere to write dead letters
  wrapConsumer(consumer, verifier)
  // @ts-expect-error: nor here
  wrapConsumer(consumer, verifier, { onRejected: 'dead-letter' })
  // @ts-expect-error: Kafka has no dead-lettering of its own
  wrapConsumer(kafka, verifier, { onRejected: 'reject' })
  const wrapped: Consumer = wrapConsumer(consumer, verifier, { deadLetterProducer: producer })
  wrapConsumer(wrapped, verifier, { onRejected: 'acknowledge' })
  wrapConsumer(consumer, verifier, {
    deadLetter: async ({ message: { topic, message } }) => console.log(topic, message.offset),
  })
  return wrapConsumer(kafka, verifier, { onVerdict: ({ outcome }, { partition }) => console.log(outcome, partition) })
}
