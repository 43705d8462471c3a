import type { Signer } from '../../src/signer.ts'
import type { Verifier } from '../../src/verifier.ts'
import { isWrapped, override, wrapOnce } from '../../src/wrapping.ts'
import { GuardedChannel, refuseConsuming } from './channel.ts'
import { cover } from './channels.ts'
import { type Callback, type ConnectionLike, invoke, type RabbitmqClient } from './client.ts'
import { DeadLetterSink } from './dead-letters.ts'
import {
  checkConsumerOptions,
  checkProducerOptions,
  type RabbitmqConsumerOptions,
  type RabbitmqProducerOptions,
} from './options.ts'
import { signPublishes } from './producer.ts'

export type { AmqpMessage, RabbitmqClient } from './client.ts'
export type { RabbitmqConsumerOptions, RabbitmqProducerOptions } from './options.ts'
export { isWrapped }

/**
 * Signs every message that leaves through the client: an amqplib connection (recovering ones and the callback API too), a
 * connection manager of amqp-connection-manager or one of its channels, or a single channel. Returns the same object.
 *
 * @throws SetupError `client-unsupported`, `already-wrapped`, `option-invalid`; and from `publish`, `header-reserved`,
 * `header-unsupported`, `destination-invalid`
 */
export function wrapProducer<Client extends RabbitmqClient>(
  client: Client,
  signer: Signer,
  given: RabbitmqProducerOptions = {},
): Client {
  const options = checkProducerOptions(given)
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
 * @throws SetupError `client-unsupported`, `already-wrapped`, `already-consuming`, `option-invalid`; and from `consume`
 * and `get`, `no-ack-refused`, `destination-invalid`, `dead-letters-unavailable`, `option-invalid`
 */
export function wrapConsumer<Client extends RabbitmqClient>(
  client: Client,
  verifier: Verifier,
  given: RabbitmqConsumerOptions = {},
): Client {
  const options = checkConsumerOptions(given)
  wrapOnce(client, 'consumer', verifier, () => {
    const sinks = new WeakMap<object, DeadLetterSink>()
    const channels = new WeakMap<object, Set<GuardedChannel>>()
    const loops = new Set<string>()
    cover(client, {
      check: (channel) => {
        if (!isWrapped(channel, 'consumer')) refuseConsuming(channel)
      },
      channel: (channel, openConfirmChannel) => {
        const { connection } = channel
        const sink = sinks.get(connection) ?? new DeadLetterSink(connection, openConfirmChannel)
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

/**
 * Closing a connection ends its channels at once: dead letters and commits under way are waited for first, and the last
 * settlements are sent.
 */
function drainBeforeClose(connection: ConnectionLike, guarded: () => ReadonlySet<GuardedChannel>): void {
  const close = connection.close.bind(connection)
  override(connection, 'close', (callback?: Callback) => {
    const first = [...guarded()].filter((channel) => channel.closesFirst)
    if (first.length === 0) return close(callback)
    const closed = Promise.all(first.map((channel) => channel.finish())).then(() => invoke(close))
    if (callback === undefined) return closed
    void closed.then(
      () => callback(null),
      (error) => callback(error),
    )
    return undefined
  })
}
