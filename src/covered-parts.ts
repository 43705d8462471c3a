import { hash } from 'node:crypto'
import { types } from 'node:util'
import { ByteWriter } from './byte-writer.ts'
import { SetupError } from './errors.ts'
import { type CoveredProperties, type Headers, type HeaderValue, isReservedHeader } from './message.ts'
import { printable, quote } from './text.ts'

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

// The limits, so that a message made to be dear to reject is not: nothing is read beyond them. They are the same for the
// signer, so no limit is met first by a consumer.

/** The most headers a message has, covered or not. */
export const MAX_HEADERS = 1024

/** The most headers a signature covers. */
export const MAX_COVERED_HEADERS = 32

/** The most values that the covered parts hold together: parts that are present, items of lists, members of tables. */
export const MAX_COVERED_VALUES = 512

/** The most octets of the covered parts as they are digested. */
export const MAX_COVERED_OCTETS = 1_048_576

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
 * @throws SetupError `header-unsupported` when a value has a type that no signature can cover, or there is too much of it
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
  /** how many values there may be yet */
  #left = 0

  write(values: readonly HeaderValue[], names: readonly string[]): Uint8Array {
    const writer = this.#writer
    writer.clear()
    this.#left = MAX_COVERED_VALUES
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
      this.#count(1)
      this.#value(value, 0)
      writer.end(start)
      this.#fit(0)
    }
    return writer.bytes()
  }

  /** Values are counted before they are read. */
  #count(values: number): void {
    this.#left -= values
    if (this.#left >= 0) return
    throw this.#unsupported(
      `the covered headers hold more than ${MAX_COVERED_VALUES} values, counting items of lists and members of tables; move some into the body`,
    )
  }

  /** So are octets. */
  #fit(more: number): void {
    if (this.#writer.length + more <= MAX_COVERED_OCTETS) return
    throw this.#unsupported(
      `the covered headers and properties are larger than ${MAX_COVERED_OCTETS} octets together; move it into the body`,
    )
  }

  #value(value: HeaderValue, depth: number): void {
    const writer = this.#writer
    if (depth > MAX_DEPTH) throw this.#unsupported(`it nests deeper than ${MAX_DEPTH} levels`)
    if (typeof value === 'string') {
      writer.ascii(TAG.bytes)
      this.#text(value, 'it holds a lone surrogate; write well-formed Unicode')
    } else if (isUint8Array(value)) {
      writer.ascii(TAG.bytes)
      this.#fit(value.length)
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
      this.#count(value.length)
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
    const names: string[] = []
    // Not Object.keys(), which would look at every member before the first is counted.
    for (const name in table) {
      if (!Object.hasOwn(table, name)) continue
      this.#count(1)
      if (table[name] !== undefined) names.push(name)
    }
    this.#writer.ascii(TAG.table)
    this.#writer.uint32(names.length)
    // The order of their UTF-8 is that of their UTF-16 unless there are surrogates.
    if (names.some((name) => SURROGATE.test(name))) {
      this.#membersByOctets(table, names, depth)
      return
    }
    for (const name of names.sort()) {
      this.#text(name, '')
      this.#value(table[name], depth + 1)
    }
  }

  #membersByOctets(table: Table, names: readonly string[], depth: number): void {
    // One character an octet, so that they are compared as they stand.
    const byOctets = new Map<string, string>()
    for (const name of names) {
      if (!name.isWellFormed()) throw this.#unsupported('a table key holds a lone surrogate')
      byOctets.set(Buffer.from(name).toString('latin1'), name)
    }
    const writer = this.#writer
    for (const octets of [...byOctets.keys()].sort()) {
      this.#fit(octets.length)
      writer.uint32(octets.length)
      writer.latin1(octets)
      this.#value(table[byOctets.get(octets) as string], depth + 1)
    }
  }

  /** UTF-8 behind its length. */
  #text(text: string, illFormed: string): void {
    this.#fit(text.length)
    const start = this.#writer.begin()
    if (!this.#writer.text(text)) throw this.#unsupported(illFormed)
    this.#writer.end(start)
  }

  #unsupported(why: string): SetupError {
    return new SetupError('header-unsupported', `header ${quote(this.#header)} cannot be signed: ${why}`)
  }
}

const SURROGATE = /[\ud800-\udfff]/

type Table = { readonly [name: string]: HeaderValue }

function isTable(value: HeaderValue): value is Table {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

function typeName(value: unknown): string {
  const name: unknown = typeof value === 'object' && value !== null ? value.constructor?.name : typeof value
  return typeof name === 'string' && name !== '' ? printable(name.slice(0, 40)) : 'object'
}
