import { SetupError } from '../../src/errors.ts'
import {
  address,
  type Headers,
  isReservedHeader,
  type Message,
  type ReceivedMessage,
  TOKEN_HEADER,
} from '../../src/message.ts'
import { quote } from '../../src/text.ts'
import type { Argument } from './client.ts'
import { type OpenedReturn, openReturned } from './returned.ts'

/** Entries of a stream and the core's messages, both ways. Pure. */

/** An entry as the server has it. */
export class StreamEntry {
  /** the physical key, with the client's prefix */
  readonly stream: string
  readonly group: string
  readonly id: string
  /** names and values by turns; a name may come more than once */
  readonly fields: readonly Buffer[]

  constructor(stream: string, group: string, id: string, fields: readonly Buffer[]) {
    this.stream = stream
    this.group = group
    this.id = id
    this.fields = fields
  }
}

/**
 * The body that is signed: every field but the token, in order, each name and each value as its length (four bytes,
 * big-endian) and its bytes.
 */
export function encodeFields(fields: readonly Argument[]): Buffer {
  let size = 0
  for (const field of fields) size += 4 + (typeof field === 'string' ? Buffer.byteLength(field) : field.length)
  const encoded = Buffer.allocUnsafe(size)
  let at = 0
  for (const field of fields) {
    const start = at + 4
    const length = typeof field === 'string' ? encoded.write(field, start) : field.length
    if (typeof field !== 'string') encoded.set(field, start)
    encoded.writeUInt32BE(length, at)
    at = start + length
  }
  return encoded
}

/** The same fields, bytes as they stand in the encoded body: what is signed is what is sent, whatever the caller does next. */
function snapshot(fields: readonly Argument[], encoded: Buffer): readonly Argument[] {
  if (fields.every((field) => typeof field === 'string')) return fields
  let at = 0
  return fields.map((field) => {
    const start = at + 4
    at = start + encoded.readUInt32BE(at)
    return typeof field === 'string' ? field : encoded.subarray(start, at)
  })
}

/** The fields of {@link encodeFields}; undefined for bytes that it did not make of names and values. */
export function decodeFields(bytes: Buffer): Buffer[] | undefined {
  const fields: Buffer[] = []
  let offset = 0
  while (offset < bytes.length) {
    if (offset + 4 > bytes.length) return undefined
    const end = offset + 4 + bytes.readUInt32BE(offset)
    if (end > bytes.length) return undefined
    fields.push(bytes.subarray(offset + 4, end))
    offset = end
  }
  return fields.length % 2 === 0 ? fields : undefined
}

/**
 * The address of a stream by its physical key.
 *
 * @throws SetupError `destination-invalid` when the key is not text
 */
export function destinationOf(key: Argument): string {
  const name = textOf(key)
  if (name !== undefined) return address('redis', name)
  throw new SetupError(
    'destination-invalid',
    'the key of a signed stream must be UTF-8 text; rename the stream, or leave it out by the option streams',
  )
}

/** Text that came over the wire unharmed; undefined for bytes that are no UTF-8, or a text with lone surrogates. */
export function textOf(key: Argument): string | undefined {
  if (typeof key === 'string') return key.isWellFormed() ? key : undefined
  const text = key.toString()
  return Buffer.from(text).equals(key) ? text : undefined
}

/**
 * What `XADD` was asked to add, without a token that was there already: a message that is forwarded gets a fresh one. The
 * fields are those given where nothing has to be done to them.
 *
 * @throws SetupError `header-reserved`
 */
export function toMessage(
  destination: string,
  given: readonly Argument[],
): { readonly message: Message; readonly fields: readonly Argument[] } {
  const fields = withoutToken(given)
  const payload = encodeFields(fields)
  return { message: { destination, payload }, fields: snapshot(fields, payload) }
}

function withoutToken(given: readonly Argument[]): readonly Argument[] {
  let kept: Argument[] | undefined
  for (let index = 0; index < given.length; index += 2) {
    const name = given[index] as Argument
    const reserved = reservedName(name)
    if (reserved === undefined) kept?.push(name, given[index + 1] as Argument)
    else if (reserved === TOKEN_HEADER) kept ??= given.slice(0, index)
    else {
      throw new SetupError(
        'header-reserved',
        `field ${quote(reserved)} is reserved for queue-key-auth; rename it, or remove it from an entry taken from the dead letters`,
      )
    }
  }
  return kept ?? given
}

/** An entry, for verifying. */
export class ReceivedEntry implements ReceivedMessage {
  readonly queue: string
  readonly consumer: string
  readonly position: string
  readonly deliveredBy: readonly string[]
  readonly token: unknown
  readonly payload: Buffer
  /** the fields that are the body: what a handler sees once they are verified */
  readonly body: readonly Buffer[]
  readonly headers?: Headers
  /** of a dead letter that came back: what it says of itself, and the entry it was made from */
  readonly opened: OpenedReturn | undefined

  constructor(
    { stream, group, id }: StreamEntry,
    deliveredBy: readonly string[],
    token: unknown,
    body: readonly Buffer[],
    planted: Headers | undefined,
    opened?: OpenedReturn,
  ) {
    this.queue = stream
    this.consumer = group
    this.position = id
    this.deliveredBy = deliveredBy
    this.token = token
    this.payload = encodeFields(body)
    this.body = body
    if (planted !== undefined) this.headers = planted
    this.opened = opened
  }
}

/**
 * An entry, for verifying. Fields that only we write are headers that nobody may send, so they are no part of the body:
 * what was planted is told from what was changed.
 *
 * @param deliveredBy the address of its stream, where it is at hand
 */
export function toReceived(
  entry: StreamEntry,
  deliveredBy: readonly string[] = [destinationOf(entry.stream)],
): ReceivedEntry {
  return read(entry, deliveredBy)
}

/** @param opened the entry is what a dead letter was made from */
function read(entry: StreamEntry, deliveredBy: readonly string[], opened?: OpenedReturn): ReceivedEntry {
  const { fields } = entry
  let token: string | string[] | undefined
  let planted: Record<string, Buffer> | undefined
  const body = fields.slice()
  let length = 0
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const name = fields[index] as Buffer
    const value = fields[index + 1] as Buffer
    const reserved = reservedName(name)
    if (reserved === undefined) {
      body[length++] = name
      body[length++] = value
    } else if (reserved === TOKEN_HEADER) {
      const text = value.toString('latin1')
      token = token === undefined ? text : [token, text].flat()
    } else {
      planted ??= Object.create(null) as Record<string, Buffer>
      planted[reserved] = value
    }
  }
  const found = planted !== undefined && opened === undefined ? openReturned(entry) : undefined
  // Judged, and shown, as what it was made from.
  if (found !== undefined) return read(found.entry, deliveredBy, found)
  body.length = length
  return new ReceivedEntry(entry, deliveredBy, token, body, planted, opened)
}

export function* pairs(fields: readonly Buffer[]): Generator<readonly [name: Buffer, value: Buffer]> {
  for (let index = 0; index + 1 < fields.length; index += 2) {
    yield [fields[index] as Buffer, fields[index + 1] as Buffer]
  }
}

/** The name of a field that belongs to this library, one character an octet. */
function reservedName(name: Argument): string | undefined {
  // Most names are told by their length.
  if (name.length < TOKEN_HEADER.length) return undefined
  const text = typeof name === 'string' ? name : name.toString('latin1')
  return isReservedHeader(text) ? text : undefined
}
