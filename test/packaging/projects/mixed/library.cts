// A CommonJS library of the house, which gets the objects of an application that consists of ES modules.

import { type AuthorizedKeys, type RejectedError, SetupError, type Signer, senderOf, Verifier } from 'queue-key-auth'
import { type MemoryBroker, type MemoryMessage, wrapConsumer, wrapProducer } from 'queue-key-auth/memory'
import type { TestKeys } from 'queue-key-auth/testing'

export function publish(broker: MemoryBroker, signer: Signer): void {
  wrapProducer(broker.connect(), signer).publish('orders', Buffer.from('signed'))
}

export async function consume(broker: MemoryBroker, verifier: Verifier): Promise<string[]> {
  const handled: string[] = []
  const client = wrapConsumer(broker.connect(), verifier)
  await client.consume('orders', (message: MemoryMessage) => {
    handled.push(senderOf(message)?.service ?? 'nothing')
    client.ack(message)
  })
  return handled
}

export const verifierOf = (keys: AuthorizedKeys): Verifier => new Verifier({ keys })
export const nameOf = ({ signer }: TestKeys): string => signer.service
export const codeOf = (error: SetupError | RejectedError): string => error.code
export const isOurs = (error: unknown): boolean => error instanceof SetupError
