import type { CoveredProperties, Headers, HeaderValue, ReceivedMessage } from './message.ts'

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
    ...(properties !== undefined && { properties: copyTable({ ...properties }, 0) as CoveredProperties }),
    ...(headers !== undefined && {
      headers: copyTable(Object.assign(Object.create(null) as Record<string, HeaderValue>, headers), 0) as Headers,
    }),
  }
}

/** A copy of bytes, a Buffer if they were in one. */
function copyBytes(bytes: Uint8Array): Uint8Array {
  return Buffer.isBuffer(bytes) ? Buffer.from(bytes) : new Uint8Array(bytes)
}

function copyTable(table: Record<string, unknown>, depth: number): Record<string, unknown> {
  for (const name of Object.keys(table)) {
    const value = table[name]
    // An assignment would not make a property of the name __proto__ where there is a prototype.
    if (typeof value === 'object' && value !== null) {
      Object.defineProperty(table, name, { ...PLAIN, value: copyValue(value, depth) })
    }
  }
  return table
}

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
  return copyTable(Object.defineProperties(Object.create(prototype as object | null), ownValues(value)), depth + 1)
}

/** Getters are read once. */
function ownValues(value: object): PropertyDescriptorMap {
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, { ...PLAIN, value: item }]))
}
