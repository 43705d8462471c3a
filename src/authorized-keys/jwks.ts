import type { SetupError } from '../errors.ts'
import { hasPrivateMembers } from '../keys/jwk.ts'
import { keyError } from '../keys/key-error.ts'
import { readPublicKey } from '../keys/public-key.ts'
import type { Policy } from './policy.ts'
import type { RevocationOptions } from './revocations.ts'
import type { Allow } from './snapshot.ts'

/**
 * A JSON Web Key (RFC 7517, section 4), as jose and others declare it. Written out, so that our declarations name no other
 * package.
 */
export type Jwk = {
  kty?: string
  kid?: string
  alg?: string
  use?: string
  key_ops?: string[]
  ext?: boolean
  x5c?: string[]
  x5t?: string
  'x5t#S256'?: string
  x5u?: string
  crv?: string
  x?: string
  y?: string
  n?: string
  e?: string
  /** the service that the key belongs to, where no `serviceOf` says otherwise */
  service?: string
}

/** A JWK Set (RFC 7517, section 5). */
export interface JwkSet {
  readonly keys: readonly Jwk[]
}

export interface JwksOptions extends RevocationOptions {
  /** The service a key belongs to; undefined: none. By default the member `service` of the JWK, else its `kid`. */
  readonly serviceOf?: (jwk: Jwk) => string | undefined
}

/**
 * What a policy allows the keys of a JWK Set (RFC 7517, section 5). A service may have several keys. Keys that are not
 * for signatures by their `use` or `key_ops`, and keys of services the policy does not name, are passed over; a private
 * or symmetric key is an error wherever it stands.
 *
 * @param label what to call the set in errors and positions
 * @returns the services no key was found for as an error, which the caller may have to live with
 * @throws SetupError `key-malformed`, `key-private-in-public-place`, `key-type-unsupported`, `key-too-weak`
 */
export function allowsOfJwks(
  set: JwkSet,
  policy: Policy,
  options: JwksOptions,
  label: string,
): { readonly allows: Allow[]; readonly missing: SetupError | undefined } {
  const keys: unknown = (set as JwkSet | null | undefined)?.keys
  if (!Array.isArray(keys)) {
    throw keyError('key-malformed', 'not a JWK Set: it is an object with an array "keys" (RFC 7517, section 5)', {
      file: label,
    })
  }
  const serviceOf = options.serviceOf ?? defaultServiceOf
  const found = new Set<string>()
  const allows: Allow[] = []
  for (const [index, jwk] of keys.entries()) {
    const position = { file: `${label} keys[${index}]` }
    if (!isObject(jwk)) throw keyError('key-malformed', 'not a JWK: it is an object (RFC 7517, section 4)', position)
    if (hasPrivateMembers(jwk)) {
      const advice = 'remove it from the set, treat it as compromised, and publish the public key alone'
      throw keyError('key-private-in-public-place', `a private or symmetric key: ${advice}`, position)
    }
    const service = serviceOf(jwk)
    if (!isForSignatures(jwk) || service === undefined || !policy.services.has(service)) continue
    found.add(service)
    allows.push(...policy.allows(service, readPublicKey(jwk, position), position))
  }
  const advice =
    'give its JWK the member "service" (or the kid) of that name, pass serviceOf, or take it out of the policy'
  return { allows, missing: policy.missing(found, advice) }
}

function isObject(value: unknown): value is Jwk {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function defaultServiceOf(jwk: Jwk): string | undefined {
  const service: unknown = jwk.service ?? jwk.kid
  return typeof service === 'string' ? service : undefined
}

function isForSignatures(jwk: Jwk): boolean {
  const operations: unknown = jwk.key_ops
  return (jwk.use ?? 'sig') === 'sig' && (!Array.isArray(operations) || operations.includes('verify'))
}
