import { hash } from 'node:crypto'
import { types } from 'node:util'
import { ByteWriter } from './byte-writer.ts'
import { SetupError } from './errors.ts'
import { type CoveredProperties, type Headers, type HeaderValue, isReservedHeader } from './message.ts'
import { quote } from './text.ts'

/**
 * The digest `hh` over everything but the body that a signature covers (docs/spec.md):
 *
 *     hh   = SHA-256( "queueauth-v1/parts" 0x00 || u32be(n) || part … )
 *     part = u32be(len name) name 0x00                          absent
 *          | u32be(len name) name 0x01 u32be(len value) value   present
 *
 * The eight `@` parts come first and are always there, so that nobody can add one later; then the names in `hs`.
 */

const PROPERTIES: readonly string[] = [
  '@key',
  '@type',
  '@content-type',
  '@content-encoding',
  '@reply-to',
  '@correlation-id',
  '@message-id',
  '@app-id',
]

// Not `instanceof`: a table whose prototype is bytes would count as bytes, and every use of it would throw.
const { isUint8Array } = types

const DOMAIN = 'queueauth-v1/parts\0'

/** The most headers a signature covers. */
export const MAX_COVERED_HEADERS = 32

/** Tables and lists nest at most this deep, so that a hostile header cannot exhaust the stack. */
const MAX_DEPTH = 16

