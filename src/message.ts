/** The core's words for what is signed, what is received, and how it is settled. No transport is known here. */

/** A header value that can be signed. Strings and bytes are the same thing to a signature: their UTF-8 or raw bytes. */
export type HeaderValue =
  | undefined
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly HeaderValue[]
  | { readonly [name: string]: HeaderValue }

/** Headers by name. A transport hands them over without a prototype, so that `__proto__` is a name like any other. */
export type Headers = Readonly<Record<string, HeaderValue>>

/** An empty table, for many messages. */
export const NO_HEADERS: Headers = Object.freeze(Object.create(null) as Record<string, never>)

/** The parts that are always covered by the signature, present or absent (docs/spec.md). */
export interface CoveredProperties {
  /** the record key (Kafka); absent and empty differ */
  readonly key?: string | Uint8Array | undefined
  readonly type?: string | Uint8Array | undefined
  readonly contentType?: string | Uint8Array | undefined
  readonly contentEncoding?: string | Uint8Array | undefined
  readonly replyTo?: string | Uint8Array | undefined
  readonly correlationId?: string | Uint8Array | undefined
  readonly messageId?: string | Uint8Array | undefined
  readonly appId?: string | Uint8Array | undefined
}

/** A message about to be signed. */
export interface Message {
  /** the address the producer sends to, such as `amqp:orders/order.created` */
  readonly destination: string
  /** the body's bytes; null: the message has no body, which is not the same as an empty one */
  readonly payload: Uint8Array | null
  readonly properties?: CoveredProperties
  readonly headers?: Headers
}

/** A message as a consumer received it. */
export interface ReceivedMessage {
  /** the queue, topic or stream it was read from: the name that policies and key lines match */
  readonly queue: string
  /** the addresses it was delivered by; the signed destination must equal every one of them */
  readonly deliveredBy: readonly string[]
  /** the value of the header `queueauth` as the client gave it; undefined when no header has that name */
  readonly token: unknown
  readonly payload: Uint8Array | null
  readonly properties?: CoveredProperties
  /** every header but the token */
  readonly headers?: Headers
  /** what identifies this place in the transport (topic/partition/offset, entry id); absent where there is none */
  readonly position?: string
  /** who reads it, where several read the same queue apart from each other: the consumer group */
  readonly consumer?: string | undefined
  /**
   * This consumer asked for this very delivery itself: by its own seek, by an offset of a stream that it named, or by the
   * option `reprocess`. If the message was handled at this position, it is handled again; elsewhere it is still a copy.
   */
  readonly reprocess?: boolean | undefined
  /** who seems to have sent it, for people: exchange, app-id and the like; nothing trusts it */
  readonly origin?: string
}

/** Who signed a message. */
export interface Sender {
  /** the service that the authorized key belongs to */
  readonly service: string
  /** the RFC 7638 thumbprint of its key, 43 characters */
  readonly keyId: string
  /** the same key as `ssh-keygen -l` prints it, `SHA256:…` */
  readonly fingerprint: string
  /** the id of this message, unique to it */
  readonly tokenId: string
  /** when it was signed */
  readonly issuedAt: Date
  /** the address it was signed for */
  readonly destination: string
}

/** The header that holds the token. */
export const TOKEN_HEADER = 'queueauth'

/** Headers that only this library writes, on dead letters: `queueauth-reason` and the like. */
export const RESERVED_HEADER_PREFIX = 'queueauth-'

/** Whether a header name belongs to this library. Upper and lower case are the same here: some transports fold them. */
export function isReservedHeader(name: string): boolean {
  return RESERVED.test(name)
}

const RESERVED = /^queueauth(?:-|$)/i

/**
 * An address from its scheme and components, each percent-encoded outside `[A-Za-z0-9._-]`, so that no two addresses
 * look alike: `address('amqp', 'orders', 'order.created')` is `amqp:orders/order.created`.
 *
 * @throws URIError when a component is not well-formed Unicode
 */
export function address(scheme: string, ...components: readonly [string, ...string[]]): string {
  return `${scheme}:${components.map(encodeComponent).join('/')}`
}

/**
 * The components of an address, decoded; undefined when it is not exactly what {@link address} makes of that scheme and
 * some components.
 */
export function parseAddress(scheme: string, text: string): [string, ...string[]] | undefined {
  if (!text.startsWith(`${scheme}:`)) return undefined
  try {
    const components = text
      .slice(scheme.length + 1)
      .split('/')
      .map(decodeURIComponent) as [string, ...string[]]
    return address(scheme, ...components) === text ? components : undefined
  } catch {
    return undefined
  }
}

const PLAIN_COMPONENT = /^[A-Za-z0-9._-]*$/

function encodeComponent(component: string): string {
  if (PLAIN_COMPONENT.test(component)) return component
  return encodeURIComponent(component).replace(
    /[~!*'()]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
