import type { JsonWebKey } from 'node:crypto'
import { fromBase64Url } from '../base64.ts'
import type { SourcePosition } from '../errors.ts'
import { type Algorithm, algorithmsFor, isAlgorithm, type KeyType } from './algorithms.ts'
import { keyError, SUPPORTED } from './key-error.ts'

/** A JWK whose members were looked at one by one, with nothing else in it. */
export interface CheckedJwk {
  readonly jwk: JsonWebKey
  /** what its `alg` pins it to; undefined when it has none */
  readonly algorithm: Algorithm | undefined
}

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

/** Octets of a coordinate and of a private number, by curve (RFC 7518 section 6.2, RFC 8037 section 2). */
const CURVES: Readonly<Record<string, { readonly kty: string; readonly type: KeyType; readonly size: number }>> = {
  Ed25519: { kty: 'OKP', type: 'ed25519', size: 32 },
  'P-256': { kty: 'EC', type: 'p256', size: 32 },
  'P-384': { kty: 'EC', type: 'p384', size: 48 },
}

/** Whether a JWK, or any key of a JWK Set, has a member that only private or symmetric keys have. */
export function hasPrivateMembers(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasPrivateMembers)
  if (typeof value !== 'object' || value === null) return false
  if (PRIVATE_MEMBERS.some((name) => (value as JsonWebKey)[name] !== undefined)) return true
  return hasPrivateMembers((value as { keys?: unknown }).keys)
}

/** The same of JSON text. In text that does not parse, anything that looks like such a member counts. */
export function hasPrivateMembersInText(text: string): boolean {
  try {
    return hasPrivateMembers(JSON.parse(text))
  } catch {
    return new RegExp(`"(${PRIVATE_MEMBERS.join('|')})"\\s*:`).test(text)
  }
}

export function parseJwk(text: string, position: SourcePosition | undefined): JsonWebKey {
  try {
    return JSON.parse(text) as JsonWebKey
  } catch {
    // The parser's own message quotes the text, which may be a private key.
    throw keyError('key-malformed', 'this JWK is not valid JSON', position)
  }
}

/**
 * A JWK with exactly the members of its type, each canonical and of the right length: Node.js decodes base64url loosely,
 * and other libraries compute the thumbprint from the text as it stands. `use`, `key_ops` and `alg` must allow to verify
 * (public) or to sign (private).
 */
export function checkJwk(
  input: JsonWebKey,
  wanted: 'public' | 'private',
  position: SourcePosition | undefined,
): CheckedJwk {
  if ('keys' in input) {
    throw keyError('key-malformed', 'this is a JWK Set; write one JWK, an element of its `keys`', position)
  }
  const type = typeOf(input, position)
  checkPurpose(input, wanted, position)
  const algorithm = algorithmOf(input, type, position)
  const members = (names: readonly string[], size?: number): JsonWebKey =>
    Object.fromEntries(names.map((name) => [name, member(input, name, size, position)]))
  if (type === 'rsa') {
    const jwk = { kty: 'RSA', ...members(['n', 'e']) }
    if (wanted === 'public') return { jwk, algorithm }
    if (input.oth !== undefined) {
      throw keyError(
        'key-type-unsupported',
        `an RSA key of more than two primes is not supported; ${SUPPORTED}`,
        position,
      )
    }
    return { jwk: { ...jwk, ...members(['d', 'p', 'q', 'dp', 'dq', 'qi']) }, algorithm }
  }
  const { kty, crv } = input as { kty: string; crv: string }
  const names = [...(kty === 'EC' ? ['x', 'y'] : ['x']), ...(wanted === 'private' ? ['d'] : [])]
  return { jwk: { kty, crv, ...members(names, CURVES[crv]?.size) }, algorithm }
}

function typeOf(input: JsonWebKey, position: SourcePosition | undefined): KeyType {
  const { kty, crv } = input
  if (typeof kty !== 'string') {
    throw keyError('key-malformed', 'this is no JWK: it has no `kty`', position)
  }
  if (kty === 'RSA') return 'rsa'
  if (kty === 'oct') throw symmetricKey(position)
  const curve = typeof crv === 'string' && Object.hasOwn(CURVES, crv) ? CURVES[crv] : undefined
  if (curve === undefined || curve.kty !== kty) {
    throw keyError(
      'key-type-unsupported',
      `this JWK is of a type or curve that is not supported; ${SUPPORTED}`,
      position,
    )
  }
  return curve.type
}

export function symmetricKey(position: SourcePosition | undefined): Error {
  return keyError(
    'key-type-unsupported',
    `a symmetric key is a secret that signs as well as verifies; ${SUPPORTED}`,
    position,
  )
}

/** RFC 7517, sections 4.2 and 4.3. */
function checkPurpose(input: JsonWebKey, wanted: 'public' | 'private', position: SourcePosition | undefined): void {
  const { use, key_ops: operations } = input
  if (use !== undefined && use !== 'sig') {
    throw keyError(
      'key-type-unsupported',
      'the `use` of this JWK is not "sig"; give a key that is for signatures',
      position,
    )
  }
  const operation = wanted === 'public' ? 'verify' : 'sign'
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes(operation))) {
    throw keyError('key-type-unsupported', `the \`key_ops\` of this JWK do not include "${operation}"`, position)
  }
}

function algorithmOf(input: JsonWebKey, type: KeyType, position: SourcePosition | undefined): Algorithm | undefined {
  const { alg } = input
  if (alg === undefined) return undefined
  // RFC 9864 calls Ed25519 what RFC 8037 called EdDSA.
  const name = alg === 'EdDSA' && type === 'ed25519' ? 'Ed25519' : alg
  if (typeof name === 'string' && isAlgorithm(name) && algorithmsFor(type).includes(name)) return name
  throw keyError(
    'key-type-unsupported',
    `the \`alg\` of this JWK does not go with its key; write ${algorithmsFor(type).join(' or ')}, or leave it out`,
    position,
  )
}

function member(
  input: JsonWebKey,
  name: string,
  size: number | undefined,
  position: SourcePosition | undefined,
): string {
  const text = input[name]
  const bytes = typeof text === 'string' ? fromBase64Url(text) : undefined
  if (bytes === undefined || bytes.length === 0) {
    throw keyError(
      'key-malformed',
      `the member \`${name}\` of this JWK is missing or not canonical base64url`,
      position,
    )
  }
  if (size !== undefined && bytes.length !== size) {
    throw keyError('key-malformed', `the member \`${name}\` of this JWK must have ${size} octets`, position)
  }
  if (size === undefined && bytes[0] === 0) {
    throw keyError('key-malformed', `the member \`${name}\` of this JWK begins with a needless zero octet`, position)
  }
  return text as string
}
