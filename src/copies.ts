import type { CoveredProperties, Headers, ReceivedMessage } from './message.ts'

/** Copies of a message as a transport gave it, which may go on using its objects and its buffers. */

/** Nothing deeper can be signed, so nobody relies on it. */
const MAX_DEPTH = 100

/** A message that is nobody's but the caller's, down to the bytes. */
export function snapshotOf(message: ReceivedMessage): ReceivedMessage {
  const { token, payload, properties, headers, deliveredBy } = message
  return {
    ...message,
    token: typeof token === 'object' && token !== null ? copyValue(token, 0) : token,
    deliveredBy: [...deliveredBy],
    payload: payload === null ? null : copyBytes(payload),
    ...(properties !== undefined && { properties: copyTable(properties, {}, 0) as CoveredProperties }),
    ...(headers !== undefined && { headers: copyTable(headers, Object.create(null) as Table, 0) as Headers }),
  }
}

/** A copy of bytes, a Buffer if they were in one. */
function copyBytes(bytes: Uint8Array): Uint8Array {
  return Buffer.isBuffer(bytes) ? Buffer.from(bytes) : new Uint8Array(bytes)
}

/**
 * In one pass and each member read once, since a table can be made to be large; what a checker then does not look at, a
 * dead letter still keeps.
 */
function copyTable(table: object, copy: Table, depth: number): Table {
  for (const name of Object.keys(table)) {
    const value = (table as Table)[name]
    const own = typeof value === 'object' && value !== null ? copyValue(value, depth) : value
    // An assignment would not make a property of that name where there is a prototype.
    if (name === '__proto__') Object.defineProperty(copy, name, { ...PLAIN, value: own })
    else copy[name] = own
  }
  return copy
}

type Table = Record<string, unknown>

const PLAIN = { configurable: true, enumerable: true, writable: true }

function copyValue(value: object, depth: number): unknown {
  if (value instanceof Uint8Array) return copyBytes(value)
  if (depth === MAX_DEPTH) return value
  if (Array.isArray(value)) {
    return value.map((item: unknown) => (typeof item === 'object' && item !== null ? copyValue(item, depth + 1) : item))
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  // What is neither a table nor a list is no header that a signature covers; a Date and the like stay as they are.
  if (prototype !== null && prototype !== Object.prototype) return value
  return copyTable(value, Object.create(prototype as object | null) as Table, depth + 1)
}
