import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Algorithm } from './algorithms.ts'

/** A new private key for the algorithm; RSA keys have 3072 bits. */
export function generatePrivateKey(algorithm: Algorithm = 'Ed25519'): KeyObject {
  switch (algorithm) {
    case 'Ed25519':
      return generateKeyPairSync('ed25519').privateKey
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    case 'ES384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
    case 'PS256':
    case 'RS256':
      return generateKeyPairSync('rsa', { modulusLength: 3072 }).privateKey
  }
}
