import type { JsonWebKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { fromBase64Url } from '../../src/base64.ts'
import { algorithmOf } from '../../src/checks.ts'
import { parseStrictObject, splitCompact } from '../../src/compact-jws.ts'
import { SetupError } from '../../src/errors.ts'
import { defaultAlgorithm } from '../../src/keys/algorithms.ts'
import { readPrivateKey } from '../../src/keys/private-key.ts'
import { publicKeyOf, readPublicKey } from '../../src/keys/public-key.ts'
import { verifyData } from '../../src/keys/signatures.ts'
import { codeOf, readVectors, VECTORS } from '../unit/keys/helpers.ts'
import { DEVIATIONS } from './jws.deviations.ts'

interface JwsFile {
  readonly numberOfTests: number
  readonly testGroups: readonly {
    readonly public?: JsonWebKey
    readonly private?: JsonWebKey
    readonly tests: readonly { tcId: number; jws: unknown; result: 'valid' | 'invalid' }[]
  }[]
}

/** The strict text and the signature of a JWS, without what the wire format says about its typ, kid and claims. */
function isValid(jws: unknown, jwk: JsonWebKey): boolean {
  const parts = typeof jws === 'string' ? splitCompact(jws) : undefined
  const header = parts && parseStrictObject(parts.header)
  if (parts === undefined || header === undefined) return false
  if (parts.payload === '' || fromBase64Url(parts.payload) === undefined) return false
  if (Object.keys(header).some((name) => name !== 'alg' && name !== 'kid')) return false
  try {
    const key = readPublicKey(jwk)
    const algorithm = algorithmOf(String(header.alg))
    if (algorithm === undefined || algorithm !== (key.algorithm ?? defaultAlgorithm(key.type))) return false
    return verifyData(algorithm, key.keyObject, parts.signingInput, parts.signature)
  } catch (error) {
    if (error instanceof SetupError) return false
    throw error
  }
}

const textOf = (path: string): string => readFileSync(`${VECTORS}/${path}`, 'utf8').trim()

describe('Wycheproof, JSON Web Signatures', () => {
  it('come out as they are labelled, but for a list of known cases', () => {
    const file = readVectors<JwsFile>('wycheproof/json_web_signature_test.json')
    const found: number[] = []
    let seen = 0
    let valid = 0
    for (const { public: publicKey, private: secret, tests } of file.testGroups) {
      for (const { tcId, jws, result } of tests) {
        const passes = isValid(jws, (publicKey ?? secret) as JsonWebKey)
        seen++
        if (passes) valid++
        if (passes !== (result === 'valid')) found.push(tcId)
      }
    }
    expect(seen).toBe(file.numberOfTests)
    expect(found).toEqual(Object.keys(DEVIATIONS).map(Number))
    expect(valid).toBe(46 - found.length)
  })
})

describe('RFC 7515, appendix A', () => {
  const publicHalf = (name: string): JsonWebKey => {
    const { kty, crv, x, y, n, e } = JSON.parse(textOf(`latchset-jose/${name}.jwk`)) as JsonWebKey
    return Object.fromEntries(Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined))
  }

  it.each([
    ['A.2', 'RS256'],
    ['A.3', 'ES256'],
  ] as const)('%s: the %s signature', (section, algorithm) => {
    const parts = splitCompact(textOf(`latchset-jose/rfc7515_${section}.jwsc`))
    const { keyObject } = readPublicKey(publicHalf(`rfc7515_${section}`))
    const { signingInput, signature } = parts as NonNullable<typeof parts>
    expect(verifyData(algorithm, keyObject, signingInput, signature)).toBe(true)
    expect(verifyData(algorithm, keyObject, signingInput.subarray(1), signature)).toBe(false)
    // The appendix writes its claims with line ends and spaces, which our text never has.
    expect(parts && parseStrictObject(parts.payload)).toBeUndefined()
  })

  it('A.4: P-521 is refused', () => {
    expect(codeOf(() => readPublicKey(publicHalf('rfc7515_A.4')))).toBe('key-type-unsupported')
  })

  it('A.5: an unsecured JWS has no third part', () => {
    expect(splitCompact(textOf('latchset-jose/rfc7515_A.5.jwsc'))).toBeUndefined()
  })
})

describe('RFC 7520, section 4, and RFC 8037', () => {
  interface Cookbook {
    readonly input: { readonly key: JsonWebKey }
    readonly output: { readonly compact: string }
  }

  it.each([
    ['4_1.rsa_v15_signature', 'RS256', true],
    ['4_2.rsa-pss_signature', 'PS256', false],
  ] as const)('%s', (name, algorithm, expected) => {
    const { input, output } = readVectors<Cookbook>(`jose-cookbook/jws/${name}.json`)
    const parts = splitCompact(output.compact) as NonNullable<ReturnType<typeof splitCompact>>
    const { kty, n, e } = input.key as Required<Pick<JsonWebKey, 'kty' | 'n' | 'e'>>
    const { keyObject } = readPublicKey({ kty, n, e })
    // The PSS example is PS384, whose salt and hash are longer than those of PS256.
    expect(verifyData(algorithm, keyObject, parts.signingInput, parts.signature)).toBe(expected)
    expect(parseStrictObject(parts.header)).toMatchObject({ alg: expected ? algorithm : 'PS384' })
  })

  it.each(['4_3.ecdsa_signature', '4_4.hmac-sha2_integrity_protection'])('%s: a key that is refused', (name) => {
    const { input } = readVectors<Cookbook>(`jose-cookbook/jws/${name}.json`)
    const { d: _, ...key } = input.key
    expect(codeOf(() => readPublicKey(key))).toBe('key-type-unsupported')
  })

  it('RFC 8037, appendix A.4: Ed25519, under the name EdDSA', () => {
    const { input, signing, output } = readVectors<Cookbook & { signing: { 'sig-input': string } }>(
      'jose-cookbook/curve25519/jws.json',
    )
    const compact = output?.compact ?? ''
    const parts = splitCompact(compact) as NonNullable<ReturnType<typeof splitCompact>>
    expect(parts.signingInput.toString()).toBe(signing['sig-input'])
    expect(parseStrictObject(parts.header)).toEqual({ alg: 'EdDSA' })
    const { keyObject } = publicKeyOf(readPrivateKey(input.key))
    expect(verifyData('Ed25519', keyObject, parts.signingInput, parts.signature)).toBe(true)
  })
})
