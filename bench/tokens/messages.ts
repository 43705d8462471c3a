import type { Message, ReceivedMessage, Verifier } from '../../src/index.ts'

export const QUEUE = 'orders'
export const DESTINATION = 'amqp:/orders'

/** @param ids each with a message id of its own; otherwise they differ in their bodies only */
export function messagesOf(count: number, bytes: number, ids = false): Message[] {
  return Array.from({ length: count }, (_, index) => ({
    destination: DESTINATION,
    payload: Buffer.alloc(bytes, `{"order":${index}}`),
    properties: { contentType: 'application/json', ...(ids && { messageId: `m-${index}` }) },
    headers: { tenant: 'acme' },
  }))
}

/** The messages as a consumer gets them. */
export function receivedWith(messages: readonly Message[], tokens: readonly string[]): ReceivedMessage[] {
  return messages.map(({ destination, ...message }, index) => ({
    ...message,
    queue: QUEUE,
    deliveredBy: [destination],
    token: tokens[index],
  }))
}

export function check(verifier: Verifier, received: ReceivedMessage): void {
  const result = verifier.check(received)
  if ('outcome' in result) throw new Error(`the benchmark is broken: a message is ${result.outcome}`)
}
