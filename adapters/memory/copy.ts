import type { CoveredProperties, Headers, HeaderValue } from '../../src/message.ts'
import type { QueuedMessage } from './queue.ts'

/** Copies, so that nothing is shared between producer, broker and consumers: what a network would see to. */

const PROPERTIES = [
  'key',
  'type',
  'contentType',
  'contentEncoding',
  'replyTo',
  'correlationId',
  'messageId',
  'appId',
] as const satisfies readonly (keyof CoveredProperties)[]

export function copyMessage(message: QueuedMessage): QueuedMessage {
  const { queue, payload, headers, properties, redelivered } = message
  return {
    queue,
    payload: payload === null ? null : Buffer.from(payload),
    headers: copyHeaders(headers),
    properties: copyProperties(properties),
    redelivered,
  }
}

/** @throws TypeError for a value that no message can carry */
export function copyHeaders(headers: Headers = {}): Record<string, HeaderValue> {
  const names = Object.keys(headers).filter((name) => headers[name] !== undefined)
  return Object.fromEntries(names.map((name) => [name, copyValue(headers[name])]))
}

/** The properties a message can have; others are not carried. */
export function copyProperties(properties: CoveredProperties = {}): CoveredProperties {
  const names = PROPERTIES.filter((name) => properties[name] !== undefined)
  return Object.fromEntries(names.map((name) => [name, copyValue(properties[name])]))
}

function copyValue(value: HeaderValue): HeaderValue {
  if (value instanceof Uint8Array) return Buffer.from(value)
  if (Array.isArray(value)) return value.map(copyValue)
  if (typeof value === 'object' && value !== null) return copyHeaders(value as Headers)
  if (['function', 'symbol', 'bigint'].includes(typeof value)) {
    throw new TypeError(`a header cannot hold a ${typeof value}; send a text, number, boolean, bytes, list or table`)
  }
  return value
}
