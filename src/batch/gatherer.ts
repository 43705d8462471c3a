import { AsyncResource } from 'node:async_hooks'
import type { Message } from '../message.ts'
import type { Signer } from '../signer.ts'
import { MAX_BATCH_SIZE } from '../token.ts'
import { groupsOf, type PreparedMessage } from './prepared.ts'

/** A message that waits for its token. */
class Gathered {
  readonly prepared: PreparedMessage
  readonly send: (token: string) => void
  readonly fail: (error: unknown) => void
  token: string | undefined
  /** why there is no token */
  error: unknown
  /** the caller's own asynchronous context, which tracers read when the message is sent */
  readonly #context = new AsyncResource('queue-key-auth.publish')

  constructor(prepared: PreparedMessage, send: (token: string) => void, fail: (error: unknown) => void) {
    this.prepared = prepared
    this.send = send
    this.fail = fail
    this.token = 'token' in prepared ? prepared.token : undefined
  }

  end(): void {
    if (this.token === undefined) {
      this.fail(this.error)
      return
    }
    try {
      this.#context.runInAsyncScope(this.send, undefined, this.token)
    } catch (thrown) {
      this.fail(thrown)
    }
  }
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
    const size = this.#gathered.push(new Gathered(this.#signer.prepare(message), send, fail))
    if (size === 1) queueMicrotask(() => this.flush())
    else if (size === MAX_BATCH_SIZE) this.flush()
  }

  /** Sends what is gathered, now. */
  flush(): void {
    if (this.#gathered.length === 0) return
    const gathered = this.#gathered
    this.#gathered = []
    this.#sign(gathered)
    for (const each of gathered) each.end()
  }

  /** A signature that fails takes along nothing but the messages that were to share it. */
  #sign(gathered: readonly Gathered[]): void {
    const prepared = gathered.map((each) => each.prepared)
    for (const { messages, positions } of groupsOf(prepared, MAX_BATCH_SIZE)) {
      try {
        const tokens = this.#signer.signPrepared(messages)
        for (let index = 0; index < tokens.length; index++) at(gathered, positions, index).token = tokens[index]
      } catch (error) {
        for (let index = 0; index < positions.length; index++) at(gathered, positions, index).error = error
      }
    }
  }
}

function at(gathered: readonly Gathered[], positions: readonly number[], index: number): Gathered {
  return gathered[positions[index] as number] as Gathered
}
