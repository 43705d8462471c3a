import { constants, type KeyObject, sign, verify } from 'node:crypto'
import { SetupError } from '../errors.ts'
import type { Algorithm } from './algorithms.ts'
import { isCanonicalPoint, isLowOrderPoint } from './edwards-points.ts'

interface Curve {
  /** as Node.js names it */
  readonly name: string
  readonly hash: string
  /** octets of one coordinate, and of r and s */
  readonly size: number
  readonly order: Buffer
}

const P256: Curve = {
  name: 'prime256v1',
  hash: 'sha256',
  size: 32,
  order: Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex'),
}
const P384: Curve = {
  name: 'secp384r1',
  hash: 'sha384',
  size: 48,
  order: Buffer.from(
    'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
    'hex',
  ),
}

/** RFC 7518, section 3.5: the salt is as long as the hash, here 32 octets. */
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }

/**
 * The signature of `data` in the form JWS wants it (RFC 7518, RFC 8037): 64 octets for Ed25519, r and s one after the
 * other for ECDSA, as long as the modulus for RSA.
 *
 * @throws SetupError `key-type-unsupported` when the key is not a private key for the algorithm
 */
export function signData(algorithm: Algorithm, key: KeyObject, data: Uint8Array): Buffer {
  if (key.type !== 'private' || !fits(algorithm, key)) {
    throw new SetupError(
      'key-type-unsupported',
      `this ${key.asymmetricKeyType} ${key.type} key cannot sign ${algorithm}`,
    )
  }
  switch (algorithm) {
    case 'Ed25519':
      return sign(null, data, key)
    case 'ES256':
      return concatenated(sign(P256.hash, data, key), P256.size)
    case 'ES384':
      return concatenated(sign(P384.hash, data, key), P384.size)
    case 'PS256':
      return sign('sha256', data, { key, ...PSS })
    case 'RS256':
      return sign('sha256', data, key)
  }
}

/**
 * Whether `signature` is one of `data` under `key`. No bytes whatever make it throw, and a key of another type than the
 * algorithm's verifies nothing. Stricter than OpenSSL: an Ed25519 R must be canonical and not of low order.
 */
export function verifyData(algorithm: Algorithm, key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  if (!fits(algorithm, key)) return false
  switch (algorithm) {
    case 'Ed25519':
      return (
        signature.length === 64 &&
        isCanonicalPoint(signature) &&
        !isLowOrderPoint(signature) &&
        verify(null, data, key, signature)
      )
    case 'ES256':
      return verifyEcdsa(P256, key, data, signature)
    case 'ES384':
      return verifyEcdsa(P384, key, data, signature)
    case 'PS256':
      return signature.length === modulusLength(key) && verify('sha256', data, { key, ...PSS }, signature)
    case 'RS256':
      return signature.length === modulusLength(key) && verify('sha256', data, key, signature)
  }
}

function fits(algorithm: Algorithm, key: KeyObject): boolean {
  switch (algorithm) {
    case 'Ed25519':
      return key.asymmetricKeyType === 'ed25519'
    case 'ES256':
      return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === P256.name
    case 'ES384':
      return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === P384.name
    case 'PS256':
    case 'RS256':
      return key.asymmetricKeyType === 'rsa'
    default:
      return false
  }
}

function modulusLength(key: KeyObject): number {
  return Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)
}

// DER is signed and verified and converted here: `dsaEncoding: 'ieee-p1363'` doubles the cost of ES256 on Node.js 24.

function verifyEcdsa(curve: Curve, key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 2 * curve.size) return false
  const r = signature.subarray(0, curve.size)
  const s = signature.subarray(curve.size)
  return isScalar(r, curve) && isScalar(s, curve) && verify(curve.hash, data, key, derSequence(r, s))
}

/** Whether a number lies between 1 and the order of the curve, exclusive. */
function isScalar(number: Uint8Array, curve: Curve): boolean {
  return Buffer.compare(number, curve.order) < 0 && number.some((octet) => octet !== 0)
}

/** SEQUENCE { INTEGER r, INTEGER s }. Both curves stay below 128 octets, so every length is a single octet. */
function derSequence(r: Uint8Array, s: Uint8Array): Buffer {
  const der = Buffer.allocUnsafe(8 + r.length + s.length)
  const end = putInteger(der, putInteger(der, 2, r), s)
  der[0] = 0x30
  der[1] = end - 2
  return der.subarray(0, end)
}

function putInteger(der: Buffer, at: number, number: Uint8Array): number {
  let start = 0
  while (number[start] === 0) start++
  const padding = (number[start] as number) >= 0x80 ? 1 : 0
  der[at] = 0x02
  der[at + 1] = number.length - start + padding
  der[at + 2] = 0
  der.set(start === 0 ? number : number.subarray(start), at + 2 + padding)
  return at + 2 + padding + number.length - start
}

function concatenated(der: Buffer, size: number): Buffer {
  const signature = Buffer.alloc(2 * size)
  const rLength = der[3] as number
  putScalar(signature, size, der, 4, rLength)
  putScalar(signature, 2 * size, der, 4 + rLength + 2, der[4 + rLength + 1] as number)
  return signature
}

/** Copies a DER INTEGER right-aligned before `end`, without the zero octet that keeps it positive. */
function putScalar(signature: Buffer, end: number, der: Buffer, at: number, length: number): void {
  const sign = der[at] === 0 ? 1 : 0
  der.copy(signature, end - (length - sign), at + sign, at + length)
}
