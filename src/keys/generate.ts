import { createPrivateKey, type ED25519KeyPairOptions, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Algorithm } from './algorithms.ts'

const ENCODED: ED25519KeyPairOptions<'der', 'der'> = {
  publicKeyEncoding: { type: 'spki', format: 'der' },
  privateKeyEncoding: { type: 'pkcs8', format: 'der' },
}

/**
 * A new private key for the algorithm; RSA keys have 3072 bits.
 *
 * It is encoded and read back: a KeyObject as Node.js 20 generates it shares a lock with the job that made it, and asking
 * for the key's details waits for ever if the collector frees that job meanwhile.
 */
export function generatePrivateKey(algorithm: Algorithm = 'Ed25519'): KeyObject {
  return createPrivateKey({ key: generated(algorithm), format: 'der', type: 'pkcs8' })
}

function generated(algorithm: Algorithm): Buffer {
  switch (algorithm) {
    case 'Ed25519':
      return generateKeyPairSync('ed25519', ENCODED).privateKey
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256', ...ENCODED }).privateKey
    case 'ES384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384', ...ENCODED }).privateKey
    case 'PS256':
    case 'RS256':
      return generateKeyPairSync('rsa', { modulusLength: 3072, ...ENCODED }).privateKey
  }
}
