import { type DeadLetter, explanationHeaders, originalHeaderName, reasonHeaders } from '../../src/dead-letter.ts'
import { isReservedHeader, TOKEN_HEADER } from '../../src/message.ts'
import type { AmqpMessage, AmqpProperties } from './client.ts'
import { receivedTable } from './headers.ts'
import { DIRECT_REPLY_TO } from './message.ts'
import { NOT_REPUBLISHED } from './returned.ts'
import { encodedSize, isReadable } from './size.ts'

/** How a dead letter is written: the rungs of the ladder it goes down until it fits. Pure. */

/** What to publish. */
export interface Form {
  readonly content: Buffer
  readonly options: Readonly<Record<string, unknown>>
}

/** What is to be stored. */
export interface AmqpDeadLetter extends DeadLetter<AmqpMessage> {
  /** of one that came back: what the broker would have acted on, under the names that it is kept by */
  readonly aside?: Readonly<Record<string, unknown>>
}

/** In full; without the explanations; packed, with the headers moved into the body; the two by themselves. */
export const FORMS: readonly ((letter: AmqpDeadLetter, id: string) => readonly Form[])[] = [
  (letter, id) => [full(letter, id)],
  (letter, id) => [bare(letter, id)],
  (letter, id) => [packed(letter, id)],
  inTwo,
]

/** An id of a dead letter, for good: it tells which two parts belong together. */
const LETTER_ID = 'queueauth-letter'
/** An id for this way into a queue, of one that has been there before. */
const RETURN_ID = 'queueauth-return-id'

/** What tells apart dead letters in flight, so that one the broker returns as unroutable is known again. */
export function idOf(headers: Readonly<Record<string, unknown>> | undefined): unknown {
  return headers?.[RETURN_ID] ?? headers?.[LETTER_ID]
}

/** The id is always a fresh one: that of a dead letter which came back may be a copy of another's. */
function withId(letter: AmqpDeadLetter, id: string, explanation: Record<string, string>): Record<string, string> {
  const first = letter.returned?.explanation[LETTER_ID]
  if (letter.returned === undefined) return { ...explanation, [LETTER_ID]: id }
  return { ...explanation, ...(first !== undefined && { [LETTER_ID]: first }), [RETURN_ID]: id }
}

/** amqplib encodes a table into 64 KiB; before 2.3.1 a longer one broke the connection. */
const MAX_TABLE_BYTES = 60_000

/**
 * Whether the broker can read the headers, and the client can encode them and send all properties in one frame, since they cannot be split: a longer
 * frame would cost the consumer its connection.
 *
 * @param frameMax the connection's longest frame, in bytes; unknown: only the client's limit counts
 */
export function fits({ options }: Form, frameMax: unknown): boolean {
  const { headers, ...properties } = options
  if (!isReadable(headers)) return false
  const table = encodedSize(headers)
  if (table > MAX_TABLE_BYTES) return false
  return typeof frameMax !== 'number' || frameMax === 0 || table + encodedSize(properties) <= frameMax
}

function full(letter: AmqpDeadLetter, id: string): Form {
  const explanation = withId(letter, id, { ...whereFrom(letter), ...explanationHeaders(letter) })
  return {
    content: letter.message.content,
    options: publishOptions(letter.message.properties, { ...letter.aside, ...explanation }),
  }
}

function bare(letter: AmqpDeadLetter, id: string): Form {
  const explanation = withId(letter, id, reasonHeaders(letter))
  return { content: letter.message.content, options: publishOptions(letter.message.properties, explanation) }
}

/** Of one that came back its explanation says that, if it ever did. */
function whereFrom({ message, returned }: AmqpDeadLetter): Record<string, string> {
  if (returned !== undefined) return {}
  const { exchange, routingKey } = message.fields
  return { 'queueauth-exchange': exchange, 'queueauth-routing-key': routingKey }
}

/**
 * The body is then: the length of a JSON text as four bytes, big-endian; the JSON text `{ properties, headers, … }`, with
 * bytes as `{ "!": "bytes", "value": "<base64>" }`; the original body.
 */
function packed(letter: AmqpDeadLetter, id: string): Form {
  const { message } = letter
  const { headers, ...properties } = message.properties
  const explanation = { ...explanationHeaders(letter), ...whereFrom(letter) }
  const json = Buffer.from(JSON.stringify({ properties, headers: receivedTable(headers), explanation }, packBytes))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(json.length)
  const content = Buffer.concat([length, json, message.content])
  return octets(content, withId(letter, id, { ...reasonHeaders(letter), 'queueauth-packed': 'v1' }))
}

/**
 * A sender of a body of the length that the broker just takes, and headers longer than the client encodes, must not have
 * a dead letter that can never be stored. The body comes first: if the broker takes less by now, nothing is stored.
 */
function inTwo(letter: AmqpDeadLetter, id: string): readonly Form[] {
  const { message } = letter
  const body = octets(message.content, withId(letter, id, { ...reasonHeaders(letter), 'queueauth-part': 'body' }))
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

/** CC would send the dead letter to other queues, and back here; expiration would drop it, a user id be refused. */
function publishOptions(properties: AmqpProperties, explanation: Record<string, unknown>): Record<string, unknown> {
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
