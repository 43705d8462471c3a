import type { Admission } from '../../src/guard.ts'
import {
  address,
  type CoveredProperties,
  type HeaderValue,
  type Message,
  NO_HEADERS,
  type ReceivedMessage,
  TOKEN_HEADER,
} from '../../src/message.ts'
import { Inspection, mark } from '../../src/verdict.ts'
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

/** What is about to be sent to an address, for signing. */
export function toMessage(destination: string, message: OutgoingMessage): Message {
  const headers = copyTable(message.headers)
  delete headers[TOKEN_HEADER]
  const properties = propertiesOf(message.key, headers)
  for (const [name, property] of PROPERTY_HEADERS) if (properties[property] !== undefined) delete headers[name]
  return { destination, payload: bodyOf(message.value), properties, headers }
}

/** Puts the token among the headers of a {@link snapshot}. One that is there already gives way. */
export function setToken(copy: OutgoingMessage, token: string): void {
  define(copy.headers as Record<string, unknown>, TOKEN_HEADER, token)
}

/** Where a record stands: topic names have no slash. */
export function positionOf(topic: string, partition: number, offset: string): string {
  return `${topic}/${partition}/${offset}`
}

/**
 * A record that arrived, for verifying.
 *
 * @param deliveredBy what {@link destinationOf} says of the topic
 * @param reprocess the consumer sought it again
 */
export function toReceived(
  topic: string,
  partition: number,
  message: KafkaMessage,
  groupId: string | undefined,
  deliveredBy: readonly string[] = [destinationOf(topic)],
  reprocess = false,
): ReceivedMessage {
  const raw = message.headers ?? NO_HEADERS
  let token: HeaderValue
  let headers: Record<string, HeaderValue> | undefined
  for (const name of Object.keys(raw)) {
    const value = headerOf(raw, name)
    if (name === TOKEN_HEADER) token = value
    else {
      headers ??= Object.create(null) as Record<string, HeaderValue>
      headers[name] = value
    }
  }
  return {
    queue: topic,
    deliveredBy,
    token,
    payload: message.value ?? null,
    properties: propertiesOf(message.key, headers),
    headers: headers ?? NO_HEADERS,
    position: positionOf(topic, partition, message.offset),
    ...(groupId !== undefined && { consumer: groupId }),
    ...(reprocess && { reprocess }),
  }
}

/**
 * The record the handler gets: what was signed, and the broker's own offset, timestamp and the like; or as it came, where
 * the policy lets it pass unverified.
 */
export function toView(message: KafkaMessage, received: ReceivedMessage, admission: Admission): KafkaMessage {
  const { verdict, verified } = admission
  // Object.assign, since an object that was spread has no hidden class to share: a mark on it costs a new one.
  const view: { -readonly [Name in keyof KafkaMessage]: KafkaMessage[Name] } = Object.assign({}, message)
  if (verified === undefined) {
    if (message.headers !== undefined) view.headers = { ...message.headers }
    mark(view, new Inspection(verdict, NO_HEADERS, admission.lease))
    return view
  }
  const { visible, unsigned } = splitHeaders(received.headers, verified.coveredHeaders, coveredByName(received))
  // The token stays, for records that are passed on.
  visible[TOKEN_HEADER] = received.token as HeaderValue
  view.headers = visible
  const inspection = new Inspection(verdict, unsigned, admission.lease)
  mark(view, inspection)
  mark(visible, inspection)
  return view
}

const NONE: ReadonlySet<string> = new Set()

/** Properties are covered without being listed. */
function coveredByName({ properties }: ReceivedMessage): ReadonlySet<string> {
  if (properties === NO_PROPERTIES) return NONE
  const names = PROPERTY_HEADERS.filter(([, property]) => properties?.[property] !== undefined)
  return new Set(names.map(([name]) => name))
}

const NO_PROPERTIES: CoveredProperties = Object.freeze({})

/** The key, and what of the headers is a property: text or bytes. A list or null is none, and is covered only if it is listed. */
function propertiesOf(key: unknown, headers: Readonly<Record<string, HeaderValue>> | undefined): CoveredProperties {
  let properties: { -readonly [Name in keyof CoveredProperties]: CoveredProperties[Name] } | undefined
  if (isText(key)) properties = { key }
  if (headers === undefined) return properties ?? NO_PROPERTIES
  for (const [name, property] of PROPERTY_HEADERS) {
    const value = headers[name]
    if (!isText(value)) continue
    properties ??= {}
    properties[property] = value
  }
  return properties ?? NO_PROPERTIES
}

function isText(value: unknown): value is string | Uint8Array {
  return typeof value === 'string' || value instanceof Uint8Array
}

/** Whatever else it is, the client refuses it. */
function bodyOf(value: unknown): Uint8Array | null {
  if (typeof value === 'string') return Buffer.from(value)
  return value instanceof Uint8Array ? value : null
}

/** Headers without a prototype. */
export function copyTable(headers: object | undefined | null): Record<string, HeaderValue> {
  const copy: Record<string, HeaderValue> = Object.create(null) as Record<string, HeaderValue>
  for (const name of Object.keys(headers ?? {})) copy[name] = headerOf(headers as object, name)
  return copy
}

/**
 * The value of a header. kafkajs looks a name up before it adds a value, so what it gives for names such as `constructor`
 * begins with what every object inherits.
 */
function headerOf(headers: object, name: string): HeaderValue {
  const value = (headers as Record<string, HeaderValue>)[name]
  if (!(name in Object.prototype) || !Array.isArray(value)) return value
  const sent: HeaderValue[] = value.filter((item) => item === null || isText(item))
  return sent.length === 1 ? sent[0] : sent
}

/** An assignment would not make a property of the name `__proto__`. */
function define(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== '__proto__') target[name] = value
  else Object.defineProperty(target, name, { value, configurable: true, enumerable: true, writable: true })
}
