import type { Signer } from '../../src/signer.ts'
import type { Verifier } from '../../src/verifier.ts'
import { isWrapped, wrapOnce } from '../../src/wrapping.ts'
import { Bindings, watchBindings } from './bindings.ts'
import { GuardedChannel, refuseConsuming } from './channel.ts'
import { cover, openChannels, requireClient } from './channels.ts'
import type { RabbitmqClient } from './client.ts'
import { closeFirst, Publishers } from './closing.ts'
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
  requireClient(client)
  wrapOnce(client, 'producer', signer, () => {
    const publishers = new WeakMap<object, Publishers>()
    const publishersOf = (connection: object): Publishers => {
      const known = publishers.get(connection) ?? new Publishers()
      publishers.set(connection, known)
      return known
    }
    cover(client, {
      channel: (channel) => {
        const published = (): void => publishersOf(channel.connection).add(channel)
        if (channel === (client as object)) signPublishes(channel, signer, options)
        else wrapOnce(channel, 'producer', signer, () => signPublishes(channel, signer, options, published))
      },
      connection: (connection) => {
        const known = publishersOf(connection.connection ?? connection)
        // What they published before they were wrapped is not known.
        for (const channel of openChannels(connection)) known.add(channel)
        closeFirst(connection, () => known.closings())
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
  requireClient(client)
  wrapOnce(client, 'consumer', verifier, () => {
    const bindings = new Bindings()
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
          watchBindings(channel, bindings)
          const guarded = new GuardedChannel(channel, verifier, options, sink, loops, bindings)
          const siblings = channels.get(connection) ?? new Set()
          channels.set(connection, siblings.add(guarded))
          channel.on('close', () => siblings.delete(guarded))
        }
        if (channel === (client as object)) guard()
        else wrapOnce(channel, 'consumer', verifier, guard)
      },
      connection: (connection) => {
        closeFirst(connection, () => {
          const guarded = channels.get(connection.connection ?? connection) ?? new Set()
          return [...guarded].filter(({ closesFirst }) => closesFirst).map((channel) => () => channel.finish())
        })
      },
    })
  })
  return client
}
