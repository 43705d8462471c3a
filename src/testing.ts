import { AuthorizedKeys } from './authorized-keys/authorized-keys.ts'
import { NO_LEASE } from './leases.ts'
import { Signer } from './signer.ts'
import { Authorized, Inspection, mark } from './verdict.ts'
import { Verifier } from './verifier.ts'

/** What a test needs to send and receive signed messages. */
export interface TestKeys {
  readonly signer: Signer
  readonly keys: AuthorizedKeys
  readonly verifier: Verifier
}

/**
 * A fresh key for a service, authorized for the queues, for tests of your own.
 *
 * @param queues a pattern list; default: every queue
 */
export function testKeys(service: string, queues: string | readonly string[] = '**'): TestKeys {
  const signer = Signer.generate(service)
  const keys = AuthorizedKeys.parse(signer.authorizedKeysLine(queues))
  return { signer, keys, verifier: new Verifier({ keys }) }
}

/**
 * Makes a message look as if that service had signed it, so that a handler which asks `senderOf` can be tested without a
 * broker. Returns the message itself.
 */
export function sentBy<Message extends object>(service: string, message: Message): Message {
  const sender = {
    service,
    keyId: 'A'.repeat(43),
    fingerprint: `SHA256:${'A'.repeat(43)}`,
    tokenId: 'A'.repeat(22),
    issuedAt: new Date(),
    destination: 'memory:test',
  }
  mark(message, new Inspection(new Authorized(sender), {}, NO_LEASE))
  return message
}
