import { AsyncResource } from 'node:async_hooks'
import type { Message } from '../message.ts'
import type { Signer } from '../signer.ts'
import { MAX_BATCH_SIZE } from '../token.ts'
import { groupsOf, type PreparedMessage } from './prepared.ts'

/** A message that waits for its token. */
interface Gathered {
  readonly prepared: PreparedMessage
  /** the caller's own asynchronous context, which tracers read when the message is sent */
  readonly context: AsyncResource
  readonly send: (token: string) => void
  readonly fail: (error: unknown) => void
}

/** A token, or why there is none. */
interface Signed {
  readonly token: string | undefined
  readonly error?: unknown
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
    const signed = this.#sign(gathered.map(({ prepared }) => prepared))
    for (const [index, { context, send, fail }] of gathered.entries()) {
      const { token, error } = signed[index] as Signed
      if (token === undefined) {
        fail(error)
        continue
      }
      try {
        context.runInAsyncScope(send, undefined, token)
      } catch (thrown) {
        fail(thrown)
      }
    }
  }

  /** A signature that fails takes along nothing but the messages that were to share it. */
  #sign(prepared: readonly PreparedMessage[]): Signed[] {
    const signed: Signed[] = prepared.map((message) => ({ token: 'token' in message ? message.token : undefined }))
    for (const { messages, positions } of groupsOf(prepared, MAX_BATCH_SIZE)) {
      try {
        const tokens = this.#signer.signPrepared(messages)
        for (const [index, position] of positions.entries()) signed[position] = { token: tokens[index] }
      } catch (error) {
        for (const position of positions) signed[position] = { token: undefined, error }
      }
    }
    return signed
  }
}
