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
  let bytes = DOMAIN + uint32(PROPERTIES.length + names.length)
  for (const [name, property] of PROPERTIES) bytes += part(name, properties?.[property])
  for (const name of names) bytes += part(name, ownValue(headers, name))
  return hash('sha256', Buffer.from(bytes, 'latin1'), encoding)
}

// Bytes are put together as a string of one character each: half the time of writing so many short pieces into a buffer.

function ownValue(headers: Headers | undefined, name: string): HeaderValue {
  return headers !== undefined && Object.hasOwn(headers, name) ? headers[name] : undefined
}

function part(name: string, value: HeaderValue): string {
  if (value === undefined) return `${text(name)}\x00`
  const bytes = encode(value, name, 0)
  return `${text(name)}\x01${uint32(bytes.length)}${bytes}`
}

/**
 * One byte says the type, then the value. Strings and bytes share a tag, because Kafka returns every string as bytes
 * and AMQP sometimes does.
 */
function encode(value: HeaderValue, header: string, depth: number): string {
  if (depth > MAX_DEPTH) throw unsupported(header, `it nests deeper than ${MAX_DEPTH} levels`)
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw unsupported(header, 'it holds a lone surrogate; write well-formed Unicode')
    return `b${text(value)}`
  }
  if (value instanceof Uint8Array) {
    return `b${uint32(value.length)}${Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')}`
  }
  if (typeof value === 'boolean') return value ? 't' : 'f'
  if (typeof value === 'number') {
    if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
      throw unsupported(header, 'the number is not finite or not a safe integer; send it as a string')
    }
    return `n${text(JSON.stringify(value))}`
  }
  if (value === null) return 'z'
  if (Array.isArray(value)) {
    return value.reduce<string>((sofar, item) => sofar + encode(item, header, depth + 1), `l${uint32(value.length)}`)
  }
  if (isTable(value)) return encodeTable(value, header, depth)
  throw unsupported(
    header,
    `a ${typeName(value)} cannot be signed; send a string, number, boolean, bytes, list or table`,
  )
}

function encodeTable(table: Table, header: string, depth: number): string {
  const names = Object.keys(table).filter((name) => table[name] !== undefined)
  const keys = names.map((name) => [Buffer.from(name), name] as const).sort(([a], [b]) => Buffer.compare(a, b))
  let bytes = `m${uint32(keys.length)}`
  for (const [, name] of keys) {
    if (!name.isWellFormed()) throw unsupported(header, 'a table key holds a lone surrogate')
    bytes += text(name) + encode(table[name], header, depth + 1)
  }
  return bytes
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

function unsupported(header: string, why: string): SetupError {
  return new SetupError('header-unsupported', `header ${quote(header)} cannot be signed: ${why}`)
}

const ASCII = /^[\0-\x7f]*$/

/** UTF-8 behind its length. */
function text(value: string): string {
  const bytes = ASCII.test(value) ? value : Buffer.from(value).toString('latin1')
  return uint32(bytes.length) + bytes
}

function uint32(value: number): string {
  if (value < 256) return `\0\0\0${String.fromCharCode(value)}`
  return String.fromCharCode(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255)
}
