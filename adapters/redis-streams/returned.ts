import { REASON_HEADER, type Returned, ReturnedReader, renamedHeader } from '../../src/dead-letter.ts'
import { isReservedHeader, TOKEN_HEADER } from '../../src/message.ts'
import { decodeFields, pairs, StreamEntry } from './message.ts'

/** What a dead letter was made from, when it is added to a stream again. Pure. */

export interface OpenedReturn {
  /** the entry as it was before, under its present id, to be judged like any other */
  readonly entry: StreamEntry
  readonly returned: Returned
}

/** The name of the field that holds a packed entry: its fields as the signature covers them, the token among them. */
export const PACKED_FIELD = 'queueauth-packed'

const RETURNED = new ReturnedReader(['queueauth-group', 'queueauth-entry-id'])

/** Undefined: it is no dead letter of this library, or does not look like one in every part. */
export function openReturned(entry: StreamEntry): OpenedReturn | undefined {
  const { stream, group, id } = entry
  const explaining: [string, Buffer][] = []
  const fields: Buffer[] = []
  let packed: Buffer | undefined
  for (const [name, value] of pairs(entry.fields)) {
    const text = name.toString('latin1')
    const renamed = renamedHeader(text)
    if (text === TOKEN_HEADER || !isReservedHeader(text)) {
      fields.push(name, value)
    } else if (text === PACKED_FIELD && packed === undefined) {
      packed = value
    } else {
      explaining.push([text, value])
      // It had a field of ours when it first came, so it is judged with that.
      if (renamed !== undefined) fields.push(Buffer.from(renamed, 'latin1'), value)
    }
  }
  const returned = explaining.some(([name]) => name === REASON_HEADER) ? RETURNED.read(explaining) : undefined
  if (returned === undefined) return undefined
  if (packed === undefined) return { entry: new StreamEntry(stream, group, id, fields), returned }
  // A packed one has no fields of its own.
  const unpacked = fields.length === 0 ? decodeFields(packed) : undefined
  return unpacked && { entry: new StreamEntry(stream, group, id, unpacked), returned }
}
