import type { Admission } from '../../src/guard.ts'
import type { CoveredProperties, Headers, HeaderValue, Message, ReceivedMessage } from '../../src/message.ts'
import { NO_HEADERS, parseAddress, TOKEN_HEADER } from '../../src/message.ts'
import { printable } from '../../src/text.ts'
import { Inspection, mark } from '../../src/verdict.ts'
import type { Verified } from '../../src/verified.ts'
import { splitHeaders } from '../../src/view.ts'
import { destinationOf, otherAddresses } from './addresses.ts'
import type { Bindings } from './bindings.ts'
import type { AmqpMessage, AmqpProperties, PublishOptions } from './client.ts'
import { checkedTable, isFlat, isTokenOnly, receivedEntry, sentTable, type Table } from './headers.ts'
import { offsetOf } from './stream-reader.ts'

export { destinationOf }

/** amqplib's messages and the core's, both ways. Pure. */

/** RPC answers to this pseudo-queue; the broker rewrites its suffix, so only the name itself is signed. */
export const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to'

/** Names that the broker writes. The handler sees them, although a publisher could forge them too. */
const BROKER_HEADERS: ReadonlySet<string> = new Set([
  'x-death',
  'x-first-death-exchange',
  'x-first-death-queue',
  'x-first-death-reason',
  'x-last-death-exchange',
  'x-last-death-queue',
  'x-last-death-reason',
  'x-delivery-count',
  'x-acquired-count',
  'x-received-from',
  'x-shovelled',
  'x-routed-by',
  'x-stream-offset',
])

/** What `publish` was asked to send, for signing. */
export function toMessage(destination: string, content: Uint8Array, options: PublishOptions): Message {
  const headers = (options.headers ?? {}) as Table
  return {
    destination,
    payload: content,
    properties: coveredProperties(options as AmqpProperties),
    headers: isFlat(headers) ? headers : sentTable(headers),
  }
}

/** A delivery, for verifying. */
export function toReceived(raw: AmqpMessage, routes: Routes): ReceivedMessage {
  if (routes.reader !== undefined) return fromStream(raw, routes, routes.reader)
  const { headers } = raw.properties
  const { deliveredBy, origin } = routes.of(raw)
  return {
    queue: routes.name,
    consumer: routes.consumer,
    deliveredBy,
    token: receivedEntry(headers, TOKEN_HEADER),
    payload: raw.content,
    properties: coveredProperties(raw.properties),
    headers: isTokenOnly(headers) ? NO_HEADERS : checkedTable(headers ?? {}, TOKEN_HEADER),
    origin,
  }
}

/** A reader of a stream says itself where it begins, so what it is sent it has asked for: a re-read handles it again. */
function fromStream(raw: AmqpMessage, routes: Routes, reader: string): ReceivedMessage {
  const { headers } = raw.properties
  const { deliveredBy, origin } = routes.of(raw)
  const offset = offsetOf(raw)
  return {
    queue: routes.name,
    consumer: routes.consumer === undefined ? reader : JSON.stringify([routes.consumer, reader]),
    deliveredBy,
    token: receivedEntry(headers, TOKEN_HEADER),
    payload: raw.content,
    properties: coveredProperties(raw.properties),
    headers: checkedTable(headers ?? {}, TOKEN_HEADER),
    ...(offset !== undefined && { position: String(offset) }),
    reprocess: true,
    origin,
  }
}

interface Route {
  readonly deliveredBy: readonly string[]
  readonly origin: string
}

/** The ways that messages took to a queue. Those that follow each other mostly took the same, so the last is kept. */
export class Routes {
  /** what policies call the queue */
  readonly name: string
  /** queues that share a name are read apart from each other: each has its own copy of what a fanout sends */
  readonly consumer: string | undefined
  /** who reads it, once it is known to be a stream */
  reader: string | undefined
  readonly #queue: string
  #last: readonly unknown[] = []
  #route: Route | undefined

  readonly #bindings: Bindings | undefined

  constructor(queue: string, name: string, bindings?: Bindings) {
    this.#queue = queue
    this.#bindings = bindings
    this.name = name
    this.consumer = name === queue ? undefined : queue
    this.reader = undefined
  }

