import { SetupError } from '../../src/errors.ts'
import type { Signer } from '../../src/signer.ts'
import type { Verifier } from '../../src/verifier.ts'
import { wrapOnce } from '../../src/wrapping.ts'
import type { RedisClient } from './client.ts'
import { GuardedClient, type RedisStreamsConsumerOptions } from './guarded-client.ts'
import { checkConsumerOptions, checkProducerOptions, requireClient } from './options.ts'
import { type ProducerOptions, signCommands } from './producer.ts'

export { isWrapped } from '../../src/wrapping.ts'
export type { RedisClient } from './client.ts'
export { type ConsumeStreamOptions, consumeStream, type StreamConsumer, type StreamMessage } from './consume-stream.ts'
export type { RedisStreamsConsumerOptions } from './guarded-client.ts'
export type { StreamEntry } from './message.ts'
export type { ProducerOptions } from './producer.ts'

/**
 * From now on every entry that the client adds to a stream is signed, for the destination `redis:<physical key>`: by
 * `xadd`, `call`, pipelines, MULTI and autopipelining. Lua scripts cannot be signed, and what `duplicate()` gives is not
 * wrapped.
 *
 * @returns the client itself, a `Redis` or a `Cluster`
 * @throws SetupError `client-unsupported`, `already-wrapped`, `option-invalid`; an XADD that cannot be signed rejects with
 * `option-invalid`, `destination-invalid` or `header-reserved`
 */
export function wrapProducer<Client extends RedisClient>(
  client: Client,
  signer: Signer,
  given: ProducerOptions = {},
): Client {
  requireClient(client)
  const options = checkProducerOptions(given)
  wrapOnce(client, 'producer', signer, () => signCommands(client, signer, options))
  return client
}

/**
 * From now on XREADGROUP, XCLAIM and XAUTOCLAIM of the client show authorized entries only, without their tokens; rejected
 * ones go to the stream `{<key>}:dlq`. `consumeStream` runs the whole loop.
 *
 * @returns the client itself, a `Redis` or a `Cluster`
 * @throws SetupError `client-unsupported`, `already-wrapped`, `already-consuming`, `option-invalid`; a read rejects with
 * `no-ack-refused` for NOACK, and with `option-invalid` for XREAD, XRANGE and reads in a MULTI
 */
export function wrapConsumer<Client extends RedisClient>(
  client: Client,
  verifier: Verifier,
  given: RedisStreamsConsumerOptions = {},
): Client {
  requireClient(client)
  const options = checkConsumerOptions(given)
  wrapOnce(client, 'consumer', verifier, () => {
    requireIdle(client)
    new GuardedClient(client, verifier, options).decorate()
  })
  return client
}

/** The reply to a read that is out would be shown unchecked. On a Cluster it may be out on any of its nodes. */
function requireIdle(client: RedisClient): void {
  const { nodes } = client as { nodes?: () => unknown[] }
  const connections = (client.isCluster ? nodes?.call(client) : [client]) as Connection[]
  for (const { commandQueue } of connections) {
    const reading = commandQueue.toArray().some(({ command }) => /^x(?:readgroup|claim|autoclaim)$/i.test(command.name))
    if (!reading) continue
    throw new SetupError('already-consuming', 'the client waits for entries already; call wrapConsumer before it reads')
  }
}

interface Connection {
  /** what was sent and is not answered */
  readonly commandQueue: { toArray(): { readonly command: { readonly name: string } }[] }
}
