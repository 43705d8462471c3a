import { types } from 'node:util'
import { MAX_COVERED_VALUES, MAX_HEADERS } from '../../src/covered-parts.ts'
import { type HeaderValue, TOKEN_HEADER } from '../../src/message.ts'

/** AMQP header tables as the core sees them, without a prototype, so that `__proto__` is a name like any other. Pure. */

export type Table = Record<string, HeaderValue>

/** The signer refuses what nests deeper than 16 levels; copying stops beyond that, since a table can contain itself. */
const DEEPEST_SENT = 20

/** amqplib decodes some thousand levels, more than any code that walks them has stack for. */
const DEEPEST_RECEIVED = 64

/** A header table of the caller's as it is now, inherited names included, since amqplib encodes them too. */
export function copiedTable(table: object): Record<string, unknown> {
  const copy: Record<string, unknown> = emptyTable()
  for (const name in table) copy[name] = (table as Record<string, unknown>)[name]
  return copy
}

/** Whether a table has no names, inherited ones included. */
export function isEmpty(table: object): boolean {
  for (const _ in table) return false
  return true
}

/** Whether values look the same after their trip over the wire: text, numbers and the like. */
export function isFlat(table: Readonly<Record<string, unknown>>): boolean {
  for (const name in table) {
    if (typeof table[name] === 'object' && table[name] !== null) return false
  }
  return true
}

/** A header table as it will look after its trip over the wire. Inherited names count, since amqplib encodes them too. */
export function sentTable(table: object | undefined | null, depth = 0): Table {
  const copy = emptyTable()
  for (const name in table) copy[name] = sentValue((table as Record<string, unknown>)[name], depth + 1)
  return copy
}

function sentValue(value: unknown, depth: number): HeaderValue {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value) || depth > DEEPEST_SENT) {
    return value as HeaderValue
  }
  if (Array.isArray(value)) return value.map((item) => sentValue(item, depth + 1))
  if (Object.hasOwn(value, '!')) return taggedValue(value as { '!': unknown; value?: unknown }, depth)
  // Other bytes than a Buffer are a table of their indexes to amqplib.
  if (value instanceof Uint8Array) return sentTable(value, depth)
  // Date, Map and the like would become an empty table: the signer refuses them.
  return Object.prototype.toString.call(value) === '[object Object]' ? sentTable(value, depth) : (value as HeaderValue)
}

/** amqplib's `{ '!': type, value }`: numbers come back as plain ones, two exotic types as they were written. */
function taggedValue(tagged: { '!': unknown; value?: unknown }, depth: number): HeaderValue {
  const { '!': type, value } = tagged
  switch (type) {
    case 'timestamp':
      return { '!': 'timestamp', value: Number(value) }
    case 'decimal': {
      const { places, digits } = (value ?? {}) as { places: number; digits: number }
      return { '!': 'decimal', value: { places, digits } }
    }
    case 'float':
      return Math.fround(Number(value))
    case 'boolean':
      return Boolean(value)
    case 'string':
      return value as HeaderValue
    case 'object':
      return sentValue(value, depth + 1)
    default:
      // The rest are numbers of some width; amqplib turns down a type it does not know.
      return Number(value)
  }
}

/**
 * A header table as it was received, own names only: amqplib lets a table called `__proto__` become the prototype of the
 * one around it, from where it would lend names to it. What nests deeper than 64 levels is cut.
 *
 * @param except a name to leave out
 */
export function receivedTable(table: object | undefined | null, except?: string): Table {
  const given = table ?? {}
  return copyReceived(given, Object.keys(given), emptyTable(), 0, Number.POSITIVE_INFINITY, except)
}

/**
 * The same for checking, as much of it as can be covered (docs/spec.md): what is beyond that is rejected, and not copied
 * for it. Of too many headers there is one too many, and a table of too many members is NaN, which no signature covers.
 */
export function checkedTable(table: object, except: string): Table {
  const names = Object.keys(table)
  names.length = Math.min(names.length, MAX_HEADERS + 2)
  return copyReceived(table, names, emptyTable(), 0, MAX_COVERED_VALUES, except)
}

/** The same without a look at what its values hold: for sorting names. */
export function topLevel(table: object): Table {
  const copy = emptyTable()
  for (const name of Object.keys(table)) put(copy, name, (table as Record<string, HeaderValue>)[name])
  const prototype: unknown = Object.getPrototypeOf(table)
  if (prototype !== Object.prototype && prototype !== null) put(copy, '__proto__', prototype as HeaderValue)
  return copy
}

/** Whether a table that was received has one name, the token's: most have. */
export function isTokenOnly(table: object | undefined | null): boolean {
  if (table === undefined || table === null || Object.getPrototypeOf(table) !== Object.prototype) return false
  const names = Object.keys(table)
  return names.length === 1 && names[0] === TOKEN_HEADER
}

/** One value of such a table; undefined where it has none of its own. */
export function receivedEntry(table: object | undefined | null, name: string): HeaderValue {
  if (table === undefined || table === null || !Object.hasOwn(table, name)) return undefined
  return receivedValue((table as Record<string, unknown>)[name], 1, MAX_COVERED_VALUES)
}

/** @param most a table of more members than that is NaN */
function copyReceived(
  table: object,
  names: readonly string[],
  copy: Table,
  depth: number,
  most: number,
  except?: string,
): Table {
  for (const name of names) {
    if (name !== except) put(copy, name, receivedValue((table as Record<string, unknown>)[name], depth + 1, most))
  }
  const prototype: unknown = Object.getPrototypeOf(table)
  if (prototype !== Object.prototype && prototype !== null) {
    put(copy, '__proto__', receivedValue(prototype, depth + 1, most))
  }
  return copy
}

/** Also a table's own `__proto__`, which amqplib makes of the second one where the first was null. */
function put(copy: Table, name: string, value: HeaderValue): void {
  if (name !== '__proto__') copy[name] = value
  else Object.defineProperty(copy, name, { value, configurable: true, enumerable: true, writable: true })
}

function receivedValue(value: unknown, depth: number, most: number): HeaderValue {
  // Not `instanceof`: a table whose `__proto__` are bytes would count as bytes, and every use of it would throw.
  if (typeof value !== 'object' || value === null || types.isUint8Array(value)) return value as HeaderValue
  if (depth > DEEPEST_RECEIVED) return null
  if (Array.isArray(value)) return value.map((item) => receivedValue(item, depth + 1, most))
  const names = Object.keys(value)
  return names.length > most ? Number.NaN : copyReceived(value, names, {}, depth, most)
}

function emptyTable(): Table {
  return Object.create(null) as Table
}
