import type { ConsumerOptions, OnRejected } from './consumer-options.ts'
import type { DeadLetter } from './dead-letter.ts'
import { publish } from './events.ts'
import type { ReceivedMessage } from './message.ts'
import { printable, quote } from './text.ts'
import type { Rejected, Verdict } from './verdict.ts'
import type { Verifier } from './verifier.ts'

/** Tells what happened: to the counters, to whoever listens, and to nobody's harm where a listener fails. */
export class Reporter<Native> {
  readonly #verifier: Verifier
  readonly #onVerdict: ConsumerOptions<Native>['onVerdict']
  /** warnings already given; a flood of bad messages must not become a flood of lines */
  readonly #given = new Set<string>()

  constructor(verifier: Verifier, onVerdict: ConsumerOptions<Native>['onVerdict']) {
    this.#verifier = verifier
    this.#onVerdict = onVerdict
  }

  verdict(delivery: { readonly received: ReceivedMessage; readonly native: Native }, verdict: Verdict): void {
    const { queue, origin } = delivery.received
    this.#verifier.counters.count(queue, verdict, origin)
    const observed = this.#verifier.policyOf(queue).rollout === 'observe'
    const heard = publish('queue-key-auth:verdict', () => ({
      queue,
      verdict,
      observed,
      ...(origin !== undefined && { origin }),
    }))
    if (this.#onVerdict !== undefined) {
      try {
        this.#onVerdict(verdict, delivery.native)
      } catch (error) {
        this.#warn('onVerdict', `onVerdict threw: ${describe(error)}`)
      }
    } else if (!heard && verdict.outcome === 'rejected') {
      this.#warn(
        `${queue} ${verdict.code}`,
        `queue ${quote(queue)}: ${observed ? 'would reject' : 'rejected'} a message: ${verdict.code} (${verdict.detail}). ` +
          'Said once for each queue and reason; subscribe to "queue-key-auth:verdict" or pass onVerdict to hear of every one',
      )
    }
  }

  deadLetterFailed(letter: DeadLetter<Native>, permanent: boolean, error: unknown): void {
    const { queue, reason: code } = letter
    const heard = publish('queue-key-auth:dead-letter-failed', () => ({ queue, code, permanent, error }))
    if (heard) return
    this.#warn(
      `${queue} dead-letter ${permanent}`,
      `queue ${quote(queue)}: a dead letter cannot be written: ${describe(error)}. Its message stays unsettled and ` +
        `${permanent ? 'is parked' : 'writing is tried again'}`,
    )
  }

  /** The user's choice of what becomes of a rejected message; the safe one where the user's function fails. */
  choose(choice: ConsumerOptions<Native>['onRejected'], rejected: Rejected, message: Native): OnRejected {
    if (typeof choice !== 'function') return choice ?? 'dead-letter'
    try {
      return choice(rejected, message)
    } catch (error) {
      this.#warn('onRejected', `onRejected threw, so the message is dead-lettered: ${describe(error)}`)
      return 'dead-letter'
    }
  }

  #warn(key: string, text: string): void {
    if (this.#given.has(key) || this.#given.size >= 1_000) return
    this.#given.add(key)
    process.emitWarning(text, { type: 'QueueKeyAuthWarning' })
  }
}

function describe(error: unknown): string {
  return printable(error instanceof Error ? error.message : String(error)).slice(0, 200)
}
