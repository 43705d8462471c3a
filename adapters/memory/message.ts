import {
  type DeadLetter,
  explanationHeaders,
  originalHeaderName,
  REASON_HEADER,
  type Returned,
  ReturnedReader,
  renamedHeader,
} from '../../src/dead-letter.ts'
import { SetupError } from '../../src/errors.ts'
import type { Admission } from '../../src/guard.ts'
import {
  address,
  type HeaderValue,
  isReservedHeader,
  type Message,
  type ReceivedMessage,
  TOKEN_HEADER,
} from '../../src/message.ts'
import { quote } from '../../src/text.ts'
import { Inspection, mark } from '../../src/verdict.ts'
import { splitHeaders } from '../../src/view.ts'
import type { MemoryMessage, PublishOptions } from './broker.ts'

/** The broker's messages in the core's words, and back. */

/** @throws SetupError `destination-invalid` */
export function addressOf(queue: string): string {
  if (queue.isWellFormed()) return address('memory', queue)
  throw new SetupError('destination-invalid', `queue ${quote(queue)} holds a lone surrogate; write well-formed Unicode`)
}

/** What a producer is about to send. */
export function toMessage(queue: string, payload: Uint8Array | null, { headers, properties }: PublishOptions): Message {
  return { destination: addressOf(queue), payload, ...(properties && { properties }), ...(headers && { headers }) }
}

/** What a consumer received. */
export function toReceived(message: MemoryMessage): ReceivedMessage {
  const { queue, payload, properties } = message
  const { [TOKEN_HEADER]: token, ...headers } = message.headers
  return {
    queue,
    deliveredBy: [addressOf(queue)],
    token,
    payload,
    properties,
    headers: Object.assign(Object.create(null) as Record<string, HeaderValue>, headers),
    ...(typeof properties.appId === 'string' && { origin: properties.appId }),
  }
}

const RETURNED = new ReturnedReader([])

/** What a dead letter was made from, when it comes back. */
export function openReturned(
  message: MemoryMessage,
): { readonly message: MemoryMessage; readonly returned: Returned } | undefined {
  if (!Object.hasOwn(message.headers, REASON_HEADER)) return undefined
  const returned = RETURNED.read(Object.entries(message.headers))
  if (returned === undefined) return undefined
  const headers = Object.entries(message.headers).flatMap(([name, value]) => {
    if (name === TOKEN_HEADER || !isReservedHeader(name)) return [[name, value] as const]
    const renamed = renamedHeader(name)
    return renamed === undefined ? [] : [[renamed, value] as const]
  })
  return { message: { ...message, headers: Object.fromEntries(headers) }, returned }
}

/** The token stays where it was, for frameworks that pass headers on. */
const KEPT: ReadonlySet<string> = new Set([TOKEN_HEADER])

/** What the handler gets: the signed parts only, or the message as it came where the policy lets it pass unverified. */
export function toHandled(message: MemoryMessage, admission: Admission): MemoryMessage {
  const { verdict, verified } = admission
  const { visible, unsigned } =
    verified === undefined
      ? { visible: { ...message.headers }, unsigned: {} }
      : splitHeaders(message.headers, verified.coveredHeaders, KEPT)
  const handled: MemoryMessage = { ...message, headers: visible }
  mark(handled, new Inspection(verdict, unsigned, admission.lease))
  return handled
}

/**
 * Everything the message came with, and why it is here. Headers that pretend to be such an explanation are renamed, not
 * removed: they may be what the matter is.
 */
export function toDeadLetter(letter: DeadLetter<MemoryMessage>): PublishOptions {
  const { headers, properties } = letter.message
  const kept = Object.entries(headers).map(([name, value]) => {
    const reserved = name !== TOKEN_HEADER && isReservedHeader(name)
    return [reserved ? originalHeaderName(name) : name, value] as const
  })
  return { properties, headers: { ...Object.fromEntries(kept), ...explanationHeaders(letter) } }
}
