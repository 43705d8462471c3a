import { Gatherer } from '../../src/batch/gatherer.ts'
import { SetupError } from '../../src/errors.ts'
import type { Message } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import { override } from '../../src/wrapping.ts'
import type { Callback, ChannelLike, PublishOptions } from './client.ts'

/** A channel's own ways to the wire. amqplib replaces them when the channel or its connection closes. */
interface Wire {
  sendImmediately(...args: unknown[]): unknown
  sendMessage(...args: unknown[]): unknown
  waitForConfirms?(callback?: Callback): unknown
  readonly connection: { closeBecause(...args: unknown[]): unknown; sendMessage(...args: unknown[]): unknown }
}

/**
 * The publishes of a channel, gathered for the rest of the tick. They leave before any other frame of the channel, and
 * before the connection says goodbye.
 */
export class GatheredPublishes {
  readonly #channel: ChannelLike
  readonly #gatherer: Gatherer
  readonly #isOpen: () => boolean
  /** what the last one that was sent returned, until the channel has drained */
  #writable = true

  /** @throws SetupError `client-unsupported` */
  constructor(channel: ChannelLike, signer: Signer) {
    this.#channel = channel
    this.#gatherer = new Gatherer(signer)
    this.#isOpen = flushFirst(channel, () => this.flush())
    channel.on('drain', () => {
      this.#writable = true
    })
  }

  /** Whether a publish can wait. What amqplib might turn down cannot: its errors are thrown by the call. */
  takes(options: PublishOptions): boolean {
    return this.#isOpen() && isPlain(options)
  }

  /**
   * @param send what `publish` would have done at once
   * @param callback is told when nothing is sent; without one the channel emits an `error`
   * @returns false: write no more until the channel emits `drain`
   */
  add(message: Message, send: (token: string) => boolean, callback: Callback | undefined): boolean {
    this.#gatherer.add(
      message,
      (token) => {
        this.#writable = send(token)
      },
      (error) => {
        if (callback !== undefined) callback(error)
        else this.#channel.emit('error', error)
      },
    )
    return this.#writable
  }

  flush(): void {
    this.#gatherer.flush()
  }
}

/** @returns whether the channel can still send */
function flushFirst(channel: ChannelLike, flush: () => void): () => boolean {
  const wire = channel as unknown as Wire
  const { connection, sendImmediately, sendMessage, waitForConfirms } = wire
  const sendOnConnection = connection?.sendMessage
  if ([sendImmediately, sendMessage, sendOnConnection].some((send) => typeof send !== 'function')) {
    throw new SetupError(
      'client-unsupported',
      'this version of amqplib sends in a way that is not known here; leave batch out',
    )
  }
  override(wire, 'sendImmediately', (...args) => {
    flush()
    return sendImmediately.apply(channel, args)
  })
  if (waitForConfirms !== undefined) {
    override(wire as Required<Wire>, 'waitForConfirms', (callback) => {
      flush()
      return waitForConfirms.call(channel, callback)
    })
  }
  const before = beforeGoodbye(connection)
  before.add(flush)
  channel.on('close', () => before.delete(flush))
  return () => wire.sendMessage === sendMessage && connection.sendMessage === sendOnConnection
}

/** Kept on the connection, which many channels share. */
const BEFORE_GOODBYE: unique symbol = Symbol.for('queue-key-auth.before-goodbye') as never

/** What is done before a connection closes, which it does past its channels. */
function beforeGoodbye(connection: Wire['connection'] & { [BEFORE_GOODBYE]?: Set<() => void> }): Set<() => void> {
  const known = connection[BEFORE_GOODBYE]
  if (known !== undefined) return known
  const actions = new Set<() => void>()
  const { closeBecause } = connection
  override(connection, 'closeBecause', (...args) => {
    for (const action of actions) action()
    return closeBecause.apply(connection, args)
  })
  Object.defineProperty(connection, BEFORE_GOODBYE, { value: actions })
  return actions
}

/** Characters of headers that fit into a frame whatever their encoding takes, beside a token. */
const MOST_TEXT = 16_384
/** A short string of AMQP has 255 octets; a character takes three at most. */
const SHORT = 85

const SHORT_STRINGS = [
  'contentType',
  'contentEncoding',
  'correlationId',
  'replyTo',
  'messageId',
  'type',
  'userId',
  'appId',
] as const

/** Whether amqplib is sure to take these options, and nobody can change them any more: text and numbers, no objects. */
function isPlain(options: PublishOptions): boolean {
  const { headers, priority, timestamp, expiration, CC, BCC } = options
  return (
    SHORT_STRINGS.every((name) => isAbsent(options[name]) || isShort(options[name])) &&
    (isAbsent(priority) || isCount(priority, 255)) &&
    (isAbsent(timestamp) || isCount(timestamp, Number.MAX_SAFE_INTEGER)) &&
    (isAbsent(expiration) || isShort(expiration) || isCount(expiration, Number.MAX_SAFE_INTEGER)) &&
    isAbsent(CC) &&
    isAbsent(BCC) &&
    arePlain(headers ?? {})
  )
}

function arePlain(headers: Readonly<Record<string, unknown>>): boolean {
  let length = 0
  for (const name in headers) {
    const value = headers[name]
    if (!isShort(name)) return false
    if (typeof value === 'string') length += value.length
    else if (typeof value === 'number' ? !Number.isFinite(value) : typeof value !== 'boolean' && !isAbsent(value))
      return false
    length += name.length
  }
  return length < MOST_TEXT
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null
}

function isShort(value: unknown): boolean {
  return typeof value === 'string' && value.length <= SHORT
}

function isCount(value: unknown, most: number): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most
}
