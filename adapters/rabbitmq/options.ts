import { CONSUMER_RULES, type ConsumerOptions } from '../../src/consumer-options.ts'
import { above0, checkOptions, FLAG, FUNCTION, type OptionRules, oneOf } from '../../src/option-check.ts'
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

const PRODUCER_RULES: OptionRules<RabbitmqProducerOptions> = { preserveToken: FLAG, batch: FLAG }

const CONSUMER_OPTION_RULES: OptionRules<RabbitmqConsumerOptions> = {
  ...CONSUMER_RULES,
  deadLetterName: FUNCTION,
  queueName: FUNCTION,
  noAck: oneOf('drop'),
  maxHoldSeconds: above0('seconds', LONGEST_HOLD_SECONDS),
}

/** @throws SetupError `option-invalid` */
export function checkProducerOptions(options: RabbitmqProducerOptions): RabbitmqProducerOptions {
  return checkOptions('wrapProducer', options, PRODUCER_RULES)
}

/** @throws SetupError `option-invalid` */
export function checkConsumerOptions(options: RabbitmqConsumerOptions): RabbitmqConsumerOptions {
  return checkOptions('wrapConsumer', options, CONSUMER_OPTION_RULES)
}
