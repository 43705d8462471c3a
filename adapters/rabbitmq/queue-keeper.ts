import { randomUUID } from 'node:crypto'
import { openBeside } from './beside.ts'
import { type AmqpMessage, type ChannelLike, invoke } from './client.ts'

/**
 * Keeps a quorum queue from expiring while its consumer is away. To ask for it, which keeps a classic queue, does not count
 * as use there; only a consumer does. It has a channel of its own, takes one message, and gives that back in the end.
 */
export class QueueKeeper {
  readonly #channel: ChannelLike
  readonly #queue: string
  readonly #tag = `queueauth-${randomUUID()}`
  #side: ChannelLike | undefined
  #held: AmqpMessage | undefined

  constructor(channel: ChannelLike, queue: string) {
    this.#channel = channel
    this.#queue = queue
  }

  /** Is there while no other consumer is: that one keeps the queue, and should have the message. */
  async look(consumers: number): Promise<void> {
    if (this.#side === undefined && consumers === 0) await this.#open()
    else if (this.#side !== undefined && consumers > 1) await this.close()
  }

  async close(): Promise<void> {
    const side = this.#side
    if (side === undefined) return
    this.#side = undefined
    try {
      // In this order: a queue learns of a closed channel only after a while, and expires meanwhile.
      await invoke(side.cancel.bind(side), this.#tag)
      if (this.#held !== undefined) side.nack(this.#held, false, true)
      await invoke(side.close.bind(side))
    } catch {
      // It is closed: the broker lost patience with the message it held, or the connection is gone.
    }
    this.#held = undefined
  }

  async #open(): Promise<void> {
    try {
      const side = await openBeside(this.#channel)
      this.#side = side
      const gone = (): void => {
        if (this.#side === side) this.#side = undefined
      }
      side.on('error', gone)
      side.on('close', gone)
      await invoke(side.prefetch.bind(side), 1, false)
      const onDelivery = (message: AmqpMessage | null): void => {
        if (message !== null) this.#held = message
        // The broker ended it. The next look begins anew.
        else if (this.#side === side) void this.close()
      }
      await invoke(side.consume.bind(side), this.#queue, onDelivery, { consumerTag: this.#tag })
    } catch {
      // Another was quicker, or the queue is gone: the next look shows.
      await this.close()
    }
  }
}
