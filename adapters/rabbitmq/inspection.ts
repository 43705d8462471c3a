import { openBeside } from './beside.ts'
import { type ChannelLike, invoke } from './client.ts'
import { codeOf } from './confirmed-channel.ts'

/**
 * What a queue is, asked of the broker: AMQP has no question for it, but what a queue refuses tells. Each question has a
 * channel of its own, since a refusal closes it. None changes anything at the broker.
 */

export type QueueType = 'classic' | 'quorum' | 'stream'

/** How a queue was declared. What a policy adds is not in it. */
export interface Declared {
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly exclusive: boolean
  readonly arguments: Readonly<Record<string, unknown>>
}

const OFFSET = 'x-stream-offset'

/**
 * Only a stream takes an offset from its consumers; other queues name their type when they refuse it. Nobody but the broker
 * has a say in that: a header `x-stream-offset` on a message may be forged.
 *
 * @returns undefined for a type that is not known here
 * @throws what the client throws when the channel cannot be opened, or the queue cannot be read
 */
export async function typeOf(channel: ChannelLike, queue: string): Promise<QueueType | undefined> {
  try {
    await ask(channel, async (side) => {
      await invoke(side.prefetch.bind(side), 1, false)
      // `next`: what a stream sends before the channel closes again is what is published in that moment.
      await invoke(side.consume.bind(side), queue, nothing, { arguments: { [OFFSET]: 'next' } })
    })
    return 'stream'
  } catch (error) {
    const message = messageOf(error)
    if (codeOf(error) !== PRECONDITION_FAILED || !message.includes(OFFSET)) throw error
    const [, type] = /of queue type rabbit_(classic|quorum)_queue/.exec(message) ?? []
    return type as QueueType | undefined
  }
}

/**
 * Declares the queue as it is: each refusal names one thing that was guessed wrong, and how it is. The queue must have a
 * consumer meanwhile, so that it does not vanish and come into being by this.
 *
 * @returns undefined where the user may not declare it, or the broker says something that is not known here
 */
export async function declarationOf(channel: ChannelLike, queue: string): Promise<Declared | undefined> {
  let guess: Declared = { durable: true, autoDelete: true, exclusive: false, arguments: { [SINGLE_ACTIVE]: true } }
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    try {
      const options = { ...guess }
      await ask(channel, (side) => invoke(side.assertQueue.bind(side), queue, options))
      return guess
    } catch (error) {
      const next = corrected(guess, error)
      if (next === undefined) return undefined
      guess = next
    }
  }
  return undefined
}

export const SINGLE_ACTIVE = 'x-single-active-consumer'

/** More than there are arguments that a broker compares. */
const MOST_TRIES = 24

const RESOURCE_LOCKED = 405
const PRECONDITION_FAILED = 406

/** `inequivalent arg 'x' …: received … but current is none | 'value' | the value 'value' of type 'type'` */
const INEQUIVALENT = /inequivalent arg '([^']+)'.* current is (none|(?:the value )?'(.*?)'(?: of type '(\w+)')?)"?$/

function corrected(guess: Declared, error: unknown): Declared | undefined {
  if (codeOf(error) === RESOURCE_LOCKED) return guess.exclusive ? undefined : { ...guess, exclusive: true }
  const [, name, current, value = '', type] = INEQUIVALENT.exec(messageOf(error)) ?? []
  if (codeOf(error) !== PRECONDITION_FAILED || name === undefined) return undefined
  if (name === 'durable') return { ...guess, durable: value === 'true' }
  if (name === 'auto_delete') return { ...guess, autoDelete: value === 'true' }
  const { [name]: guessed, ...others } = guess.arguments
  if (current === 'none') return { ...guess, arguments: others }
  return { ...guess, arguments: { ...others, [name]: decoded(value, type, guessed) } }
}

/** A type is given only where it is another than that of the guess. */
function decoded(text: string, type: string | undefined, guessed: unknown): unknown {
  if (type === 'bool' || (type === undefined && typeof guessed === 'boolean')) return text === 'true'
  if (type === 'longstr' || (type === undefined && typeof guessed !== 'number')) return text
  return Number(text)
}

/**
 * How many consumers a queue has; undefined: it is not there. Asking keeps it: a queue with `x-expires` counts as used.
 *
 * @throws what the client throws when it cannot be asked
 */
export async function consumersOf(channel: ChannelLike, queue: string): Promise<number | undefined> {
  try {
    const checked = await ask(channel, (side) => invoke(side.checkQueue.bind(side), queue))
    return (checked as { readonly consumerCount: number }).consumerCount
  } catch (error) {
    if (codeOf(error) === NOT_FOUND) return undefined
    throw error
  }
}

const NOT_FOUND = 404

/** Whether a quorum queue counts what is given back to it against its delivery limit: up to RabbitMQ 4.2. */
export function countsRequeues({ connection }: ChannelLike): boolean {
  const { serverProperties } = connection as { serverProperties?: { version?: unknown } }
  const [major = 0, minor = 0] = String(serverProperties?.version ?? '')
    .split('.')
    .map(Number)
  return !(major > 4 || (major === 4 && minor >= 3))
}

async function ask<Answer>(channel: ChannelLike, question: (side: ChannelLike) => Promise<Answer>): Promise<Answer> {
  const side = await openBeside(channel)
  // A refusal is an error of the channel, too.
  side.on('error', nothing)
  let refused = false
  try {
    return await question(side)
  } catch (error) {
    refused = true
    throw error
  } finally {
    if (!refused) await invoke(side.close.bind(side))
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : ''
}

function nothing(): void {
  // Deliveries and errors of a question are not looked at.
}
