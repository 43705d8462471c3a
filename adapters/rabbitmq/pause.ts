import type { ChannelLike, ConsumeOptions } from './client.ts'
import { countsRequeues, type Declared, declarationOf, SINGLE_ACTIVE, typeOf } from './inspection.ts'

/** What becomes of a consumer while messages cannot be judged. */
export interface Pause {
  /** it may not be cancelled: its queue, or its place there, would be gone */
  readonly stays: boolean
  /** how often its queue has to be asked for, so that it does not expire */
  readonly keepAliveMs: number
  /** whether only a consumer keeps it from that */
  readonly needsConsumer: boolean
}

/** A policy can let a queue expire, too, and shows nowhere: none that is of use does so within seconds. */
const KEEP_ALIVE_MS = 1_000

/**
 * A consumer that goes away leaves its messages to others, and a quorum queue counts one requeue an outage. It must not
 * go where the broker would
 * - delete the queue with its last consumer (auto-delete),
 * - give its place to another (an exclusive consumer, a single active one).
 *
 * Where the broker does not say how the queue was declared, it stays, unless the queue is of a type that is never deleted
 * that way.
 */
export async function pauseFor(channel: ChannelLike, queue: string, options: ConsumeOptions): Promise<Pause> {
  // Its place is worth less than its messages, which a queue that counts requeues drops at its limit.
  if (options.exclusive) {
    const stays = !(countsRequeues(channel) && (await isQuorum(channel, queue)))
    return { stays, keepAliveMs: KEEP_ALIVE_MS, needsConsumer: !stays }
  }
  const declared = await declarationOf(channel, queue)
  const keepAliveMs = keepAlive(declared)
  if (declared === undefined) {
    const needsConsumer = await isQuorum(channel, queue)
    return { stays: !needsConsumer, keepAliveMs, needsConsumer }
  }
  const { autoDelete, arguments: table } = declared
  // What it has would be handled behind what the next one gets; a quorum queue that counts requeues minds its limit more.
  const quorum = table['x-queue-type'] === 'quorum'
  // A consumer holds a message, which counts a requeue more: only where it is known to be needed.
  const needsConsumer = quorum && table['x-expires'] !== undefined
  const isActive = table[SINGLE_ACTIVE] === true && !(quorum && countsRequeues(channel))
  return { stays: autoDelete || isActive, keepAliveMs, needsConsumer }
}

async function isQuorum(channel: ChannelLike, queue: string): Promise<boolean> {
  try {
    return (await typeOf(channel, queue)) === 'quorum'
  } catch {
    // It cannot be asked: then it may be any.
    return false
  }
}

function keepAlive(declared: Declared | undefined): number {
  const expires = declared?.arguments['x-expires']
  return typeof expires === 'number' && expires > 0 ? Math.min(KEEP_ALIVE_MS, expires / 4) : KEEP_ALIVE_MS
}

/** For a stream, which keeps what it has, and expires by age alone. */
export const PAUSE_OF_STREAM: Pause = { stays: false, keepAliveMs: KEEP_ALIVE_MS, needsConsumer: false }

export const LEAVES =
  'messages could not be judged for long: they are given back, and consuming stops until they can be'
export const STAYS =
  'messages could not be judged for long: they are given back, and the consumer stays, since its queue or its place there would be gone without it'
