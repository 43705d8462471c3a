import type { ConsumerOptions } from '../../src/consumer-options.ts'
import { SetupError } from '../../src/errors.ts'
import type { Signer } from '../../src/signer.ts'
import type { Verifier } from '../../src/verifier.ts'
import { isWrapped, override, wrapOnce } from '../../src/wrapping.ts'
import { GuardedChannel } from './channel.ts'
import { cover } from './channels.ts'
import { type AmqpMessage, type Callback, type ConnectionLike, invoke, type RabbitmqClient } from './client.ts'
import { DeadLetterSink } from './dead-letters.ts'
import { type ProducerOptions, signPublishes } from './producer.ts'

export type { AmqpMessage, RabbitmqClient } from './client.ts'
export type { ProducerOptions } from './producer.ts'
export { isWrapped }

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

/**
 * Signs every message that leaves through the client: an amqplib connection (recovering ones and the callback API too), a
 * connection manager of amqp-connection-manager or one of its channels, or a single channel. Returns the same object.
 *
 * @throws SetupError `client-unsupported`, `already-wrapped`; and from `publish`, `header-reserved`, `header-unsupported`
 */
export function wrapProducer<Client extends RabbitmqClient>(
  client: Client,
  signer: Signer,
  options: ProducerOptions = {},
): Client {
  wrapOnce(client, 'producer', signer, () => {
    cover(client, {
      channel: (channel) => {
        if (channel === (client as object)) signPublishes(channel, signer, options)
        else wrapOnce(channel, 'producer', signer, () => signPublishes(channel, signer, options))
      },
    })
  })
  return client
}

/**
 * Checks every message that arrives through the client before a handler sees it. Rejected ones go to `<queue>.dlq`.
 * Returns the same object.
 *
 * @throws SetupError `client-unsupported`, `already-wrapped`, `already-consuming`; and from `consume` and `get`,
 * `no-ack-refused`, `destination-invalid`, `dead-letters-unavailable`, `option-invalid`
 */
export function wrapConsumer<Client extends RabbitmqClient>(
  client: Client,
  verifier: Verifier,
  options: RabbitmqConsumerOptions = {},
): Client {
  checkOptions(options)
  wrapOnce(client, 'consumer', verifier, () => {
    const sinks = new WeakMap<object, DeadLetterSink>()
    const channels = new WeakMap<object, Set<GuardedChannel>>()
    const loops = new Set<string>()
    cover(client, {
      channel: (channel, openConfirmChannel) => {
        const { connection } = channel
        const sink = sinks.get(connection) ?? new DeadLetterSink(openConfirmChannel)
        sinks.set(connection, sink)
        const guard = (): void => {
          const guarded = new GuardedChannel(channel, verifier, options, sink, loops)
          const siblings = channels.get(connection) ?? new Set()
          channels.set(connection, siblings.add(guarded))
          channel.on('close', () => siblings.delete(guarded))
        }
        if (channel === (client as object)) guard()
        else wrapOnce(channel, 'consumer', verifier, guard)
      },
      connection: (connection) => {
        drainBeforeClose(connection, () => channels.get(connection.connection ?? connection) ?? new Set())
      },
    })
  })
  return client
}

/** Closing a connection ends its channels at once: dead letters and commits under way are waited for first. */
function drainBeforeClose(connection: ConnectionLike, guarded: () => ReadonlySet<GuardedChannel>): void {
  const close = connection.close.bind(connection)
  override(connection, 'close', (callback?: Callback) => {
    const busy = [...guarded()].filter((channel) => channel.busy)
    if (busy.length === 0) return close(callback)
    const closed = Promise.all(busy.map((channel) => channel.finish())).then(() => invoke(close))
    if (callback === undefined) return closed
    void closed.then(
      () => callback(null),
      (error) => callback(error),
    )
    return undefined
  })
}

function checkOptions({ onRejected, noAck, maxHoldSeconds, deadLetter }: RabbitmqConsumerOptions): void {
  const known = onRejected === undefined || typeof onRejected === 'function'
  if (!known && !['dead-letter', 'reject', 'acknowledge'].includes(onRejected)) {
    throw new SetupError('option-invalid', `onRejected must be 'dead-letter', 'reject', 'acknowledge' or a function`)
  }
  if (noAck !== undefined && noAck !== 'drop') throw new SetupError('option-invalid', `noAck must be 'drop' or absent`)
  if (maxHoldSeconds !== undefined && !(maxHoldSeconds > 0)) {
    throw new SetupError('option-invalid', 'maxHoldSeconds must be a positive number of seconds')
  }
  if (deadLetter !== undefined && typeof deadLetter !== 'function') {
    throw new SetupError('option-invalid', 'deadLetter must be a function that stores the letter and returns a promise')
  }
}
