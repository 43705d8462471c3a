import { AsyncResource } from 'node:async_hooks'
import type { Message } from '../message.ts'
import type { Signer } from '../signer.ts'
import { MAX_BATCH_SIZE } from '../token.ts'
import type { PreparedMessage } from './prepared.ts'

/** A message that waits for its token. */
interface Gathered {
  readonly prepared: PreparedMessage
  /** the caller's own asynchronous context, which tracers read when the message is sent */
  readonly context: AsyncResource
  readonly send: (token: string) => void
  readonly fail: (error: unknown) => void
}

/** Gathers what is published for the rest of the current tick, signs it together, and sends it in order. */
export class Gatherer {
  readonly #signer: Signer
  #gathered: Gathered[] = []

  constructor(signer: Signer) {
    this.#signer = signer
  }

  /**
   * The message may change after this.
   *
   * @param fail is told what signing or `send` throws, since whoever published is gone by then
   * @throws SetupError as {@link Signer.sign}
   */
  add(message: Message, send: (token: string) => void, fail: (error: unknown) => void): void {
    const prepared = this.#signer.prepare(message)
    const size = this.#gathered.push({ prepared, context: new AsyncResource('queue-key-auth.publish'), send, fail })
    if (size === 1) queueMicrotask(() => this.flush())
    else if (size === MAX_BATCH_SIZE) this.flush()
  }

  /** Sends what is gathered, now. */
  flush(): void {
    if (this.#gathered.length === 0) return
    const gathered = this.#gathered
    this.#gathered = []
    let tokens: string[]
    try {
      tokens = this.#signer.signPrepared(gathered.map(({ prepared }) => prepared))
    } catch (error) {
      for (const { fail } of gathered) fail(error)
      return
    }
    for (const [index, { context, send, fail }] of gathered.entries()) {
      try {
        context.runInAsyncScope(send, undefined, tokens[index] as string)
      } catch (error) {
        fail(error)
      }
    }
  }
}
