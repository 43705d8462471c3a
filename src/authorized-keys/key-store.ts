import { SetupError } from '../errors.ts'
import { readPublicKey } from '../keys/public-key.ts'
import { quote } from '../text.ts'
import { Policy, type ServicePolicy } from './policy.ts'
import type { Allow } from './snapshot.ts'

/** The least a key store must offer: the public key of every service, by the service's name. */
export interface PublicKeyStore {
  /** the name of a service, and its key as PEM, JWK or OpenSSH line */
  entries(): Iterable<readonly [name: string, key: string | Uint8Array]>
}

/** What a policy allows the keys that a store holds now; keys of services it does not name are not looked at. */
export function allowsOfKeyStore(store: PublicKeyStore, servicePolicy: ServicePolicy): Allow[] {
  const policy = new Policy(servicePolicy)
  const found = new Set<string>()
  const allows: Allow[] = []
  for (const [service, text] of store.entries()) {
    if (!policy.services.has(service)) continue
    if (found.has(service))
      throw new SetupError('key-duplicate', `the key store has a second key for ${quote(service)}`)
    found.add(service)
    const position = { file: service }
    allows.push(...policy.allows(service, readPublicKey(text, position), position))
  }
  const missing = policy.missing(
    found,
    'add its public key to the key store under that name, or take it out of the policy',
  )
  if (missing !== undefined) throw missing
  return allows
}
