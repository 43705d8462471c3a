import type { RedisClient } from './client.ts'

/** How long a server may be silent while it owes a reply, beyond the time that it was allowed to block. */
const SILENCE_MS = 5_000

/**
 * Makes a connection anew that broke without a word: a firewall that forgot it, a machine that lost its power. TCP says
 * nothing of it, so that a read would wait for a quarter of an hour and longer.
 */
export class Watch {
  readonly #connection: RedisClient
  readonly #limitMs: number
  #owed = 0
  /** when it was heard of last, or was asked first */
  #heard = 0
  #looked = 0
  #timer: NodeJS.Timeout | undefined

  /** @param blockMs how long a command may block at the server */
  constructor(connection: RedisClient, blockMs: number) {
    this.#connection = connection
    this.#limitMs = blockMs + SILENCE_MS
  }

  /** Counts a reply as owed until it is there. */
  over<T>(reply: Promise<T>): Promise<T> {
    if (this.#owed++ === 0) this.#heard = performance.now()
    if (this.#timer === undefined) {
      this.#looked = this.#heard
      this.#timer = setInterval(this.#look, this.#limitMs / 4).unref()
    }
    reply.then(this.#settled, this.#settled)
    return reply
  }

  readonly #settled = (): void => {
    this.#owed--
    this.#heard = performance.now()
  }

  readonly #look = (): void => {
    const now = performance.now()
    const late = now - this.#looked > this.#limitMs / 2
    this.#looked = now
    if (this.#owed === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    // This process was busy itself: what came meanwhile has not been read yet.
    if (late) this.#heard = now
    if (now - this.#heard < this.#limitMs) return
    this.#heard = now
    const { status } = this.#connection
    // While it connects, ioredis sees to it.
    if (status === 'ready' || status === 'connect') this.#connection.disconnect(true)
  }
}
