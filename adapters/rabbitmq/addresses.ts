import { address } from '../../src/message.ts'
import type { Bindings } from './bindings.ts'

/** The address of an exchange and a routing key; the default exchange has no name: `amqp:/<queue>`. */
export function destinationOf(exchange: string, routingKey: string): string {
  return address('amqp', exchange, routingKey)
}

/**
 * Addresses that a delivery may have come by beside the one that it shows; the signed one has to be all of them. There are
 * none where the key that it shows is known to lead to the queue.
 *
 * A sender names further keys in `CC`, which is shown, and in `BCC`, which is not: then only bindings tell, and where none
 * is known nothing can be told.
 */
export function otherAddresses(
  exchange: string,
  routingKey: string,
  copied: unknown,
  queue: string,
  bindings: Bindings | undefined,
): string[] {
  // The default exchange is told by the name of the queue.
  if (exchange === '') return []
  const leads = bindings?.leads(exchange, routingKey, queue)
  if (leads) return []
  const key = copied === undefined ? undefined : keysOf(copied).find((one) => one !== routingKey)
  const others = key === undefined ? [] : [destinationOf(exchange, key)]
  const meant = leads === undefined ? undefined : bindings?.someOf(queue)
  if (meant !== undefined) others.unshift(destinationOf(meant.exchange, meant.pattern))
  return others
}

/** What is no list of texts the broker does not take; it counts as an unknown key. */
function keysOf(copied: unknown): string[] {
  const list: unknown[] = Array.isArray(copied) ? copied : [copied]
  return list.map((key) => (typeof key === 'string' ? key : Buffer.isBuffer(key) ? key.toString() : '?'))
}
