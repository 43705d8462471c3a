import type { JsonWebKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { containsPrivateKey, readPrivateKey } from '../../src/keys/private-key.ts'
import { publicJwk, publicKeyOf, readPublicKey } from '../../src/keys/public-key.ts'
import { signData, verifyData } from '../../src/keys/signatures.ts'
import { codeOf, readVectors, VECTORS } from '../unit/keys/helpers.ts'

const textOf = (path: string): string => readFileSync(`${VECTORS}/${path}`, 'utf8')

describe('keys of the JOSE documents', () => {
  it('RFC 7638, section 3.1: the thumbprint', () => {
    expect(readPublicKey(textOf('latchset-jose/rfc7638_3.1.jwk')).keyId).toBe(
      textOf('latchset-jose/rfc7638_3.1.thp').trim(),
    )
  })

  it('RFC 8037, appendix A: Ed25519', () => {
    const { input, signing } = readVectors<{
      input: { key: JsonWebKey }
      signing: { 'sig-input': string; sig: string }
    }>('jose-cookbook/curve25519/jws.json')
    const key = readPrivateKey(input.key)
    const data = Buffer.from(signing['sig-input'])
    expect(signData('Ed25519', key, data).toString('base64url')).toBe(signing.sig)
    expect(verifyData('Ed25519', publicKeyOf(key).keyObject, data, Buffer.from(signing.sig, 'base64url'))).toBe(true)
    expect(publicKeyOf(key).keyId).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k')
  })

  it('RFC 7520, section 3: the public keys', () => {
    expect(codeOf(() => readPublicKey(textOf('jose-cookbook/jwk/3_1.ec_public_key.json')))).toBe('key-type-unsupported')
    const jwk = readVectors<JsonWebKey>('jose-cookbook/jwk/3_3.rsa_public_key.json')
    expect(publicJwk(readPublicKey(jwk))).toEqual({ kty: 'RSA', n: jwk.n, e: jwk.e })
  })

  it('RFC 7520, section 3: the private keys', () => {
    expect(codeOf(() => readPrivateKey(textOf('jose-cookbook/jwk/3_2.ec_private_key.json')))).toBe(
      'key-type-unsupported',
    )
    const rsa = publicKeyOf(readPrivateKey(textOf('jose-cookbook/jwk/3_4.rsa_private_key.json')))
    expect(rsa.keyId).toBe(readPublicKey(textOf('jose-cookbook/jwk/3_3.rsa_public_key.json')).keyId)
    for (const name of ['3_2.ec_private_key', '3_4.rsa_private_key']) {
      const text = textOf(`jose-cookbook/jwk/${name}.json`)
      expect(containsPrivateKey(text)).toBe(true)
      expect(codeOf(() => readPublicKey(text))).toBe('key-private-in-public-place')
    }
  })

  it('RFC 7520, section 3: the symmetric keys are refused both ways', () => {
    for (const name of ['3_5.symmetric_key_mac_computation', '3_6.symmetric_key_encryption']) {
      const text = textOf(`jose-cookbook/jwk/${name}.json`)
      expect(containsPrivateKey(text)).toBe(true)
      expect(codeOf(() => readPublicKey(text))).toBe('key-type-unsupported')
      expect(codeOf(() => readPrivateKey(text))).toBe('key-type-unsupported')
    }
  })

  it('RFC 7517, appendix A.1: a set is no single key, and its members are judged one by one', () => {
    const text = textOf('latchset-jose/rfc7517_A.1.jwkset')
    const { keys } = JSON.parse(text) as { keys: JsonWebKey[] }
    expect(containsPrivateKey(text)).toBe(false)
    expect(codeOf(() => readPublicKey(text))).toBe('key-malformed')
    expect(codeOf(() => readPublicKey(keys[0] as JsonWebKey))).toBe('key-type-unsupported') // "use": "enc"
    expect(readPublicKey(keys[1] as JsonWebKey).algorithm).toBe('RS256')
  })
})
