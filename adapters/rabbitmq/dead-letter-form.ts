import { type DeadLetter, explanationHeaders, originalHeaderName } from '../../src/dead-letter.ts'
import { isReservedHeader, TOKEN_HEADER } from '../../src/message.ts'
import type { AmqpMessage, AmqpProperties } from './client.ts'
import { receivedTable } from './headers.ts'
import { DIRECT_REPLY_TO } from './message.ts'
import { encodedSize } from './size.ts'

/** How a dead letter is written: the rungs of the ladder it goes down until it fits. Pure. */

/** What to publish. */
export interface Form {
  readonly content: Buffer
  readonly options: Readonly<Record<string, unknown>>
}

/** In full; without the explanations; packed, with the headers moved into the body; the two by themselves. */
export const FORMS: readonly ((letter: DeadLetter<AmqpMessage>, id: string) => readonly Form[])[] = [
  (letter, id) => [full(letter, id)],
  (letter, id) => [bare(letter, id)],
  (letter, id) => [packed(letter, id)],
  inTwo,
]

/** Tells apart letters on their way, so that one the broker returns as unroutable is known again. */
export const LETTER_ID = 'queueauth-letter'

/** amqplib encodes a table into 64 KiB; before 2.3.1 a longer one broke the connection. */
const MAX_TABLE_BYTES = 60_000

/**
 * Whether the client can encode the headers and send all properties in one frame, since they cannot be split: a longer
 * frame would cost the consumer its connection.
 *
 * @param frameMax the connection's longest frame, in bytes; unknown: only the client's limit counts
 */
export function fits({ options }: Form, frameMax: unknown): boolean {
  const { headers, ...properties } = options
  const table = encodedSize(headers)
  if (table > MAX_TABLE_BYTES) return false
  return typeof frameMax !== 'number' || frameMax === 0 || table + encodedSize(properties) <= frameMax
}

/** These would make the broker route, drop or refuse the dead letter: CC would send it to other queues, and back here. */
const NOT_REPUBLISHED: ReadonlySet<string> = new Set(['CC', 'BCC'])

function full(letter: DeadLetter<AmqpMessage>, id: string): Form {
  const { exchange, routingKey } = letter.message.fields
  const explanation = {
    ...explanationHeaders(letter),
    'queueauth-exchange': exchange,
    'queueauth-routing-key': routingKey,
    [LETTER_ID]: id,
  }
  return { content: letter.message.content, options: publishOptions(letter.message.properties, explanation) }
}

function bare({ message, reason }: DeadLetter<AmqpMessage>, id: string): Form {
  const explanation = { 'queueauth-reason': reason, [LETTER_ID]: id }
  return { content: message.content, options: publishOptions(message.properties, explanation) }
}

/**
 * The body is then: the length of a JSON text as four bytes, big-endian; the JSON text `{ properties, headers, … }`, with
 * bytes as `{ "!": "bytes", "value": "<base64>" }`; the original body.
 */
function packed(letter: DeadLetter<AmqpMessage>, id: string): Form {
  const { message, reason } = letter
  const { exchange, routingKey } = message.fields
  const { headers, ...properties } = message.properties
  const explanation = {
    ...explanationHeaders(letter),
    'queueauth-exchange': exchange,
    'queueauth-routing-key': routingKey,
  }
  const json = Buffer.from(JSON.stringify({ properties, headers: receivedTable(headers), explanation }, packBytes))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(json.length)
  const content = Buffer.concat([length, json, message.content])
  return octets(content, { 'queueauth-reason': reason, 'queueauth-packed': 'v1', [LETTER_ID]: id })
}

/**
 * Whoever sends a body of the length that the broker just takes, and headers longer than the client encodes, must not have
 * a letter that can never be stored. The body comes first: if the broker takes less by now, nothing is stored.
 */
function inTwo(letter: DeadLetter<AmqpMessage>, id: string): readonly Form[] {
  const { message, reason } = letter
  const body = octets(message.content, { 'queueauth-reason': reason, 'queueauth-part': 'body', [LETTER_ID]: id })
  const { content, options } = packed({ ...letter, message: { ...message, content: Buffer.alloc(0) } }, id)
  return [body, octets(content, { ...(options.headers as object), 'queueauth-part': 'headers' })]
}

function octets(content: Buffer, headers: object): Form {
  const options = { headers, contentType: 'application/octet-stream', persistent: true, mandatory: true }
  return { content, options }
}

/** JSON.stringify asks the value's toJSON first, so the holder has the Buffer. */
function packBytes(this: unknown, name: string, value: unknown): unknown {
  const original = (this as Record<string, unknown>)[name]
  return Buffer.isBuffer(original) ? { '!': 'bytes', value: original.toString('base64') } : value
}

function publishOptions(properties: AmqpProperties, explanation: Record<string, string>): Record<string, unknown> {
  const { contentType, contentEncoding, correlationId, messageId, type, appId, timestamp, priority } = properties
  const { replyTo, expiration, userId, clusterId } = properties
  const directReply = typeof replyTo === 'string' && replyTo.startsWith(DIRECT_REPLY_TO)
  const headers: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const [name, value] of Object.entries(receivedTable(properties.headers))) {
    const renamed = name !== TOKEN_HEADER && (isReservedHeader(name) || NOT_REPUBLISHED.has(name))
    headers[renamed ? originalHeaderName(name) : name] = value
  }
  const kept = { expiration, 'user-id': userId, 'cluster-id': clusterId, 'reply-to': directReply ? replyTo : undefined }
  for (const [name, value] of Object.entries(kept)) {
    if (value !== undefined) headers[originalHeaderName(name)] = value
  }
  for (const [name, value] of Object.entries(explanation)) headers[name] = value
  return {
    headers,
    ...{ contentType, contentEncoding, correlationId, messageId, type, appId, timestamp, priority },
    ...(!directReply && { replyTo }),
    persistent: true,
    mandatory: true,
  }
}
