import { setMaxListeners } from 'node:events'
import { CONSUMER_RULES, type ConsumerOptions } from '../../src/consumer-options.ts'
import { type DeadLetter, isParked } from '../../src/dead-letter.ts'
import { SetupError } from '../../src/errors.ts'
import { type Admission, type Delivery, Guard } from '../../src/guard.ts'
import { FUNCTION, type OptionRules } from '../../src/option-check.ts'
import { quote } from '../../src/text.ts'
import type { Verifier } from '../../src/verifier.ts'
import { originalOf, override } from '../../src/wrapping.ts'
import { type ConsumeOptions, type MemoryClient, type MemoryMessage, unknownDelivery } from './broker.ts'
import { addressOf, openReturned, toDeadLetter, toHandled, toReceived } from './message.ts'

export interface MemoryConsumerOptions extends ConsumerOptions<MemoryMessage> {
  /** the queue for the dead letters of a queue; default `<queue>.dlq` */
  readonly deadLetterName?: (queue: string) => string
}

export const MEMORY_CONSUMER_RULES: OptionRules<MemoryConsumerOptions> = { ...CONSUMER_RULES, deadLetterName: FUNCTION }

type Callback = (message: MemoryMessage) => unknown

/** Puts the checks between a client and its callbacks. */
export class GuardedClient {
  readonly #client: MemoryClient
  readonly #verifier: Verifier
  readonly #options: MemoryConsumerOptions
  readonly #original: Pick<MemoryClient, 'publish' | 'consume' | 'ack' | 'nack' | 'close'>
  /** what was handed over and is not settled, by delivery tag */
  readonly #admissions = new Map<number, Admission>()
  /** what `close` waits for */
  readonly #underway = new Set<Promise<unknown>>()
  readonly #ending = new AbortController()

  constructor(client: MemoryClient, verifier: Verifier, options: MemoryConsumerOptions) {
    this.#client = client
    this.#verifier = verifier
    this.#options = options
    this.#original = {
      publish: originalOf(client, 'publish'),
      consume: originalOf(client, 'consume'),
      ack: originalOf(client, 'ack'),
      nack: originalOf(client, 'nack'),
      close: originalOf(client, 'close'),
    }
  }

  decorate(): void {
    const client = this.#client
    override(client, 'consume', (queue, callback, consumeOptions) => this.#consume(queue, callback, consumeOptions))
    override(client, 'ack', (message) => {
      this.#settle(message, (admission) => admission.commit(), this.#original.ack)
    })
    override(client, 'nack', (message, nackOptions) => {
      const released = (admission: Admission): true | Promise<true> => after(admission.release())
      this.#settle(message, released, (original) => this.#original.nack(original, nackOptions))
    })
    override(client, 'close', () => this.#close())
    client.once('close', () => {
      this.#ending.abort()
      // Its queue has it back, so the next delivery must not wait for a lease to run out.
      for (const admission of this.#admissions.values()) void admission.lease.lapse()
    })
    // Every message that is held listens to it.
    setMaxListeners(0, this.#ending.signal)
  }

  async #consume(queue: string, callback: Callback, options: ConsumeOptions | undefined): Promise<void> {
    addressOf(queue)
    if (this.#deadLetterName(queue) === queue) {
      throw new SetupError('option-invalid', `deadLetterName gives ${quote(queue)} for itself; name another queue`)
    }
    const { signal } = this.#ending
    const guard = new Guard<MemoryMessage>(this.#verifier, { ...this.#options, signal })
    signal.addEventListener('abort', () => guard.close(), { once: true })
    const receive = (message: MemoryMessage): void => {
      // Unsettled: it goes back to its queue in a moment.
      if (signal.aborted) return
      const outcome = guard.receive(this.#delivery(message, callback))
      // What a callback throws destroys the client, also when it was called later than the client expected.
      if (outcome instanceof Promise) this.#track(outcome.catch((error: unknown) => this.#client.destroy(error)))
    }
    await this.#original.consume(queue, receive, options)
  }

  #delivery(message: MemoryMessage, callback: Callback): Delivery<MemoryMessage> {
    const opened = openReturned(message)
    const original = opened?.message ?? message
    return {
      received: toReceived(original),
      native: message,
      returned: opened?.returned,
      // Where the policy lets it pass unverified it is handed on as it came.
      handle: (admission) => this.#handle(admission.verified ? original : message, admission, callback),
      acknowledge: () => this.#original.ack(message),
      reject: () => this.#original.nack(message, { requeue: false }),
      deadLetter: async (letter) => this.#deadLetter({ ...letter, message: original }),
    }
  }

  #handle(message: MemoryMessage, admission: Admission, callback: Callback): void | Promise<void> {
    if (this.#ending.signal.aborted) return admission.release()
    this.#admissions.set(message.deliveryTag, admission)
    try {
      // A promise is nobody's to wait for: the client would not either.
      callback(toHandled(message, admission))
    } catch (error) {
      if (this.#admissions.delete(message.deliveryTag)) this.#track(after(admission.release()))
      throw error
    }
  }

  /** By the captured method: a forged token must not come out signed by a producer's wrapper. */
  #deadLetter(letter: DeadLetter<MemoryMessage>): void {
    const name = this.#deadLetterName(letter.queue)
    const queue = isParked(letter) ? `${name}.parked` : name
    this.#original.publish(queue, letter.message.payload, toDeadLetter(letter))
  }

  #deadLetterName(queue: string): string {
    return this.#options.deadLetterName?.(queue) ?? `${queue}.dlq`
  }

  /** The user settles: first the replay store, then the broker. By delivery tag, since users pass copies around. */
  #settle(
    message: Pick<MemoryMessage, 'deliveryTag'>,
    end: (admission: Admission) => boolean | Promise<boolean>,
    settle: (message: Pick<MemoryMessage, 'deliveryTag'>) => void,
  ): void {
    const admission = this.#admissions.get(message.deliveryTag)
    // What was not handed over is not the user's to settle: its dead letter may be underway.
    if (admission === undefined) throw unknownDelivery(message.deliveryTag)
    if (this.#client.isClosed) {
      // It throws, so its caller rolls back, and nothing may count as handled.
      settle(message)
      return
    }
    this.#admissions.delete(message.deliveryTag)
    const ended = end(admission)
    if (ended instanceof Promise) {
      this.#track(ended.then((may) => may && !this.#client.isClosed && settle(message)))
    } else if (ended !== false) settle(message)
  }

  async #close(): Promise<void> {
    this.#ending.abort()
    while (this.#underway.size > 0) await Promise.all(this.#underway)
    await this.#original.close()
  }

  #track(work: true | Promise<unknown>): void {
    if (work === true) return
    const tracked = work.finally(() => this.#underway.delete(tracked))
    this.#underway.add(tracked)
  }
}

function after(done: void | Promise<void>): true | Promise<true> {
  return done instanceof Promise ? done.then(() => true) : true
}
