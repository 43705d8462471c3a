import { override } from '../../src/wrapping.ts'
import type { ChannelLike } from './client.ts'

/** A channel's own way to send a frame that is no message, in amqplib's words. */
interface Wire {
  sendImmediately(method: number, fields: Settling): unknown
}

interface Settling {
  readonly deliveryTag?: number
  readonly multiple?: boolean
}

/** Methods by class and number (AMQP 0-9-1, section 1.8, and RabbitMQ's `basic.nack`). */
const ACK = (60 << 16) | 80
const RECOVER_ASYNC = (60 << 16) | 100
const RECOVER = (60 << 16) | 110
const NACK = (60 << 16) | 120

/** No method of the protocol: asks whether the channel still sends, and never reaches the wire. */
const STILL_OPEN = -1

const NO_FIELDS: Settling = Object.freeze({})

/** The most deliveries from the first that is unsettled to the last: a power of 2. */
const WINDOW = 16_384

/**
 * Acknowledgements that a channel sends in one tick leave as one frame, as far as it goes: a `basic.ack` with `multiple` is
 * for all deliveries up to its tag. It goes up to where every delivery of the channel is known and settled; the others leave
 * one by one, as they came. So what nobody has settled is never among them.
 *
 * They are gathered below whatever else is on the channel, where each has its own call still, and leave before any other
 * frame but a message. Where something is not as it was thought to be, nothing is gathered any more.
 */
export class Acknowledgements {
  readonly #send: Wire['sendImmediately'] | undefined
  readonly #wire: Partial<Wire>
  readonly #gone: AbortSignal
  /** 1 for the deliveries that are settled, each at its tag modulo the window */
  readonly #settled = new Uint8Array(WINDOW)
  /** every delivery before this tag is settled */
  #low = 1
  /** the tag of the next delivery; 0: nothing is gathered any more */
  #next = 1
  /** tags, in the order of their acknowledgements */
  #gathered: number[] = []

  /** @param gone aborts when the channel is gone: the broker has back then what was not acknowledged */
  constructor(channel: ChannelLike, gone: AbortSignal) {
    this.#gone = gone
    const wire = channel as unknown as Partial<Wire>
    this.#wire = wire
    if (typeof wire.sendImmediately !== 'function') {
      this.#next = 0
      return
    }
    this.#send = wire.sendImmediately.bind(channel)
    override(wire as Wire, 'sendImmediately', (method, fields) => this.#sendImmediately(method, fields))
  }

  /**
   * For what must not be done where the broker can no longer be told. A channel that is closing, is closed, or has lost its
   * connection has another method in the place of ours, which throws.
   *
   * @throws what the client throws when a frame is sent now
   */
  checkOpen(): void {
    if (this.#send !== undefined) this.#wire.sendImmediately?.(STILL_OPEN, NO_FIELDS)
  }

  /** @param isSettled the broker wants no acknowledgement of it */
  delivered(tag: number, isSettled: boolean): void {
    if (this.#next === 0) return
    if (tag - this.#low >= WINDOW) this.#advance()
    if (tag !== this.#next || tag - this.#low >= WINDOW) {
      this.#giveUp()
      return
    }
    this.#settled[tag & (WINDOW - 1)] = isSettled ? 1 : 0
    this.#next = tag + 1
  }

  /** Sends what is gathered, now. */
  flush(): void {
    if (this.#gathered.length === 0) return
    const gathered = this.#gathered
    this.#gathered = []
    if (this.#gone.aborted) return
    this.#advance()
    const together = gathered.filter((tag) => tag < this.#low)
    if (together.length > 0) this.#acknowledge(Math.max(...together), together.length > 1)
    for (const tag of gathered) if (tag >= this.#low) this.#acknowledge(tag, false)
  }

  #sendImmediately(method: number, fields: Settling): unknown {
    if (method === STILL_OPEN) return undefined
    const { deliveryTag = 0, multiple = false } = fields
    const isOpen = !multiple && this.#isOpen(deliveryTag)
    if (isOpen && method === ACK) {
      this.#settled[deliveryTag & (WINDOW - 1)] = 1
      if (this.#gathered.push(deliveryTag) === 1) queueMicrotask(() => this.flush())
      return undefined
    }
    // Before it counts as settled: what is given back must not be among what is acknowledged.
    this.flush()
    if (isOpen) this.#settled[deliveryTag & (WINDOW - 1)] = 1
    if (settlesMany(method, multiple)) this.#giveUp()
    return this.#send?.(method, fields)
  }

  /** Whether a delivery is known and unsettled. */
  #isOpen(tag: number): boolean {
    return tag >= this.#low && tag < this.#next && this.#settled[tag & (WINDOW - 1)] === 0
  }

  #advance(): void {
    while (this.#low < this.#next && this.#settled[this.#low & (WINDOW - 1)] === 1) this.#low++
  }

  #acknowledge(deliveryTag: number, multiple: boolean): void {
    try {
      this.#send?.(ACK, { deliveryTag, multiple })
    } catch {
      // The connection is gone, and the broker has it back.
    }
  }

  #giveUp(): void {
    this.flush()
    this.#next = 0
  }
}

/** Whether a frame is about deliveries that it does not name. */
function settlesMany(method: number, multiple: boolean): boolean {
  return method === RECOVER || method === RECOVER_ASYNC || (multiple && (method === ACK || method === NACK))
}
