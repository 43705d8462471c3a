import { SetupError } from '../../src/errors.ts'
import type { Lease } from '../../src/leases.ts'
import { NO_HEADERS, TOKEN_HEADER } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import { quote } from '../../src/text.ts'
import { inspectionOf } from '../../src/verdict.ts'
import { override } from '../../src/wrapping.ts'
import type { Callback, ChannelLike, PublishOptions } from './client.ts'
import { GatheredPublishes } from './gathered.ts'
import { copiedTable, isEmpty } from './headers.ts'
import { destinationOf, toMessage } from './message.ts'
import type { RabbitmqProducerOptions } from './options.ts'
import { Stamp } from './stamp.ts'

/** Signs what a channel publishes. `sendToQueue` calls `publish` on the channel, so this is the one place. */
export function signPublishes(channel: ChannelLike, signer: Signer, how: RabbitmqProducerOptions): void {
  const publish = channel.publish
  const stamp = new Stamp(channel)
  const gathered = how.batch ? new GatheredPublishes(channel, signer) : undefined
  const destinations = new Destinations()
  override(channel, 'publish', (exchange, routingKey, content, given, ...rest) => {
    const plainly = (): boolean => {
      gathered?.flush()
      return stamp.leaveOut(() => publish.call(channel, exchange, routingKey, content, given, ...rest))
    }
    // Nothing is sent then: amqplib turns them down, with errors of its own.
    if (!isShortString(exchange) || !isShortString(routingKey) || !Buffer.isBuffer(content)) return plainly()
    const options = snapshot(given)
    if (options === undefined) return plainly()
    if (how.preserveToken && (options.headers[TOKEN_HEADER] ?? undefined) !== undefined) {
      const lease = inspectionOf((given as PublishOptions).headers)?.lease
      if (lease !== undefined) passOn(lease, exchange ?? '', routingKey ?? '', options)
      return plainly()
    }
    const message = toMessage(destinations.of(exchange ?? '', routingKey ?? ''), content, options)
    const send = (token: string, body: Buffer): boolean =>
      stamp.publish(token, options, () => publish.call(channel, exchange, routingKey, body, options, ...rest))
    if (gathered?.takes(options)) {
      const body = Buffer.from(content)
      return gathered.add(message, (token) => send(token, body), rest[0] as Callback | undefined)
    }
    const token = signer.sign(message)
    gathered?.flush()
    return send(token, content)
  })
}

/** A message goes by its routing key, and by those of CC and BCC; the default exchange's are names of queues. */
function passOn(lease: Lease, exchange: string, routingKey: string, { CC, BCC }: Snapshot): void {
  for (const key of [routingKey, CC, BCC].flat()) {
    if (typeof key !== 'string' || !key.isWellFormed() || !exchange.isWellFormed()) continue
    void lease.passOn(destinationOf(exchange, key), exchange === '' ? key : undefined)
  }
}

/** Undefined is the empty string to amqplib. */
function isShortString(value: unknown): value is string | undefined {
  return value === undefined || (typeof value === 'string' && Buffer.byteLength(value) < 256)
}

/** The last one is kept: a program mostly publishes to one place for a while. */
class Destinations {
  #exchange: string | undefined
  #routingKey: string | undefined
  #destination = ''

  /** @throws SetupError `destination-invalid` */
  of(exchange: string, routingKey: string): string {
    if (exchange !== this.#exchange || routingKey !== this.#routingKey) {
      this.#destination = destinationOf(wellFormed(exchange), wellFormed(routingKey))
      this.#exchange = exchange
      this.#routingKey = routingKey
    }
    return this.#destination
  }
}

function wellFormed(name: string): string {
  if (name.isWellFormed()) return name
  throw new SetupError(
    'destination-invalid',
    `exchange or routing key ${quote(name)} holds a lone surrogate, which changes on the wire; write well-formed Unicode`,
  )
}

/** Options as they are sent. */
type Snapshot = Record<string, unknown> & { headers: Readonly<Record<string, unknown>> }

/**
 * A copy that nobody changes between signing and sending; undefined when the headers are nothing that can have any, which
 * amqplib turns down. Inherited headers count, since amqplib encodes them too. The options that amqplib knows are read by
 * name, so that those of an object with accessors are found, too.
 */
function snapshot(given: unknown): Snapshot | undefined {
  const options = (given ?? {}) as PublishOptions
  const table = options.headers || NO_HEADERS
  if (typeof table !== 'object' && typeof table !== 'function') return undefined
  const copy: Snapshot = {
    headers: isEmpty(table) ? NO_HEADERS : copiedTable(table),
    contentType: options.contentType,
    contentEncoding: options.contentEncoding,
    persistent: options.persistent,
    deliveryMode: options.deliveryMode,
    priority: options.priority,
    correlationId: options.correlationId,
    replyTo: options.replyTo,
    expiration: options.expiration,
    messageId: options.messageId,
    timestamp: options.timestamp,
    type: options.type,
    userId: options.userId,
    appId: options.appId,
    mandatory: options.mandatory,
    CC: options.CC,
    BCC: options.BCC,
  }
  for (const name in options) {
    // No option has that other name, and it would be no property.
    if (!Object.hasOwn(copy, name) && name !== '__proto__') copy[name] = options[name]
  }
  return copy
}
