import { SetupError } from '../../src/errors.ts'
import { quote } from '../../src/text.ts'
import type { Verifier } from '../../src/verifier.ts'
import type { Bindings } from './bindings.ts'
import type { ConsumeOptions } from './client.ts'
import { DIRECT_REPLY_TO, Routes } from './message.ts'
import type { RabbitmqConsumerOptions } from './options.ts'

/** A queue that `consume` or `get` was asked to read. */
export interface ReadQueue {
  /** its own name */
  readonly queue: string
  /** what policies and key lines call it */
  readonly name: string
  readonly routes: Routes
  readonly noAck: boolean
  /** the queue for its dead letters */
  readonly deadLetters: string
}

/** @throws SetupError `destination-invalid`, `no-ack-refused`, `option-invalid` */
export function readQueue(
  queue: unknown,
  { noAck }: ConsumeOptions,
  options: RabbitmqConsumerOptions,
  bindings?: Bindings,
): ReadQueue {
  if (typeof queue !== 'string' || queue === '' || !queue.isWellFormed()) {
    throw new SetupError(
      'destination-invalid',
      'consume and get need the name of the queue, because policies match it; pass the name that assertQueue returned',
    )
  }
  // Direct reply-to works without acknowledgements only.
  if (noAck && queue !== DIRECT_REPLY_TO && options.noAck !== 'drop') {
    throw new SetupError(
      'no-ack-refused',
      `queue ${quote(queue)}: with noAck the broker forgets a message before it is checked, so a crash loses it; consume with acknowledgements, or pass noAck: 'drop' to wrapConsumer to accept that`,
    )
  }
  const name = options.queueName?.(queue) ?? queue
  const routes = new Routes(queue, name, bindings)
  return { queue, name, routes, noAck: Boolean(noAck), deadLetters: deadLettersOf(queue, name, options) }
}

function deadLettersOf(queue: string, name: string, options: RabbitmqConsumerOptions): string {
  const deadLetters = options.deadLetterName?.(queue) ?? `${outsideAmq(queue, name)}.dlq`
  if (typeof deadLetters === 'string' && deadLetters !== '' && deadLetters !== queue) return deadLetters
  throw new SetupError(
    'option-invalid',
    `deadLetterName gave no name of another queue for ${quote(queue)}; return for example ${quote(`${queue}.dlq`)}`,
  )
}

/** Names that begin with `amq.` belong to the broker; those it makes anew for each client share one queue. */
function outsideAmq(queue: string, name: string): string {
  const chosen = queue.startsWith('amq.') ? name : queue
  if (!chosen.startsWith('amq.')) return chosen
  return chosen.startsWith('amq.gen-') ? 'server-named' : chosen.slice('amq.'.length)
}

/**
 * @param loops whether it dead-letters into an exchange, from where messages may come back to it
 * @throws SetupError `option-invalid`
 */
export function checkPolicy({ queue, name }: ReadQueue, verifier: Verifier, loops: boolean): void {
  const policy = verifier.policyOf(name)
  if (policy.maxAgeSeconds === Number.POSITIVE_INFINITY && verifier.replay !== undefined) {
    throw new SetupError(
      'option-invalid',
      `queue ${quote(name)}: maxAgeSeconds Infinity would keep every message id for ever, since RabbitMQ has no positions; set a number of seconds, or replay: 'off'`,
    )
  }
  if (!loops || !policy.delivered || policy.destinations !== undefined) return
  verifier.warnings.once(
    `${queue} x-dead-letter-exchange`,
    `queue ${quote(queue)} has a dead-letter exchange: a message that comes back through it arrives by another address than it was signed for and is rejected as destination-mismatch. If such messages shall be handled, write queues: { ${JSON.stringify(name)}: { destinations: ['amqp:<exchange>/<routing key>'] } } with the address they are first published to`,
  )
}
