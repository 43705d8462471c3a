import type { ConsumerOptions, OnRejected } from './consumer-options.ts'
import type { DeadLetter } from './dead-letter.ts'
import { publish } from './events.ts'
import type { ReceivedMessage } from './message.ts'
import { printable, quote } from './text.ts'
import { isThenable } from './thenable.ts'
import type { Rejected, Verdict } from './verdict.ts'
import type { Verifier } from './verifier.ts'

/** How long before the end of `acceptUnsignedUntil` it is announced. */
const ANNOUNCED_MS = 7 * 24 * 60 * 60 * 1000

/** Tells what happened: to the counters, to whoever listens, and to nobody's harm where a listener fails. */
export class Reporter<Native> {
  readonly #verifier: Verifier
  readonly #onVerdict: ConsumerOptions<Native>['onVerdict']

  constructor(verifier: Verifier, onVerdict: ConsumerOptions<Native>['onVerdict']) {
    this.#verifier = verifier
    this.#onVerdict = onVerdict
  }

  verdict(delivery: { readonly received: ReceivedMessage; readonly native: Native }, verdict: Verdict): void {
    const { queue, origin } = delivery.received
    this.#verifier.counters.count(queue, verdict, origin)
    const observed = this.#verifier.policyOf(queue).rollout === 'observe'
    if (verdict.outcome === 'unsigned') this.#sayWhenUnsignedEnds(queue)
    const heard = publish('queue-key-auth:verdict', () => ({
      queue,
      verdict,
      observed,
      ...(origin !== undefined && { origin }),
    }))
    if (this.#onVerdict !== undefined) {
      try {
        // An async function will do as well, and its rejection must not end the process.
        const result: unknown = this.#onVerdict(verdict, delivery.native)
        if (isThenable(result)) result.then(undefined, (error: unknown) => this.#onVerdictFailed(error))
      } catch (error) {
        this.#onVerdictFailed(error)
      }
    } else if (!heard && verdict.outcome === 'rejected') {
      this.#verifier.warnings.once(
        `${queue} ${verdict.code}`,
        `queue ${quote(queue)}: ${observed ? 'would reject' : 'rejected'} a message: ${verdict.code} (${verdict.detail}). ` +
          'Said once for each queue and reason; subscribe to "queue-key-auth:verdict" or pass onVerdict to hear of every one',
      )
    }
  }

  #onVerdictFailed(error: unknown): void {
    this.#verifier.warnings.once('onVerdict', `onVerdict threw: ${describe(error)}`)
  }

  deadLetterFailed(letter: DeadLetter<Native>, permanent: boolean, error: unknown): void {
    const { queue, reason: code } = letter
    const heard = publish('queue-key-auth:dead-letter-failed', () => ({ queue, code, permanent, error }))
    if (heard) return
    this.#verifier.warnings.once(
      `${queue} dead-letter ${permanent}`,
      `queue ${quote(queue)}: a dead letter cannot be written: ${describe(error)}. Its message stays unsettled and ` +
        `${permanent ? 'is parked' : 'writing is tried again'}`,
    )
  }

  /** Something sends dead letters back although they are rejected each time. */
  parked({ queue, reason, returned }: DeadLetter<Native>): void {
    const detail =
      `queue ${quote(queue)}: a dead letter came back ${returned?.count} times and was rejected each time (${reason}), so it is ` +
      'stored beside the dead letters, where nothing sends it back (its place is theirs with "parked" added)'
    if (publish('queue-key-auth:notice', () => ({ queue, notice: 'dead-letter-parked', detail }))) return
    this.#verifier.warnings.once(`${queue} dead-letter-parked`, detail)
  }

  /** The user's choice of what becomes of a rejected message; the safe one where the user's function fails. */
  choose(choice: ConsumerOptions<Native>['onRejected'], rejected: Rejected, message: Native): OnRejected {
    if (typeof choice !== 'function') return choice ?? 'dead-letter'
    try {
      const chosen: unknown = choice(rejected, message)
      if (isOnRejected(chosen)) return chosen
      this.#verifier.warnings.once(
        'onRejected',
        `onRejected returned none of ${ON_REJECTED.join(', ')}, so the message is dead-lettered`,
      )
      return 'dead-letter'
    } catch (error) {
      this.#verifier.warnings.once(
        'onRejected',
        `onRejected threw, so the message is dead-lettered: ${describe(error)}`,
      )
      return 'dead-letter'
    }
  }

  /** From the day on which unsigned messages are refused, whoever still sends them loses them to the dead letters. */
  #sayWhenUnsignedEnds(queue: string): void {
    const end = this.#verifier.policyOf(queue).acceptUnsignedUntil
    if (end === undefined || end - Date.now() > ANNOUNCED_MS || !this.#verifier.warnings.first(`${queue} unsigned`)) {
      return
    }
    const detail =
      `queue ${quote(queue)}: unsigned messages still arrive and will be refused from ` +
      `${new Date(end).toISOString()} on (acceptUnsignedUntil); verifier.counters tells who sends them`
    if (!publish('queue-key-auth:notice', () => ({ queue, notice: 'accept-unsigned-ends', detail }))) {
      process.emitWarning(detail, { type: 'QueueKeyAuthWarning' })
    }
  }
}

const ON_REJECTED: readonly unknown[] = ['dead-letter', 'reject', 'acknowledge'] satisfies OnRejected[]

function isOnRejected(chosen: unknown): chosen is OnRejected {
  return ON_REJECTED.includes(chosen)
}

function describe(error: unknown): string {
  try {
    return printable(String(error instanceof Error ? error.message : error)).slice(0, 200)
  } catch {
    // Anything can be thrown, also what cannot be written as a text.
    return `something of type ${typeof error}`
  }
}
