import { type DeadLetter, explanationHeaders, originalHeaderName } from '../../src/dead-letter.ts'
import { isReservedHeader, TOKEN_HEADER } from '../../src/message.ts'
import type { AmqpMessage } from './client.ts'
import { DIRECT_REPLY_TO } from './message.ts'

/** How a dead letter is written: the rungs of the ladder it goes down until it fits. Pure. */

/** What to publish. */
export interface Form {
  readonly content: Buffer
  readonly options: Readonly<Record<string, unknown>>
}

/** In full; without the explanations; packed, with the headers moved into the body. */
export const FORMS: readonly ((letter: DeadLetter<AmqpMessage>, id: string) => Form)[] = [full, bare, packed]

/** Tells apart letters on their way, so that one the broker returns as unroutable is known again. */
export const LETTER_ID = 'queueauth-letter'

/** amqplib encodes a table into 64 KiB; before 2.3.1 a longer one broke the connection. */
const MAX_TABLE_BYTES = 60_000

/** Whether amqplib can encode the headers. */
export function fits({ options }: Form): boolean {
  return tableSize(options.headers) <= MAX_TABLE_BYTES
}

/** These would make the broker route, drop or refuse the dead letter: CC would send it to other queues, and back here. */
const NOT_REPUBLISHED: ReadonlySet<string> = new Set(['CC', 'BCC'])

function full(letter: DeadLetter<AmqpMessage>, id: string): Form {
  const { message } = letter
  const { exchange, routingKey } = message.fields
  const explanation = {
    ...explanationHeaders(letter),
    'queueauth-exchange': exchange,
    'queueauth-routing-key': routingKey,
    [LETTER_ID]: id,
  }
  return { content: message.content, options: publishOptions(message, explanation) }
}

function bare({ message, reason }: DeadLetter<AmqpMessage>, id: string): Form {
  const explanation = { 'queueauth-reason': reason, [LETTER_ID]: id }
  return { content: message.content, options: publishOptions(message, explanation) }
}

/**
 * The body is then: the length of a JSON text as four bytes, big-endian; the JSON text `{ properties, headers }`, with
 * bytes as `{ "!": "bytes", "value": "<base64>" }`; the original body.
 */
function packed(letter: DeadLetter<AmqpMessage>, id: string): Form {
  const { message, reason } = letter
  const { headers, ...properties } = message.properties
  const json = Buffer.from(JSON.stringify({ properties, headers }, packBytes))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(json.length)
  return {
    content: Buffer.concat([length, json, message.content]),
    options: {
      headers: { 'queueauth-reason': reason, 'queueauth-packed': 'v1', [LETTER_ID]: id },
      contentType: 'application/octet-stream',
      persistent: true,
      mandatory: true,
    },
  }
}

/** JSON.stringify asks the value's toJSON first, so the holder has the Buffer. */
function packBytes(this: unknown, name: string, value: unknown): unknown {
  const original = (this as Record<string, unknown>)[name]
  return Buffer.isBuffer(original) ? { '!': 'bytes', value: original.toString('base64') } : value
}

function publishOptions(message: AmqpMessage, explanation: Record<string, string>): Record<string, unknown> {
  const { contentType, contentEncoding, correlationId, messageId, type, appId, timestamp, priority } =
    message.properties
  const { replyTo, expiration, userId } = message.properties
  const directReply = typeof replyTo === 'string' && replyTo.startsWith(DIRECT_REPLY_TO)
  const headers: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const [name, value] of Object.entries(message.properties.headers ?? {})) {
    const renamed = name !== TOKEN_HEADER && (isReservedHeader(name) || NOT_REPUBLISHED.has(name))
    headers[renamed ? originalHeaderName(name) : name] = value
  }
  if (expiration !== undefined) headers[originalHeaderName('expiration')] = expiration
  if (userId !== undefined) headers[originalHeaderName('user-id')] = userId
  if (directReply) headers[originalHeaderName('reply-to')] = replyTo
  for (const [name, value] of Object.entries(explanation)) headers[name] = value
  return {
    headers,
    ...{ contentType, contentEncoding, correlationId, messageId, type, appId, timestamp, priority },
    ...(!directReply && { replyTo }),
    persistent: true,
    mandatory: true,
  }
}

/** The bytes of a table on the wire, generously: what counts is the bound. */
function tableSize(table: unknown): number {
  let size = 4
  for (const [name, value] of Object.entries(table ?? {})) size += 1 + Buffer.byteLength(name) + valueSize(value)
  return size
}

function valueSize(value: unknown): number {
  if (typeof value === 'string') return 5 + Buffer.byteLength(value)
  if (Buffer.isBuffer(value)) return 5 + value.length
  if (Array.isArray(value)) return 5 + value.reduce((size: number, item) => size + valueSize(item), 0)
  if (typeof value === 'object' && value !== null) return 1 + tableSize(value)
  return 9
}
