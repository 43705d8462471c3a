import { type ConsumerOptions, checkReprocess } from '../../src/consumer-options.ts'
import { SetupError } from '../../src/errors.ts'
import type { AmqpMessage } from './client.ts'

export interface RabbitmqProducerOptions {
  /**
   * Leaves the token of a message that has one: for passing a message on as its first sender signed it. Where it comes
   * back by that (to its own queue, or by an address that its policy names in `retryDestinations`), it is handled again. Default: every publish gets a token of its own.
   */
  readonly preserveToken?: boolean
  /**
   * Publishes of the same tick to the same place, with the same names of headers, share one signature: a fraction of the
   * CPU for 350 bytes more a message. They leave in order at the end of the tick, or before anything else that the channel
   * sends. Those with headers or properties other than text, numbers and booleans are signed alone. Default: false
   */
  readonly batch?: boolean
}

export interface RabbitmqConsumerOptions extends ConsumerOptions<AmqpMessage> {
  /** the durable queue for rejected messages, by the queue they came from; default `<queue>.dlq` */
  readonly deadLetterName?: (queue: string) => string
  /** what policies and key lines call a queue: for names that the server made (`amq.gen-…`); default: its own name */
  readonly queueName?: (queue: string) => string
  /** `drop`: consuming with noAck is allowed; a message that arrives during a crash is lost then. Default: refused */
  readonly noAck?: 'drop'
  /** how long messages that cannot be judged are held before they are given back; at most half the broker's consumer_timeout; default 900 */
  readonly maxHoldSeconds?: number
}

export const DEFAULT_MAX_HOLD_SECONDS = 900

/** A timer takes 2^31 - 1 ms at most. */
const LONGEST_HOLD_SECONDS = 2_147_483

/** @throws SetupError `option-invalid` */
export function checkConsumerOptions(options: RabbitmqConsumerOptions): void {
  const { onRejected, noAck, maxHoldSeconds, deadLetter, deadLetterName, queueName, onVerdict } = options
  checkReprocess(options)
  const known = onRejected === undefined || typeof onRejected === 'function'
  if (!known && !['dead-letter', 'reject', 'acknowledge'].includes(onRejected)) {
    throw invalid(`onRejected must be 'dead-letter', 'reject', 'acknowledge' or a function`)
  }
  if (noAck !== undefined && noAck !== 'drop') throw invalid(`noAck must be 'drop' or absent`)
  if (maxHoldSeconds !== undefined && !isDuration(maxHoldSeconds)) {
    throw invalid(`maxHoldSeconds must be a number of seconds above 0 and at most ${LONGEST_HOLD_SECONDS}`)
  }
  for (const [name, option] of Object.entries({ deadLetter, deadLetterName, queueName, onVerdict })) {
    if (option !== undefined && typeof option !== 'function') throw invalid(`${name} must be a function`)
  }
}

function isDuration(seconds: unknown): boolean {
  return typeof seconds === 'number' && seconds > 0 && seconds <= LONGEST_HOLD_SECONDS
}

function invalid(message: string): SetupError {
  return new SetupError('option-invalid', message)
}
