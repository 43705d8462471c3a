import { CONSUMER_RULES } from '../../src/consumer-options.ts'
import { SetupError } from '../../src/errors.ts'
import { isIoredis } from '../../src/ioredis-client.ts'
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

/** @throws SetupError `client-unsupported` */
export function requireClient(client: unknown): void {
  if (!isIoredis(client)) {
    throw new SetupError(
      'client-unsupported',
      `this looks like ${looksLike(client)}; supported is a Redis or a Cluster of ioredis 5 or 6, or of iovalkey`,
    )
  }
  if ((client as { options: { monitor?: unknown } }).options.monitor) {
    throw new SetupError('client-unsupported', 'a client in monitor mode sends no commands; pass another one')
  }
}

/** What it seems to be. Nothing of it is called. */
function looksLike(client: unknown): string {
  if (typeof client !== 'object' || client === null) {
    return typeof client === 'function'
      ? 'a class or a function'
      : `no client: ${client === null ? 'null' : typeof client}`
  }
  const has = (name: string): boolean => {
    try {
      return name in client
    } catch {
      return false
    }
  }
  if (has('sendCommand') && (has('xAdd') || has('XADD'))) return 'a client of node-redis (the package redis)'
  if (has('xAdd') || has('XADD')) return 'a pool or a sentinel of node-redis (the package redis)'
  if (has('createChannel') || has('assertQueue')) return 'a connection or channel of RabbitMQ'
  if (has('producer') && has('consumer')) return 'a client of Kafka'
  if (has('_queue') && has('exec')) return 'a pipeline; pass the client that made it'
  if (has('sendCommand') && has('duplicate'))
    return 'an object with some methods of ioredis, or a version that is not supported'
  return 'no client of Redis'
}
