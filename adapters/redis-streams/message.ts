import { SetupError } from '../../src/errors.ts'
import { address, isReservedHeader, type Message, type ReceivedMessage, TOKEN_HEADER } from '../../src/message.ts'
import { quote } from '../../src/text.ts'
import { type Argument, bytes } from './client.ts'

/** Entries of a stream and the core's messages, both ways. Pure. */

/** An entry as the server has it. */
export interface StreamEntry {
  /** the physical key, with the client's prefix */
  readonly stream: string
  readonly group: string
  readonly id: string
  /** names and values by turns; a name may come more than once */
  readonly fields: readonly Buffer[]
}

/**
 * The body that is signed: every field but the token, in order, each name and each value as its length (four bytes,
 * big-endian) and its bytes.
 */
export function encodeFields(fields: readonly Buffer[]): Buffer {
  const parts: Buffer[] = []
  for (const part of fields) {
    const length = Buffer.allocUnsafe(4)
    length.writeUInt32BE(part.length)
    parts.push(length, part)
  }
  return Buffer.concat(parts)
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

/** What `XADD` was asked to add, without a token that was there already: a message that is forwarded gets a fresh one. */
export function toMessage(key: Argument, given: readonly Argument[]): { message: Message; fields: Argument[] } {
  const fields = given.filter((_, index) => !isTokenPair(given, index))
  const encoded = fields.map(bytes)
  for (let index = 0; index < encoded.length; index += 2) {
    const name = encoded[index]?.toString('latin1') ?? ''
    if (!isReservedHeader(name)) continue
    throw new SetupError(
      'header-reserved',
      `field ${quote(name)} is reserved for queue-key-auth; rename it, or remove it from an entry taken from the dead letters`,
    )
  }
  return { message: { destination: destinationOf(key), payload: encodeFields(encoded) }, fields }
}

/**
 * An entry, for verifying. Fields that only we write are headers that nobody may send, so they are no part of the body:
 * what was planted is told from what was changed.
 */
export function toReceived({ stream, group, id, fields }: StreamEntry): ReceivedMessage {
  const tokens: string[] = []
  const body: Buffer[] = []
  const headers: Record<string, Buffer> = Object.create(null) as Record<string, Buffer>
  for (const [name, value] of pairs(fields)) {
    const text = name.toString('latin1')
    if (text === TOKEN_HEADER) tokens.push(value.toString('latin1'))
    else if (isReservedHeader(text)) headers[text] = value
    else body.push(name, value)
  }
  return {
    queue: stream,
    consumer: group,
    deliveredBy: [destinationOf(stream)],
    token: tokens.length > 1 ? tokens : tokens[0],
    payload: encodeFields(body),
    headers,
    position: id,
  }
}

/** The fields that a handler sees: all but the token. */
export function withoutToken(fields: readonly Buffer[]): Buffer[] {
  return fields.filter((_, index) => !isTokenPair(fields, index))
}

export function* pairs(fields: readonly Buffer[]): Generator<readonly [name: Buffer, value: Buffer]> {
  for (let index = 0; index + 1 < fields.length; index += 2) {
    yield [fields[index] as Buffer, fields[index + 1] as Buffer]
  }
}

function isTokenPair(fields: readonly Argument[], index: number): boolean {
  const name = fields[index - (index % 2)]
  return name !== undefined && (typeof name === 'string' ? name : name.toString('latin1')) === TOKEN_HEADER
}
