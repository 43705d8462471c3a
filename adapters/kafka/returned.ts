import { REASON_HEADER, type Returned, ReturnedReader, renamedHeader } from '../../src/dead-letter.ts'
import { type HeaderValue, isReservedHeader, TOKEN_HEADER } from '../../src/message.ts'
import type { KafkaMessage } from './client.ts'
import { copyTable } from './message.ts'

/** What a dead letter was made from, when it comes back into a topic. Pure. */

export interface OpenedReturn {
  /** the record as it was before, to be judged like any other */
  readonly message: KafkaMessage
  readonly returned: Returned
}

/** Which headers were null, since no client can write one. */
export const NULLS_HEADER = 'queueauth-null-headers'
/** A longer list is of no dead letter that is worth reading. */
const MAX_NULLS_LENGTH = 8_192

const RETURNED = new ReturnedReader([
  'queueauth-topic',
  'queueauth-partition',
  'queueauth-offset',
  'queueauth-timestamp',
  'queueauth-pointer',
  NULLS_HEADER,
])

/** Undefined: it is no dead letter of this library, or does not look like one in every part. */
export function openReturned(raw: KafkaMessage): OpenedReturn | undefined {
  const given = raw.headers
  if (given === undefined || given === null || !Object.hasOwn(given, REASON_HEADER)) return undefined
  const table = copyTable(given)
  const returned = RETURNED.read(Object.entries(table))
  if (returned === undefined) return undefined
  // It is written anew, from what is null in the record.
  const { [NULLS_HEADER]: nulls, ...explanation } = returned.explanation
  const isNull = nullsOf(nulls)
  const headers: Record<string, HeaderValue> = Object.create(null) as Record<string, HeaderValue>
  for (const [name, value] of Object.entries(table)) {
    const original = name === TOKEN_HEADER || !isReservedHeader(name) ? name : renamedHeader(name)
    if (original === undefined) continue
    if (!Array.isArray(value)) headers[original] = isNull(name, 0) && isEmpty(value) ? null : value
    else headers[original] = value.map((item, index) => (isNull(name, index) && isEmpty(item) ? null : item))
  }
  return {
    message: { ...raw, headers: headers as NonNullable<KafkaMessage['headers']> },
    returned: { count: returned.count, explanation },
  }
}

function isEmpty(value: HeaderValue): boolean {
  return (typeof value === 'string' || value instanceof Uint8Array) && value.length === 0
}

function nullsOf(text: string | undefined): (name: string, index: number) => boolean {
  if (text === undefined || text.length > MAX_NULLS_LENGTH) return () => false
  try {
    const nulls = new Map<string, unknown>(Object.entries((JSON.parse(text) ?? {}) as object))
    return (name, index) => {
      const indexes = nulls.get(name)
      return Array.isArray(indexes) && indexes.includes(index)
    }
  } catch {
    // Not written by this library: nothing was null.
    return () => false
  }
}
