import type { JsonWebKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { SetupError } from '../../src/errors.ts'
import type { Algorithm } from '../../src/keys/algorithms.ts'
import { readPublicKey } from '../../src/keys/public-key.ts'
import { verifyData } from '../../src/keys/signatures.ts'
import { readVectors } from '../unit/keys/helpers.ts'

interface VectorFile {
  readonly numberOfTests: number
  readonly testGroups: readonly {
    readonly publicKeyPem: string
    readonly publicKeyJwk?: JsonWebKey
    readonly tests: readonly { tcId: number; msg: string; sig: string; result: 'valid' | 'invalid' | 'acceptable' }[]
  }[]
}

const EXPONENT_3 = 'a key with the public exponent 3 is refused'

/** Files, and every case that comes out otherwise than it is labelled. A new one fails. */
const FILES: readonly { name: string; algorithm: Algorithm; deviations: Readonly<Record<number, string>> }[] = [
  { name: 'ed25519_test', algorithm: 'Ed25519', deviations: {} },
  { name: 'ecdsa_secp256r1_sha256_p1363_test', algorithm: 'ES256', deviations: {} },
  { name: 'ecdsa_secp384r1_sha384_p1363_test', algorithm: 'ES384', deviations: {} },
  { name: 'rsa_pss_2048_sha256_mgf1_32_test', algorithm: 'PS256', deviations: {} },
  { name: 'rsa_signature_2048_sha256_test', algorithm: 'RS256', deviations: { 258: EXPONENT_3, 259: EXPONENT_3 } },
  { name: 'rsa_signature_3072_sha256_test', algorithm: 'RS256', deviations: { 259: EXPONENT_3 } },
]

function verdict(algorithm: Algorithm, key: string | JsonWebKey, message: string, signature: string): string {
  try {
    const { keyObject } = readPublicKey(key)
    const [data, bytes] = [Buffer.from(message, 'hex'), Buffer.from(signature, 'hex')]
    return verifyData(algorithm, keyObject, data, bytes) ? 'valid' : 'invalid'
  } catch (error) {
    if (error instanceof SetupError) return 'invalid'
    throw error
  }
}

describe('Wycheproof', () => {
  it.each(FILES)('$name', ({ name, algorithm, deviations }) => {
    const file = readVectors<VectorFile>(`wycheproof/${name}.json`)
    const found: number[] = []
    let valid = 0
    let seen = 0
    for (const group of file.testGroups) {
      for (const test of group.tests) {
        const fromPem = verdict(algorithm, group.publicKeyPem, test.msg, test.sig)
        const fromJwk = verdict(algorithm, group.publicKeyJwk ?? group.publicKeyPem, test.msg, test.sig)
        expect(fromJwk, `case ${test.tcId}`).toBe(fromPem)
        seen++
        if (fromPem === 'valid') valid++
        if (test.result !== 'acceptable' ? fromPem !== test.result : fromPem === 'valid') found.push(test.tcId)
      }
    }
    expect(seen).toBe(file.numberOfTests)
    expect(valid).toBeGreaterThan(0)
    expect(found).toEqual(Object.keys(deviations).map(Number))
  })
})