const HEADER_NAME = /^[!#-[\]-~]{1,128}$/

/** Whether a header of this name can be covered: printable ASCII without `"` and `\`, not ours, not a prototype's. */
export function isCoverableName(name: string): boolean {
  return HEADER_NAME.test(name) && !isReservedHeader(name) && !(name in Object.prototype)
}

/** How a digest is written: base64url, 43 characters, or `binary`, 32 latin1 characters. */
export type DigestEncoding = 'base64url' | 'binary'

/**
 * The digest of the covered parts.
 *
 * @param names the covered headers, ascending; one that is missing from `headers` counts as absent
 * @throws SetupError `header-unsupported` when a value has a type that no signature can cover
 */
export function digestParts(
  properties: CoveredProperties | undefined,
  headers: Headers | undefined,
  names: readonly string[],
  encoding: DigestEncoding = 'base64url',
): string {
  return new PartsDigester(encoding).digest(properties, headers, names)
}

/** Makes digests and keeps the last one: messages that follow each other mostly differ in nothing but their bodies. */
export class PartsDigester {
  readonly #encoding: DigestEncoding
  readonly #writer = new PartsWriter()
  #names: readonly string[] = []
  #values: readonly HeaderValue[] = []
  /** of the message at hand */
  readonly #given: HeaderValue[] = []
  #digest = ''

  constructor(encoding: DigestEncoding) {
    this.#encoding = encoding
  }

  /** As {@link digestParts}. */
  digest(properties: CoveredProperties | undefined, headers: Headers | undefined, names: readonly string[]): string {
    const values = this.#given
    setValues(values, properties ?? NONE, headers, names)
    if (areSame(names, this.#names) && areSame(values, this.#values)) return this.#digest
    this.#digest = hash('sha256', this.#writer.write(values, names), this.#encoding)
    this.#names = names
    this.#values = values.map(lasting)
    return this.#digest
  }
}

/** Puts the values that are covered in a list: of the properties, in their order, then of the headers. */
function setValues(
  values: HeaderValue[],
  properties: CoveredProperties,
  headers: Headers | undefined,
  names: readonly string[],
): void {
  values[0] = properties.key
  values[1] = properties.type
  values[2] = properties.contentType
  values[3] = properties.contentEncoding
  values[4] = properties.replyTo
  values[5] = properties.correlationId
  values[6] = properties.messageId
  values[7] = properties.appId
  values.length = PROPERTIES.length + names.length
  for (let index = 0; index < names.length; index++) {
    values[PROPERTIES.length + index] = ownValue(headers, names[index] as string)
  }
}

const NONE: CoveredProperties = {}

function ownValue(headers: Headers | undefined, name: string): HeaderValue {
  return headers !== undefined && Object.hasOwn(headers, name) ? headers[name] : undefined
}

function areSame(some: readonly HeaderValue[], others: readonly HeaderValue[]): boolean {
  if (some.length !== others.length) return false
  for (let index = 0; index < some.length; index++) {
    const [one, other] = [some[index], others[index]]
    if (one === other) continue
    if (!isUint8Array(one) || !isUint8Array(other) || Buffer.compare(one, other) !== 0) return false
  }
  return true
}

/** What nobody can change behind our back. For lists and tables NaN, which is the same as nothing. */
function lasting(value: HeaderValue): HeaderValue {
  if (typeof value !== 'object' || value === null) return value
  return isUint8Array(value) ? Uint8Array.from(value) : Number.NaN
}

/**
 * One octet says the type, then the value. Strings and bytes share a tag, because Kafka returns every string as bytes and
 * AMQP sometimes does.
 */
const TAG = { bytes: 'b', true: 't', false: 'f', number: 'n', null: 'z', list: 'l', table: 'm' } as const

/** Writes the covered parts. One for many messages, since it keeps its room. */
class PartsWriter {
  readonly #writer = new ByteWriter()
  /** the header that is being written, for errors */
  #header = ''

  write(values: readonly HeaderValue[], names: readonly string[]): Uint8Array {
    const writer = this.#writer
    writer.clear()
    writer.ascii(DOMAIN)
    writer.uint32(values.length)
    for (let index = 0; index < values.length; index++) {
      const name = PROPERTIES[index] ?? (names[index - PROPERTIES.length] as string)
      const value = values[index]
      writer.uint32(name.length)
      writer.ascii(name)
      writer.uint8(value === undefined ? 0 : 1)
      if (value === undefined) continue
      this.#header = name
      const start = writer.begin()
      this.#value(value, 0)
      writer.end(start)
    }
    return writer.bytes()
  }

  #value(value: HeaderValue, depth: number): void {
    const writer = this.#writer
    if (depth > MAX_DEPTH) throw this.#unsupported(`it nests deeper than ${MAX_DEPTH} levels`)
    if (typeof value === 'string') {
      writer.ascii(TAG.bytes)
      this.#text(value, 'it holds a lone surrogate; write well-formed Unicode')
    } else if (isUint8Array(value)) {
      writer.ascii(TAG.bytes)
      writer.uint32(value.length)
      writer.copy(value)
    } else if (typeof value === 'boolean') {
      writer.ascii(value ? TAG.true : TAG.false)
    } else if (typeof value === 'number') {
      if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
        throw this.#unsupported('the number is not finite or not a safe integer; send it as a string')
      }
      writer.ascii(TAG.number)
      const text = JSON.stringify(value)
      writer.uint32(text.length)
      writer.ascii(text)
    } else if (value === null) {
      writer.ascii(TAG.null)
    } else if (Array.isArray(value)) {
      writer.ascii(TAG.list)
      writer.uint32(value.length)
      // Holes count as undefined, which no value in a list can be.
      for (let index = 0; index < value.length; index++) this.#value(value[index], depth + 1)
    } else if (isTable(value)) {
      this.#table(value, depth)
    } else {
      throw this.#unsupported(
        `a ${typeName(value)} cannot be signed; send a string, number, boolean, bytes, list or table`,
      )
    }
  }

  /** By the octets of their names, ascending. */
  #table(table: Table, depth: number): void {
    const names = Object.keys(table).filter((name) => table[name] !== undefined)
    const keys = names.map((name) => [Buffer.from(name), name] as const).sort(([a], [b]) => Buffer.compare(a, b))
    this.#writer.ascii(TAG.table)
    this.#writer.uint32(keys.length)
    for (const [, name] of keys) {
      this.#text(name, 'a table key holds a lone surrogate')
      this.#value(table[name], depth + 1)
    }
  }

  /** UTF-8 behind its length. */
  #text(text: string, illFormed: string): void {
    const start = this.#writer.begin()
    if (!this.#writer.text(text)) throw this.#unsupported(illFormed)
    this.#writer.end(start)
  }

  #unsupported(why: string): SetupError {
    return new SetupError('header-unsupported', `header ${quote(this.#header)} cannot be signed: ${why}`)
  }
}

type Table = { readonly [name: string]: HeaderValue }

function isTable(value: HeaderValue): value is Table {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

function typeName(value: unknown): string {
  return typeof value === 'object' && value !== null ? (value.constructor?.name ?? 'object') : typeof value
}