  of({ fields: { exchange, routingKey }, properties: { appId, userId, headers } }: AmqpMessage): Route {
    const [lastExchange, lastKey, lastApp, lastUser, lastVersion] = this.#last
    const isSame = exchange === lastExchange && routingKey === lastKey && appId === lastApp && userId === lastUser
    const version = this.#bindings?.version
    const copied = headers?.CC
    if (this.#route !== undefined && isSame && version === lastVersion && copied === undefined) return this.#route
    const who = `${appId === undefined ? '' : `, app-id ${appId}`}${userId === undefined ? '' : `, user-id ${userId}`}`
    const others = otherAddresses(exchange, routingKey, copied, this.#queue, this.#bindings)
    const route = {
      deliveredBy: [...deliveredBy(exchange, routingKey, this.#queue), ...others],
      origin: printable(`exchange ${exchange || '(default)'}, routing key ${routingKey}${who}`).slice(0, 300),
    }
    if (copied !== undefined) return route
    this.#last = [exchange, routingKey, appId, userId, version]
    this.#route = route
    return route
  }
}

/**
 * The default exchange routes by queue name, yet a BCC from queue A to queue B still shows A's routing key: the queue
 * that is consumed must be the one that was addressed, too.
 */
function deliveredBy(exchange: string, routingKey: string, queue: string): string[] {
  const delivered = destinationOf(exchange, routingKey)
  if (exchange !== '' || queue === DIRECT_REPLY_TO) return [delivered]
  return [delivered, destinationOf('', queue)]
}

/** The message the handler gets: what was signed, and the broker's own metadata. */
export function toView(
  raw: AmqpMessage,
  received: ReceivedMessage,
  verified: Verified,
  { verdict, lease }: Admission,
  gone: AbortSignal,
): AmqpMessage {
  const { properties, fields, content } = raw
  const { visible, unsigned } = splitHeaders(received.headers, verified.coveredHeaders, BROKER_HEADERS)
  // A message that is forwarded with its headers carries its token along.
  visible[TOKEN_HEADER] = received.token as HeaderValue
  const view: AmqpMessage = {
    // Object.assign, since an object that was spread has no hidden class to share.
    fields: Object.assign({}, fields, verified.addressFromToken && signedAddress(verified.sender.destination)),
    properties: {
      contentType: properties.contentType,
      contentEncoding: properties.contentEncoding,
      headers: visible,
      // How the broker keeps it, like the fields: without it, passing a message on would quietly make it transient.
      deliveryMode: properties.deliveryMode,
      priority: undefined,
      correlationId: properties.correlationId,
      replyTo: properties.replyTo,
      expiration: undefined,
      messageId: properties.messageId,
      timestamp: undefined,
      type: properties.type,
      userId: undefined,
      appId: properties.appId,
      clusterId: undefined,
    },
    content,
  }
  const inspection = new Inspection(verdict, withProperties(unsigned, properties), lease, gone)
  mark(view, inspection)
  mark(visible, inspection)
  return view
}

const UNSIGNED_PROPERTIES = [
  ['@priority', 'priority'],
  ['@expiration', 'expiration'],
  ['@timestamp', 'timestamp'],
  ['@user-id', 'userId'],
  ['@cluster-id', 'clusterId'],
] as const

/** Properties that no signature covers stand among the unsigned headers, under names that no header has. */
function withProperties(unsigned: Headers, properties: AmqpProperties): Headers {
  let all: Record<string, HeaderValue> | undefined
  for (const [name, property] of UNSIGNED_PROPERTIES) {
    const value = properties[property]
    if (value === undefined) continue
    all ??= Object.assign(Object.create(null) as Record<string, HeaderValue>, unsigned)
    all[name] = value as HeaderValue
  }
  return all ?? unsigned
}

function signedAddress(destination: string): { exchange: string; routingKey: string } {
  const [exchange = '', routingKey = ''] = parseAddress('amqp', destination) ?? []
  return { exchange, routingKey }
}

/** amqplib leaves out what is null, so null counts as absent. */
function coveredProperties(properties: AmqpProperties): CoveredProperties {
  const given = properties as Readonly<Record<string, string | null | undefined>>
  const replyTo = given.replyTo ?? undefined
  const directReply = typeof replyTo === 'string' && replyTo.startsWith(DIRECT_REPLY_TO)
  return {
    type: given.type ?? undefined,
    contentType: given.contentType ?? undefined,
    contentEncoding: given.contentEncoding ?? undefined,
    replyTo: directReply ? DIRECT_REPLY_TO : replyTo,
    correlationId: given.correlationId ?? undefined,
    messageId: given.messageId ?? undefined,
    appId: given.appId ?? undefined,
  }
}
