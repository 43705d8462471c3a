import { type DeadLetter, explanationHeaders, originalHeaderName, reasonHeaders } from '../../src/dead-letter.ts'
import { type HeaderValue, isReservedHeader, TOKEN_HEADER } from '../../src/message.ts'
import type { OutgoingMessage } from './client.ts'
import type { KafkaRecord } from './index.ts'
import { copyTable, isCut, MAX_READ_HEADERS } from './message.ts'
import { NULLS_HEADER } from './returned.ts'

/** How a dead letter is written: the rungs of the ladder it goes down until it fits. Pure. */

/** What to send. */
export interface Form {
  readonly message: OutgoingMessage
  /** gzip; the client may have no way to */
  readonly compressed: boolean
}

/** In full; without the explanations; compressed; and where the record is to be found. */
export const FORMS: readonly ((letter: DeadLetter<KafkaRecord>) => Form)[] = [full, bare, compressed, pointer]

/** A longer key is left out of a pointer. */
const MAX_POINTER_KEY_BYTES = 1_024

function full(letter: DeadLetter<KafkaRecord>): Form {
  return { message: record(letter, { ...whereFrom(letter), ...explanationHeaders(letter) }), compressed: false }
}

function bare(letter: DeadLetter<KafkaRecord>): Form {
  return { message: record(letter, reasonHeaders(letter)), compressed: false }
}

function compressed(letter: DeadLetter<KafkaRecord>): Form {
  return { ...bare(letter), compressed: true }
}

/** The record itself stays in its topic for as long as that keeps it. */
function pointer(letter: DeadLetter<KafkaRecord>): Form {
  const { topic, partition, message } = letter.message
  const key = message.key ?? null
  return {
    message: {
      key: key !== null && key.length > MAX_POINTER_KEY_BYTES ? null : key,
      value: JSON.stringify({ topic, partition, offset: message.offset }),
      headers: { ...whereFrom(letter), ...explanationHeaders(letter), 'queueauth-pointer': 'v1' },
    },
    compressed: false,
  }
}

/** Of one that came back its explanation says that, if it ever did. */
function whereFrom({ message, returned }: DeadLetter<KafkaRecord>): Record<string, string> {
  return returned === undefined ? position(message) : {}
}

function position({ topic, partition, message }: KafkaRecord): Record<string, string> {
  return {
    'queueauth-topic': topic,
    'queueauth-partition': String(partition),
    'queueauth-offset': message.offset,
    'queueauth-timestamp': message.timestamp,
  }
}

/**
 * Key, value and headers as they came; no client can write a null header, so it is written empty and
 * `queueauth-null-headers` tells which one it was: `{"<name>":[<index>]}`.
 */
function record(
  { message: { message } }: DeadLetter<KafkaRecord>,
  explanation: Record<string, string>,
): OutgoingMessage {
  const headers: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  const nulls: Record<string, number[]> = {}
  for (const [name, value] of Object.entries(copyTable(message.headers))) {
    const written = name !== TOKEN_HEADER && isReservedHeader(name) ? originalHeaderName(name) : name
    const values = (Array.isArray(value) ? value : [value]) as readonly HeaderValue[]
    const empty = values.flatMap((item, index) => (item === null || item === undefined ? [index] : []))
    if (empty.length > 0) nulls[written] = empty
    const filled = values.map((item) => item ?? '')
    headers[written] = Array.isArray(value) ? filled : filled[0]
  }
  if (isCut(message.headers)) headers['queueauth-headers-cut'] = String(MAX_READ_HEADERS)
  if (Object.keys(nulls).length > 0) headers[NULLS_HEADER] = JSON.stringify(nulls)
  Object.assign(headers, explanation)
  return { key: message.key ?? null, value: message.value ?? null, headers }
}
