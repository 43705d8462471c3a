import { Gatherer } from '../../src/batch/gatherer.ts'
import { checkReprocess } from '../../src/consumer-options.ts'
import { SetupError } from '../../src/errors.ts'
import { TOKEN_HEADER } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import type { Verifier } from '../../src/verifier.ts'
import { originalOf, override, wrapOnce } from '../../src/wrapping.ts'
import { checkPublished, MemoryClient } from './broker.ts'
import { GuardedClient, type MemoryConsumerOptions } from './consumer.ts'
import { copyHeaders, copyProperties } from './copy.ts'
import { toMessage } from './message.ts'

export { isWrapped } from '../../src/wrapping.ts'
export {
  type ConsumeOptions,
  MemoryBroker,
  MemoryClient,
  type MemoryMessage,
  type PublishOptions,
  type QueueOptions,
} from './broker.ts'
export type { MemoryConsumerOptions } from './consumer.ts'
export type { QueuedMessage } from './queue.ts'

export interface MemoryProducerOptions {
  /**
   * What is published in the same tick to the same queue, with the same names of headers, shares one signature. It reaches
   * the queue at the end of the tick; a queue that refuses it then ends the client with that error. Default: false
   */
  readonly batch?: boolean
}

/**
 * From now on what the client publishes is signed, for the destination `memory:<queue>`. A token that is there already is
 * replaced.
 *
 * @returns the client itself
 * @throws SetupError `already-wrapped` by another signer, `client-unsupported`; and from `publish`, what
 * {@link Signer.sign} throws
 */
export function wrapProducer(
  client: MemoryClient,
  signer: Signer,
  { batch }: MemoryProducerOptions = {},
): MemoryClient {
  requireClient(client)
  wrapOnce(client, 'producer', signer, () => {
    const publish = originalOf(client, 'publish')
    const gatherer = batch ? gatherUntilEnd(client, signer) : undefined
    override(client, 'publish', (queue, payload, options = {}) => {
      // Its own errors come first, as without us.
      checkPublished(queue, payload)
      const headers = copyHeaders(options.headers)
      const message = toMessage(queue, payload, { ...options, headers })
      if (gatherer === undefined || client.isClosed) {
        return publish(queue, payload, { ...options, headers: { ...headers, [TOKEN_HEADER]: signer.sign(message) } })
      }
      const body = payload === null ? null : Buffer.from(payload)
      const properties = copyProperties(options.properties)
      const send = (token: string): boolean =>
        publish(queue, body, { properties, headers: { ...headers, [TOKEN_HEADER]: token } })
      gatherer.add(message, send, (error) => client.destroy(error))
      return true
    })
  })
  return client
}

/** Nothing is lost when the client ends in the same tick. */
function gatherUntilEnd(client: MemoryClient, signer: Signer): Gatherer {
  const gatherer = new Gatherer(signer)
  const destroy = client.destroy
  override(client, 'destroy', (error) => {
    gatherer.flush()
    destroy.call(client, error)
  })
  return gatherer
}

/**
 * From now on the client's consumers get authorized messages only. Wrap before `consume`.
 *
 * @returns the client itself
 * @throws SetupError `already-wrapped` by another verifier, `already-consuming`, `client-unsupported`; and from `consume`,
 * `destination-invalid` and `option-invalid`
 */
export function wrapConsumer(
  client: MemoryClient,
  verifier: Verifier,
  options: MemoryConsumerOptions = {},
): MemoryClient {
  requireClient(client)
  checkReprocess(options)
  wrapOnce(client, 'consumer', verifier, () => {
    if (client.isConsuming) {
      throw new SetupError('already-consuming', 'the client consumes already; call wrapConsumer before consume')
    }
    new GuardedClient(client, verifier, options).decorate()
  })
  return client
}

function requireClient(client: unknown): void {
  if (client instanceof MemoryClient) return
  throw new SetupError('client-unsupported', 'this is no client of a MemoryBroker; pass what broker.connect() returns')
}
