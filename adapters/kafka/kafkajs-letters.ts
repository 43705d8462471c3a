import type { OutgoingMessage } from './client.ts'

/**
 * Several dead letters in one request of kafkajs, none of them lost. Where a broker does not take its part, kafkajs asks
 * the partitioner again and sends to those brokers only that did not answer before. What has moved to a broker that had
 * answered is then not written at all, whether the partitioner or a new leader moved it, and kafkajs says that it was.
 */

/** kafkajs's number for gzip. */
export const GZIP = 1

/** What a tracer copies on its way to the partitioner is the same still: a symbol and a reference survive a spread. */
const CHOICE: unique symbol = Symbol('queue-key-auth.partition')

interface Choice {
  partition?: number
}

type Chooser = (choice: { partitionMetadata: readonly unknown[]; message: OutgoingMessage }) => number

/**
 * Dead letters of one key stay in order, as the default partitioner would have it, without its warning at the start. A
 * letter stays with its partition when it is tried again.
 */
export function samePartition(): Chooser {
  let next = 0
  return ({ partitionMetadata, message }) => {
    const choice = (message as { [CHOICE]?: Choice })[CHOICE] ?? {}
    choice.partition ??= (hashOf(message.key) ?? next++) % partitionMetadata.length
    return choice.partition
  }
}

function hashOf(key: unknown): number | undefined {
  if (key === null || key === undefined) return undefined
  let sum = 0
  for (const byte of Buffer.from(key as Uint8Array)) sum = (sum * 31 + byte) >>> 0
  return sum
}

/** Sends by a producer with {@link samePartition}, and rejects where the answer does not name each partition. */
export async function sendWritten(
  send: (record: object) => Promise<unknown>,
  topic: string,
  messages: readonly OutgoingMessage[],
  gzip: boolean,
): Promise<void> {
  const choices: Choice[] = messages.map(() => ({}))
  const marked = messages.map((message, index) => ({ ...message, [CHOICE]: choices[index] }))
  const answer = await send({ topic, messages: marked, acks: -1, ...(gzip && { compression: GZIP }) })
  const written = new Set((answer as readonly Choice[]).map(({ partition }) => partition))
  if (choices.some(({ partition }) => partition === undefined || !written.has(partition))) {
    throw new Error('a partition of the dead-letter topic has a new leader, and what was for it was not written')
  }
}
