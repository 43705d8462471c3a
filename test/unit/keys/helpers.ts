import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SetupError, type SetupErrorCode } from '../../../src/errors.ts'
import type { Algorithm, KeyType } from '../../../src/keys/algorithms.ts'
import { generatePrivateKey } from '../../../src/keys/generate.ts'

/** Independent vectors; ORIGINS.md there says where they come from. */
export const VECTORS: string = fileURLToPath(new URL('../../vectors/data', import.meta.url))

export function readVectors<T>(path: string): T {
  return JSON.parse(readFileSync(`${VECTORS}/${path}`, 'utf8')) as T
}

/** The SetupError that a call throws; anything else it throws is thrown on. */
export function setupErrorOf(call: () => unknown): SetupError | undefined {
  try {
    call()
    return undefined
  } catch (error) {
    if (error instanceof SetupError) return error
    throw error
  }
}

export function codeOf(call: () => unknown): SetupErrorCode | undefined {
  return setupErrorOf(call)?.code
}

const rsa = generatePrivateKey('PS256')
const KEYS: Readonly<Record<Algorithm, KeyObject>> = {
  Ed25519: generatePrivateKey('Ed25519'),
  ES256: generatePrivateKey('ES256'),
  ES384: generatePrivateKey('ES384'),
  PS256: rsa,
  RS256: rsa,
}

/** One private key an algorithm, made when the tests are loaded: RSA keys take their time. */
export function privateKeyFor(algorithm: Algorithm): KeyObject {
  return KEYS[algorithm]
}

/** One private key a type. */
export function privateKeys(): [KeyType, KeyObject][] {
  return [
    ['ed25519', privateKeyFor('Ed25519')],
    ['p256', privateKeyFor('ES256')],
    ['p384', privateKeyFor('ES384')],
    ['rsa', privateKeyFor('PS256')],
  ]
}

/**
 * The fourteen encodings of Ed25519 points of low order, derived here from their y coordinates and the sign bit, so that
 * the list in the source is checked against arithmetic.
 */
export const LOW_ORDER_POINTS: readonly Buffer[] = lowOrderPoints()

function lowOrderPoints(): Buffer[] {
  const p = 2n ** 255n - 19n
  const power = (base: bigint, exponent: bigint): bigint => {
    let result = 1n
    for (let b = base % p, e = exponent; e > 0n; e >>= 1n, b = (b * b) % p) if (e & 1n) result = (result * b) % p
    return result
  }
  const inverse = (n: bigint): bigint => power(n, p - 2n)
  const root = (n: bigint): bigint => {
    const candidate = power(n, (p + 3n) / 8n)
    return (candidate * candidate - n) % p === 0n ? candidate : (candidate * power(2n, (p - 1n) / 4n)) % p
  }
  // On -x^2 + y^2 = 1 + d x^2 y^2 the points of order 8 double to those of order 4, (x, 0): so y^2 = -x^2, which gives
  // d y^4 + 2 y^2 - 1 = 0.
  const d = (p - 121665n) * inverse(121666n)
  const ySquared = [1n, -1n]
    .map((sign) => ((((sign * root(1n + d) - 1n) * inverse(d)) % p) + p) % p)
    .find((square) => power(square, (p - 1n) / 2n) === 1n) as bigint
  const y8 = root(ySquared)
  return [0n, 1n, p - 1n, y8, p - y8, p, p + 1n].flatMap((y) => {
    const bytes = Buffer.from(y.toString(16).padStart(64, '0'), 'hex').reverse()
    const negative = Buffer.from(bytes)
    negative[31] = (negative[31] as number) | 0x80
    return [bytes, negative]
  })
}
