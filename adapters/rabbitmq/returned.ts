import { REASON_HEADER, type Returned, ReturnedReader, renamedHeader } from '../../src/dead-letter.ts'
import { isReservedHeader, TOKEN_HEADER } from '../../src/message.ts'
import type { AmqpMessage, AmqpProperties } from './client.ts'
import { topLevel } from './headers.ts'
import { DIRECT_REPLY_TO } from './message.ts'

/** What a dead letter was made from, when it comes back into a queue. Pure. */

export interface OpenedReturn {
  /** the message as it was before, to be judged like any other */
  readonly message: AmqpMessage
  readonly returned: Returned
  /** what the broker would have acted on, under the names that it is kept by */
  readonly aside: Readonly<Record<string, unknown>>
}

/** The broker acts on these, so a dead letter keeps them under other names. */
export const NOT_REPUBLISHED: ReadonlySet<string> = new Set(['CC', 'BCC'])
const NOT_REPUBLISHED_PROPERTIES: ReadonlySet<string> = new Set(['expiration', 'user-id', 'cluster-id', 'reply-to'])

/** The broker writes these at each delivery: what a packed dead letter says of them was true of another, or is made up. */
const OF_THIS_DELIVERY: readonly string[] = ['x-stream-offset', 'x-delivery-count', 'x-acquired-count']

/** Headers and properties in front of the body. A longer text is not opened: reading it would cost too much. */
const MAX_PACKED_BYTES = 131_072
/** Neither is one of more values, which whoever can publish can put there. */
const MAX_PACKED_VALUES = 2_048

const RETURNED = new ReturnedReader(
  [
    'queueauth-exchange',
    'queueauth-routing-key',
    'queueauth-letter',
    'queueauth-return-id',
    'queueauth-packed',
    'queueauth-part',
  ],
  (name) => NOT_REPUBLISHED.has(name) || NOT_REPUBLISHED_PROPERTIES.has(name),
)

/** Undefined: it is no dead letter of this library, or does not look like one in every part. */
export function openReturned(raw: AmqpMessage): OpenedReturn | undefined {
  const { headers } = raw.properties
  if (headers === undefined || headers === null || !Object.hasOwn(headers, REASON_HEADER)) return undefined
  const table = topLevel(headers)
  const returned = RETURNED.read(Object.entries(table))
  if (returned === undefined) return undefined
  return (isPacked(returned) && openPacked(raw, returned)) || openPlain(raw, table, returned)
}

function isPacked({ explanation }: Returned): boolean {
  return explanation['queueauth-packed'] === 'v1' && explanation['queueauth-part'] === undefined
}

function openPlain(raw: AmqpMessage, table: Readonly<Record<string, unknown>>, returned: Returned): OpenedReturn {
  const headers: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  const aside: Record<string, unknown> = {}
  let { replyTo } = raw.properties
  for (const [name, value] of Object.entries(table)) {
    const renamed = renamedHeader(name)
    if (name === TOKEN_HEADER || !isReservedHeader(name)) headers[name] = value
    // It had a header of ours when it first came, so it is judged with that.
    else if (renamed !== undefined && isReservedHeader(renamed)) headers[renamed] = value
    else if (renamed === 'reply-to' && isDirectReply(value) && replyTo === undefined) replyTo = value
    else if (renamed !== undefined) aside[name] = value
  }
  const properties: AmqpProperties = { ...raw.properties, replyTo, headers }
  return { message: { ...raw, properties }, returned, aside }
}

function isDirectReply(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith(DIRECT_REPLY_TO)
}

/** Undefined: it is too long, or was not packed by this library. */
function openPacked(raw: AmqpMessage, returned: Returned): OpenedReturn | undefined {
  const { content } = raw
  const length = content.length < 4 ? Number.POSITIVE_INFINITY : content.readUInt32BE(0)
  if (length > MAX_PACKED_BYTES || 4 + length > content.length || !isModest(content.subarray(4, 4 + length)))
    return undefined
  let parts: Partial<Record<'properties' | 'headers' | 'explanation', unknown>>
  try {
    parts = (JSON.parse(content.toString('utf8', 4, 4 + length), unpackBytes) ?? {}) as typeof parts
  } catch {
    return undefined
  }
  const { properties, headers, explanation } = parts
  if (!areProperties(properties) || !isTable(headers) || !isTable(explanation)) return undefined
  const first = RETURNED.read(Object.entries({ ...explanation, [REASON_HEADER]: returned.explanation[REASON_HEADER] }))
  if (first === undefined) return undefined
  // It is packed anew where it has to be.
  const { 'queueauth-packed': _, ...outer } = returned.explanation
  return {
    message: {
      ...raw,
      content: content.subarray(4 + length),
      properties: { ...properties, headers: ofThisDelivery(headers, raw) },
    },
    returned: { count: returned.count, explanation: { ...first.explanation, ...outer } },
    aside: {},
  }
}

const TEXTS: ReadonlySet<string> = new Set([
  'contentType',
  'contentEncoding',
  'correlationId',
  'replyTo',
  'expiration',
  'messageId',
  'type',
  'userId',
  'appId',
  'clusterId',
])
const COUNTS: ReadonlySet<string> = new Set(['deliveryMode', 'priority', 'timestamp'])

/** Whether the client could have decoded them: of another type they would be trusted to be text, and break who reads them. */
function areProperties(value: unknown): value is AmqpProperties {
  if (!isTable(value)) return false
  return Object.entries(value).every(([name, property]) =>
    TEXTS.has(name) ? typeof property === 'string' : COUNTS.has(name) && Number.isSafeInteger(property),
  )
}

function ofThisDelivery(packed: Readonly<Record<string, unknown>>, raw: AmqpMessage): Record<string, unknown> {
  const headers = Object.assign(Object.create(null) as Record<string, unknown>, packed)
  const outer = raw.properties.headers ?? {}
  for (const name of OF_THIS_DELIVERY) {
    if (Object.hasOwn(outer, name)) headers[name] = outer[name]
    else delete headers[name]
  }
  return headers
}

/** Whether a JSON text has few values: each but the first in its list or table comes behind one of these. */
function isModest(json: Buffer): boolean {
  let values = 0
  for (const octet of json) if (octet === COMMA || octet === OPENING_LIST || octet === OPENING_TABLE) values++
  return values <= MAX_PACKED_VALUES
}

const COMMA = 0x2c
const OPENING_LIST = 0x5b
const OPENING_TABLE = 0x7b

function unpackBytes(_name: string, value: unknown): unknown {
  const packed = value as { '!'?: unknown; value?: unknown } | null
  const isBytes =
    typeof packed === 'object' && packed !== null && packed['!'] === 'bytes' && typeof packed.value === 'string'
  return isBytes ? Buffer.from(packed.value as string, 'base64') : value
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value)
}
