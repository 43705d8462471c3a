import {
  address,
  type CoveredProperties,
  type HeaderValue,
  type Message,
  type ReceivedMessage,
  TOKEN_HEADER,
} from '../../src/message.ts'
import { type Inspection, mark } from '../../src/verdict.ts'
import type { Verified } from '../../src/verifier.ts'
import { splitHeaders } from '../../src/view.ts'
import type { KafkaMessage, OutgoingMessage } from './client.ts'

/** Records of the clients and the core's messages, both ways. Pure. */

/** The address of a topic. */
export function destinationOf(topic: string): string {
  return address('kafka', topic)
}

/** Headers that are properties to the core: always covered, present or absent. */
const PROPERTY_HEADERS = [
  ['content-type', 'contentType'],
  ['content-encoding', 'contentEncoding'],
] as const

/**
 * A record of the caller's as it is now: its bytes may be changed before the client sends them.
 *
 * @param copyOf copies a text or bytes into what the client takes for them
 */
export function snapshot(message: OutgoingMessage, copyOf: (value: unknown) => unknown = copyBytes): OutgoingMessage {
  const copy: Record<string, unknown> = { ...message }
  // What a class defines is not among the own properties.
  for (const name of ['partition', 'timestamp'] as const) if (name in message) copy[name] = message[name]
  for (const name of ['key', 'value'] as const) if (name in message) copy[name] = copyOf(message[name])
  const headers: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(message.headers ?? {})) {
    if (!Array.isArray(value)) define(headers, name, copyOf(value))
    // On the wire a list is a header for each of its values, so nobody can tell a list of one from its value.
    else if (value.length > 0) define(headers, name, value.length === 1 ? copyOf(value[0]) : value.map(copyOf))
  }
  copy.headers = headers
  return copy as unknown as OutgoingMessage
}

/**
 * kafkajs writes an ordinary Uint8Array as its numbers, joined by commas: a Buffer is what was meant. Texts stay texts,
 * since a partitioner may look at them.
 */
export function copyBytes(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value) : value
}

/** A Buffer of no bytes that points somewhere: one that does not, librdkafka takes for null. */
const EMPTY = Buffer.alloc(1).subarray(0, 0)

/** The Confluent client cuts a text at its first NUL character, so it gets bytes only. */
export function copyToBytes(value: unknown): unknown {
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) return value
  return value.length === 0 ? EMPTY : Buffer.from(value as string)
}

/** What is about to be sent, for signing. */
export function toMessage(topic: string, message: OutgoingMessage): Message {
  const headers = copyTable(message.headers)
  const properties = takeProperties(message.key, headers)
  delete headers[TOKEN_HEADER]
  return { destination: destinationOf(topic), payload: bodyOf(message.value), properties, headers }
}

/** Puts the token among the headers of a {@link snapshot}. One that is there already gives way. */
export function setToken(copy: OutgoingMessage, token: string): void {
  define(copy.headers as Record<string, unknown>, TOKEN_HEADER, token)
}

/** Where a record stands: topic names have no slash. */
export function positionOf(topic: string, partition: number, offset: string): string {
  return `${topic}/${partition}/${offset}`
}

/** A record that arrived, for verifying. */
export function toReceived(
  topic: string,
  partition: number,
  message: KafkaMessage,
  groupId: string | undefined,
): ReceivedMessage {
  const headers = copyTable(message.headers)
  const token = headers[TOKEN_HEADER]
  delete headers[TOKEN_HEADER]
  const properties = takeProperties(message.key, { ...headers })
  return {
    queue: topic,
    deliveredBy: [destinationOf(topic)],
    token,
    payload: message.value ?? null,
    properties,
    headers,
    position: positionOf(topic, partition, message.offset),
    ...(groupId !== undefined && { consumer: groupId }),
  }
}

/**
 * The record the handler gets: what was signed, and the broker's own offset, timestamp and the like. With `verified`
 * undefined it is passed as it came.
 */
export function toView<Record extends KafkaMessage>(
  message: Record,
  verified: Verified | undefined,
  inspection: Omit<Inspection, 'unsignedHeaders'>,
): Record {
  if (verified === undefined) {
    const view = { ...message, ...(message.headers && { headers: { ...message.headers } }) }
    mark(view, { ...inspection, unsignedHeaders: {} })
    return view
  }
  const headers = copyTable(message.headers)
  const { visible, unsigned } = splitHeaders(headers, verified.coveredHeaders, coveredByName(headers))
  const view = { ...message, headers: visible }
  const full = { ...inspection, unsignedHeaders: unsigned }
  mark(view, full)
  mark(visible, full)
  return view
}

/** The token stays where it was, for records that are passed on; properties are covered without being listed. */
function coveredByName(headers: Readonly<Record<string, HeaderValue>>): ReadonlySet<string> {
  const names = new Set<string>([TOKEN_HEADER])
  for (const [name] of PROPERTY_HEADERS) if (isText(headers[name])) names.add(name)
  return names
}

/** Takes what is a property out of the headers. A list or null is none, and is covered only if it is listed. */
function takeProperties(key: unknown, headers: Record<string, HeaderValue>): CoveredProperties {
  const properties: Record<string, string | Uint8Array> = {}
  if (isText(key)) properties.key = key
  for (const [name, property] of PROPERTY_HEADERS) {
    const value = headers[name]
    if (!isText(value)) continue
    properties[property] = value
    delete headers[name]
  }
  return properties
}

function isText(value: unknown): value is string | Uint8Array {
  return typeof value === 'string' || value instanceof Uint8Array
}

/** Whatever else it is, the client refuses it. */
function bodyOf(value: unknown): Uint8Array | null {
  if (typeof value === 'string') return Buffer.from(value)
  return value instanceof Uint8Array ? value : null
}

/**
 * Headers without a prototype. kafkajs looks a name up before it adds a value, so what it gives for names such as
 * `constructor` begins with what every object inherits.
 */
export function copyTable(headers: object | undefined | null): Record<string, HeaderValue> {
  const copy: Record<string, HeaderValue> = Object.create(null) as Record<string, HeaderValue>
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (!(name in Object.prototype) || !Array.isArray(value)) {
      copy[name] = value as HeaderValue
      continue
    }
    const sent: HeaderValue[] = value.filter((item) => item === null || isText(item))
    copy[name] = sent.length === 1 ? sent[0] : sent
  }
  return copy
}

/** Also for the name `__proto__`, which an assignment would not make a property of. */
function define(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, configurable: true, enumerable: true, writable: true })
}
