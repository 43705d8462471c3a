import type { KeySnapshot } from '../../authorized-keys/snapshot.ts'
import { address, parseAddress, type ReceivedMessage } from '../../message.ts'
import { DEFAULT_MAX_AGE_SECONDS } from '../../policy.ts'
import { type CheckResult, Verifier } from '../../verifier.ts'
import type { CliMessage } from './message-json.ts'

/** How a consumer is set up, as far as it is not in the key directory. */
export interface ConsumerPolicy {
  readonly maxAgeSeconds?: number
  readonly destinations?: readonly string[]
  /** judge as of then, seconds since 1970 */
  readonly at?: number
}

/** What a consumer of this queue says of the message: the very check of the library. */
export function judge(snapshot: KeySnapshot, message: CliMessage, queue: string, policy: ConsumerPolicy): CheckResult {
  const { maxAgeSeconds = DEFAULT_MAX_AGE_SECONDS, destinations, at } = policy
  const verifier = new Verifier({
    keys: { snapshot },
    replay: 'off',
    maxAgeSeconds,
    ...(destinations !== undefined && { destinations }),
    ...(at !== undefined && { clock: { now: () => at * 1000, monotonic: () => 0 } }),
  })
  return verifier.check(toReceived(message, queue))
}

export function toReceived(message: CliMessage, queue: string): ReceivedMessage {
  const { payload, properties, headers, token } = message
  return { queue, deliveredBy: deliveredBy(message, queue), token, payload, properties, headers }
}

/** RabbitMQ's default exchange routes by queue name, so the queue's own address must have been meant, too. */
function deliveredBy({ deliveredBy, destination }: CliMessage, queue: string): readonly string[] {
  if (deliveredBy !== undefined) return deliveredBy
  if (destination === undefined) return []
  const [exchange] = parseAddress('amqp', destination) ?? []
  return exchange === '' ? [destination, address('amqp', '', queue)] : [destination]
}
