import type { JsonWebKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { SetupError } from '../../src/errors.ts'
import { defaultAlgorithm, isAlgorithm } from '../../src/keys/algorithms.ts'
import { readPrivateKey } from '../../src/keys/private-key.ts'
import { type PublicKey, publicKeyOf, readPublicKey } from '../../src/keys/public-key.ts'
import { verifyData } from '../../src/keys/signatures.ts'
import { readVectors } from '../unit/keys/helpers.ts'

interface Jwks {
  readonly keys: readonly JsonWebKey[]
}

interface VectorFile {
  readonly numberOfTests: number
  readonly testGroups: readonly {
    readonly private: Jwks
    readonly public?: Jwks
    readonly tests: readonly { tcId: number; jws: string; result: 'valid' | 'invalid' }[]
  }[]
}

const HMAC = 'HMAC is not supported: who can verify could sign'

/** Every case that comes out otherwise than it is labelled. A new one fails. */
const DEVIATIONS: Readonly<Record<number, string>> = {
  2: HMAC,
  7: 'a ROCA key (CVE-2017-15361, made by certain smart cards) is not told from others',
  13: HMAC,
  14: HMAC,
  15: HMAC,
}

function publicOrPrivate(jwk: JsonWebKey): PublicKey {
  return jwk.d === undefined ? readPublicKey(jwk) : publicKeyOf(readPrivateKey(jwk))
}

function verdict(set: Jwks, jws: string): 'valid' | 'invalid' {
  const [header, payload, signature] = jws.split('.') as [string, string, string]
  const { alg, kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { alg: string; kid: string }
  try {
    const keys = set.keys.map((jwk) => ({ kid: jwk.kid, key: publicOrPrivate(jwk), alg: jwk.alg }))
    const named = keys.filter((each) => each.kid === kid)
    const key = named[0]?.key
    if (key === undefined || named.length > 1) return 'invalid'
    const algorithm = named[0]?.alg ?? defaultAlgorithm(key.type)
    if (algorithm !== alg || !isAlgorithm(alg)) return 'invalid'
    const data = Buffer.from(`${header}.${payload}`)
    return verifyData(alg, key.keyObject, data, Buffer.from(signature, 'base64url')) ? 'valid' : 'invalid'
  } catch (error) {
    if (error instanceof SetupError) return 'invalid'
    throw error
  }
}

describe('Wycheproof json_web_key_test', () => {
  it('comes out as labelled, with the public set and with the private one', () => {
    const file = readVectors<VectorFile>('wycheproof/json_web_key_test.json')
    const found: number[] = []
    let seen = 0
    for (const group of file.testGroups) {
      for (const { tcId, jws, result } of group.tests) {
        const outcome = verdict(group.private, jws)
        expect(verdict(group.public ?? group.private, jws), `case ${tcId}`).toBe(outcome)
        seen++
        if (outcome !== result) found.push(tcId)
      }
    }
    expect(seen).toBe(file.numberOfTests)
    expect(found).toEqual(Object.keys(DEVIATIONS).map(Number))
  })
})
