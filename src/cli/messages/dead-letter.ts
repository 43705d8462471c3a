import { address, isReservedHeader, RESERVED_HEADER_PREFIX } from '../../message.ts'
import { dispositionOf, type ReasonCode } from '../../reasons.ts'
import { type CliMessage, wrong } from './message-json.ts'

/** What the headers of a dead letter say. Nobody signs them. */
export interface Explanation {
  readonly reason: ReasonCode
  readonly detail: string | undefined
  readonly queue: string | undefined
  readonly at: string | undefined
  readonly fingerprint: string | undefined
  readonly service: string | undefined
}

const ORIGINAL = `${RESERVED_HEADER_PREFIX}original-`

/** Properties that are kept under such a name, and are covered by no signature as they were. */
const NOT_HEADERS: ReadonlySet<string> = new Set(['expiration', 'user-id', 'reply-to'])

export function explanationOf({ headers }: CliMessage): Explanation {
  const said = (name: string): string | undefined => {
    const value = headers[RESERVED_HEADER_PREFIX + name]
    return typeof value === 'string' ? value : undefined
  }
  const reason = said('reason') ?? ''
  if (dispositionOf(reason) === undefined) {
    throw wrong('it is no dead letter of queue-key-auth: there is no header queueauth-reason with one of its codes')
  }
  return {
    reason: reason as ReasonCode,
    detail: said('detail'),
    queue: said('queue'),
    at: said('at'),
    fingerprint: said('fingerprint'),
    service: said('service'),
  }
}

/** Whether only its body or only its headers are here: RabbitMQ took the whole of it in no single message. */
export function isPart({ headers }: CliMessage): boolean {
  return headers[`${RESERVED_HEADER_PREFIX}part`] !== undefined
}

/** The message as it was before it became a dead letter, as far as can be told from it. */
export function originalOf(letter: CliMessage): CliMessage {
  const headers: Record<string, CliMessage['headers'][string]> = Object.create(null)
  let { properties } = letter
  for (const [name, value] of Object.entries(letter.headers)) {
    if (!name.startsWith(ORIGINAL)) {
      if (!isReservedHeader(name)) headers[name] = value
      continue
    }
    const original = name.slice(ORIGINAL.length)
    if (original === 'reply-to') properties = { ...properties, replyTo: 'amq.rabbitmq.reply-to' }
    if (!NOT_HEADERS.has(original)) headers[original] = value
  }
  const { destination: _, deliveredBy: __, ...rest } = letter
  const destination = originalDestination(letter)
  return { ...rest, properties, headers, ...(destination !== undefined && { destination }) }
}

function originalDestination({ headers, destination, deliveredBy }: CliMessage): string | undefined {
  const exchange = headers['queueauth-exchange']
  const routingKey = headers['queueauth-routing-key']
  if (typeof exchange === 'string' && typeof routingKey === 'string') return address('amqp', exchange, routingKey)
  const queue = headers['queueauth-queue']
  const scheme = (destination ?? deliveredBy?.[0])?.split(':')[0]
  // Elsewhere than in RabbitMQ what is read from is what was sent to.
  return typeof queue === 'string' && scheme !== undefined && scheme !== 'amqp' ? address(scheme, queue) : undefined
}
