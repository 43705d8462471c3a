import { CONSUMER_RULES } from '../../src/consumer-options.ts'
import { SetupError } from '../../src/errors.ts'
import { checkOptions, FLAG, FUNCTION, type OptionRules, oneOfOrFunction, TEXT_LIST } from '../../src/option-check.ts'
import type { RedisStreamsConsumerOptions } from './guarded-client.ts'
import type { ProducerOptions } from './producer.ts'

const PRODUCER_RULES: OptionRules<ProducerOptions> = { streams: TEXT_LIST, batch: FLAG }

export const CONSUMER_OPTION_RULES: OptionRules<RedisStreamsConsumerOptions> = {
  ...CONSUMER_RULES,
  onRejected: oneOfOrFunction('dead-letter', 'acknowledge'),
  deadLetterName: FUNCTION,
}

/** @throws SetupError `option-invalid` */
export function checkProducerOptions(options: ProducerOptions): ProducerOptions {
  return checkOptions('wrapProducer', options, PRODUCER_RULES)
}

/** @throws SetupError `option-invalid` */
export function checkConsumerOptions(options: RedisStreamsConsumerOptions): RedisStreamsConsumerOptions {
  refuseReject(options)
  return checkOptions('wrapConsumer', options, CONSUMER_OPTION_RULES)
}

/** @throws SetupError `option-invalid` */
export function refuseReject(options: RedisStreamsConsumerOptions | null | undefined): void {
  if (options?.onRejected !== 'reject') return
  throw new SetupError('option-invalid', "onRejected: Redis has no dead letters of its own; write 'dead-letter'")
}
