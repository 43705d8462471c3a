import type { JsonWebKey, KeyObject } from 'node:crypto'
import type { SourcePosition } from '../errors.ts'
import type { KeyType } from './algorithms.ts'
import { isCanonicalPoint, isLowOrderPoint } from './edwards-points.ts'
import { keyError, SUPPORTED } from './key-error.ts'

const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 8192
/** What a verification costs grows with the exponent's length, and every program writes 65537, which has 17 bits. */
const MAX_EXPONENT_BITS = 72
/** Under a longer modulus than this, OpenSSL verifies nothing with an exponent of more than 64 bits. */
const OPENSSL_SMALL_MODULUS_BITS = 3072

/** How a SubjectPublicKeyInfo names the two curves (RFC 5480), after its outermost length. */
const CURVES: readonly { readonly type: KeyType; readonly identifier: Buffer }[] = [
  { type: 'p256', identifier: Buffer.from('301306072a8648ce3d020106082a8648ce3d030107', 'hex') },
  { type: 'p384', identifier: Buffer.from('301006072a8648ce3d020106052b81040022', 'hex') },
]

/**
 * The type and the public JWK of a public key that is strong enough to be trusted.
 *
 * @throws SetupError `key-type-unsupported`, `key-too-weak` or `key-malformed`
 */
export function checkStrength(
  publicKey: KeyObject,
  position: SourcePosition | undefined,
): { readonly type: KeyType; readonly jwk: JsonWebKey } {
  switch (publicKey.asymmetricKeyType) {
    case 'ed25519':
      return { type: 'ed25519', jwk: checkEd25519(publicKey.export({ format: 'jwk' }), position) }
    case 'ec': {
      const type = curveOf(publicKey, position)
      return { type, jwk: publicKey.export({ format: 'jwk' }) }
    }
    case 'rsa':
      return { type: 'rsa', jwk: checkRsa(publicKey.export({ format: 'jwk' }), position) }
    case 'rsa-pss':
      throw keyError(
        'key-type-unsupported',
        'this RSA key is restricted to PSS, a form that few programs read; make one with ' +
          '`openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072`, which signs PS256 as well',
        position,
      )
    default:
      throw keyError(
        'key-type-unsupported',
        `a key of type ${publicKey.asymmetricKeyType ?? 'unknown'} is not supported; ${SUPPORTED}`,
        position,
      )
  }
}

/**
 * The same of a public JWK with canonical members: exporting a key costs more than importing it, and whoever made the key
 * from this JWK knows what would come out.
 */
export function checkJwkStrength(
  jwk: JsonWebKey,
  position: SourcePosition | undefined,
): { readonly type: KeyType; readonly jwk: JsonWebKey } {
  if (jwk.kty === 'RSA') return { type: 'rsa', jwk: checkRsa(jwk, position) }
  if (jwk.kty === 'OKP') return { type: 'ed25519', jwk: checkEd25519(jwk, position) }
  return { type: jwk.crv === 'P-256' ? 'p256' : 'p384', jwk }
}

function checkEd25519(jwk: JsonWebKey, position: SourcePosition | undefined): JsonWebKey {
  const point = Buffer.from(jwk.x ?? '', 'base64url')
  if (isLowOrderPoint(point)) {
    throw keyError('key-too-weak', 'under this Ed25519 key (a point of low order) anybody can sign', position)
  }
  if (!isCanonicalPoint(point)) {
    throw keyError('key-malformed', 'this Ed25519 key is not encoded canonically (RFC 8032)', position)
  }
  return jwk
}

/**
 * Reads the encoded key, because Node.js 20 aborts the process when it is asked for the details or the JWK of the point
 * at infinity. Exporting that point as SPKI fails, and curves with explicit parameters do not match.
 */
function curveOf(publicKey: KeyObject, position: SourcePosition | undefined): KeyType {
  let spki: Buffer
  try {
    spki = publicKey.export({ type: 'spki', format: 'der' })
  } catch {
    throw keyError('key-malformed', 'this elliptic curve key has no usable point', position)
  }
  const curve = CURVES.find(({ identifier }) => spki.subarray(2, 2 + identifier.length).equals(identifier))
  if (curve !== undefined) return curve.type
  throw keyError('key-type-unsupported', `this elliptic curve is not supported; ${SUPPORTED}`, position)
}

function checkRsa(jwk: JsonWebKey, position: SourcePosition | undefined): JsonWebKey {
  const [n, e] = [octets(jwk.n), octets(jwk.e)]
  const bits = bitsOf(n)
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) {
    throw keyError(
      'key-too-weak',
      `an RSA key of ${bits} bits is not accepted; use ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits, or Ed25519`,
      position,
    )
  }
  const exponentBits = bitsOf(e)
  if (exponentBits > (bits > OPENSSL_SMALL_MODULUS_BITS ? 64 : MAX_EXPONENT_BITS)) {
    throw keyError(
      'key-too-weak',
      `an RSA key with a public exponent of ${exponentBits} bits is not accepted, because every verification would be as dear ` +
        `as many; use 65537`,
      position,
    )
  }
  if (isEven(n) || isEven(e) || exponentBits < 17 || (exponentBits === 17 && e.readUIntBE(0, 3) < 65_537)) {
    throw keyError(
      'key-too-weak',
      'the modulus and exponent of an RSA key must be odd, the exponent at least 65537',
      position,
    )
  }
  return jwk
}

/** Big-endian, without leading zeros. */
function octets(base64url: string | undefined): Buffer {
  const bytes = Buffer.from(base64url ?? '', 'base64url')
  const first = bytes.findIndex((octet) => octet !== 0)
  return first < 0 ? Buffer.of(0) : bytes.subarray(first)
}

function bitsOf(number: Buffer): number {
  return number.length * 8 - Math.clz32(number[0] ?? 0) + 24
}

function isEven(number: Buffer): boolean {
  return ((number.at(-1) ?? 0) & 1) === 0
}
