import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Algorithm } from '../../src/keys/algorithms.ts'

export function generateKeyPairFor(algorithm: Algorithm): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (algorithm) {
    case 'Ed25519':
      return generateKeyPairSync('ed25519')
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' })
    case 'RS256':
      return generateKeyPairSync('rsa', { modulusLength: 2048 })
    default:
      throw new Error(`there is no benchmark for ${algorithm}`)
  }
}
