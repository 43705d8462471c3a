import { hash } from 'node:crypto'
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

const PROPERTIES = [
  ['@key', 'key'],
  ['@type', 'type'],
  ['@content-type', 'contentType'],
  ['@content-encoding', 'contentEncoding'],
  ['@reply-to', 'replyTo'],
  ['@correlation-id', 'correlationId'],
  ['@message-id', 'messageId'],
  ['@app-id', 'appId'],
] as const satisfies readonly (readonly [string, keyof CoveredProperties])[]

const DOMAIN = Buffer.from('queueauth-v1/parts\0', 'latin1')

/** The most headers a signature covers. */
export const MAX_COVERED_HEADERS = 32

/** Tables and lists nest at most this deep, so that a hostile header cannot exhaust the stack. */
const MAX_DEPTH = 16

const HEADER_NAME = /^[!#-[\]-~]{1,128}$/

/** Whether a header of this name can be covered: printable ASCII without `"` and `\`, not ours, not a prototype's. */
export function isCoverableName(name: string): boolean {
  return HEADER_NAME.test(name) && !isReservedHeader(name) && !(name in Object.prototype)
}

/**
 * The digest of the covered parts: base64url, 43 characters, or `binary`, 32 latin1 characters.
 *
 * @param names the covered headers, ascending; one that is missing from `headers` counts as absent
 * @throws SetupError `header-unsupported` when a value has a type that no signature can cover
 */
export function digestParts(
  properties: CoveredProperties | undefined,
  headers: Headers | undefined,
  names: readonly string[],
  encoding: 'base64url' | 'binary' = 'base64url',
): string {
  const bytes = new Bytes()
  bytes.raw(DOMAIN)
  bytes.uint32(PROPERTIES.length + names.length)
  for (const [name, property] of PROPERTIES) appendPart(bytes, name, properties?.[property])
  for (const name of names) appendPart(bytes, name, ownValue(headers, name))
  return hash('sha256', bytes.view(), encoding)
}

function ownValue(headers: Headers | undefined, name: string): HeaderValue {
  return headers !== undefined && Object.hasOwn(headers, name) ? headers[name] : undefined
}

function appendPart(bytes: Bytes, name: string, value: HeaderValue): void {
  bytes.text(name)
  if (value === undefined) {
    bytes.byte(0)
    return
  }
  bytes.byte(1)
  const start = bytes.reserveLength()
  appendValue(bytes, value, name, 0)
  bytes.fillLength(start)
}

/**
 * One byte says the type, then the value. Strings and bytes share a tag, because Kafka returns every string as bytes
 * and AMQP sometimes does.
 */
function appendValue(bytes: Bytes, value: HeaderValue, header: string, depth: number): void {
  if (depth > MAX_DEPTH) throw unsupported(header, `it nests deeper than ${MAX_DEPTH} levels`)
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw unsupported(header, 'it holds a lone surrogate; write well-formed Unicode')
    bytes.tag('b')
    bytes.text(value)
  } else if (value instanceof Uint8Array) {
    bytes.tag('b')
    bytes.uint32(value.length)
    bytes.raw(value)
  } else if (typeof value === 'boolean') {
    bytes.tag(value ? 't' : 'f')
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
      throw unsupported(header, 'the number is not finite or not a safe integer; send it as a string')
    }
    bytes.tag('n')
    bytes.text(JSON.stringify(value))
  } else if (value === null) {
    bytes.tag('z')
  } else if (Array.isArray(value)) {
    bytes.tag('l')
    bytes.uint32(value.length)
    for (const item of value) appendValue(bytes, item, header, depth + 1)
  } else if (isTable(value)) {
    const names = Object.keys(value).filter((name) => value[name] !== undefined)
    const keys = names.map((name) => [Buffer.from(name), name] as const).sort(([a], [b]) => Buffer.compare(a, b))
    bytes.tag('m')
    bytes.uint32(keys.length)
    for (const [key, name] of keys) {
      if (!name.isWellFormed()) throw unsupported(header, 'a table key holds a lone surrogate')
      bytes.uint32(key.length)
      bytes.raw(key)
      appendValue(bytes, value[name], header, depth + 1)
    }
  } else {
    throw unsupported(
      header,
      `a ${typeName(value)} cannot be signed; send a string, number, boolean, bytes, list or table`,
    )
  }
}

function isTable(value: HeaderValue): value is { readonly [name: string]: HeaderValue } {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

function typeName(value: unknown): string {
  return typeof value === 'object' && value !== null ? (value.constructor?.name ?? 'object') : typeof value
}

function unsupported(header: string, why: string): SetupError {
  return new SetupError('header-unsupported', `header ${quote(header)} cannot be signed: ${why}`)
}

/** A buffer that grows. */
class Bytes {
  #buffer = Buffer.allocUnsafe(512)
  #length = 0

  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  byte(value: number): void {
    this.#room(1)
    this.#buffer[this.#length++] = value
  }

  tag(letter: string): void {
    this.byte(letter.charCodeAt(0))
  }

  uint32(value: number): void {
    this.#room(4)
    this.#length = this.#buffer.writeUInt32BE(value, this.#length)
  }

  raw(value: Uint8Array): void {
    this.#room(value.length)
    this.#buffer.set(value, this.#length)
    this.#length += value.length
  }

  /** UTF-8 behind its length. */
  text(value: string): void {
    const start = this.reserveLength()
    // A UTF-16 unit takes at most three bytes in UTF-8.
    this.#room(value.length * 3)
    this.#length += this.#buffer.write(value, this.#length, 'utf8')
    this.fillLength(start)
  }

  reserveLength(): number {
    this.#room(4)
    this.#length += 4
    return this.#length
  }

  fillLength(start: number): void {
    this.#buffer.writeUInt32BE(this.#length - start, start - 4)
  }

  #room(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }
}
