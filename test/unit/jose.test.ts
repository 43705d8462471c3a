import { CompactSign, compactVerify, jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { ALGORITHMS, type Algorithm } from '../../src/keys/algorithms.ts'
import { publicKeyOf } from '../../src/keys/public-key.ts'
import type { Message } from '../../src/message.ts'
import { Signer } from '../../src/signer.ts'
import { claimsOf, judge, keysOf, lineOf, MESSAGE, receivedWith, verifierFor } from './helpers.ts'
import { privateKeyFor } from './keys/helpers.ts'

/** jose as the second signer and the second verifier of every token form. */

const MESSAGES: readonly [string, Message][] = [
  ['with headers', MESSAGE],
  ['with an empty body', { ...MESSAGE, payload: Buffer.alloc(0) }],
  ['bare', { destination: 'kafka:orders', payload: null }],
]

const forms = ALGORITHMS.flatMap((algorithm) => MESSAGES.map(([name, message]) => [algorithm, name, message] as const))

function optionsOf(algorithm: Algorithm): string {
  return algorithm === 'RS256' ? 'queues="orders",alg="RS256"' : 'queues="orders"'
}

describe('jose verifies', () => {
  it.each(forms)('%s %s', async (algorithm, _, message) => {
    const key = privateKeyFor(algorithm)
    const signer = Signer.fromKey(key, { service: 'checkout', algorithm, expiresInSeconds: 60 })
    const token = signer.sign(message)
    const { keyObject, keyId } = publicKeyOf(key)
    const { payload, protectedHeader } = await jwtVerify(token, keyObject, {
      algorithms: [algorithm],
      typ: 'queueauth-v1+jwt',
      issuer: 'checkout',
      audience: message.destination,
      requiredClaims: ['iat', 'jti', 'bh', 'hh', 'exp'],
    })
    expect(protectedHeader).toEqual({ alg: algorithm, typ: 'queueauth-v1+jwt', kid: keyId })
    const { iat, jti, exp, ...rest } = payload
    const { iat: _iat, jti: _jti, ...expected } = claimsOf(message)
    expect(rest).toEqual(expected)
    expect(exp).toBe((iat as number) + 60)
    expect(typeof jti).toBe('string')
    const compact = await compactVerify(token, keyObject)
    expect(JSON.parse(Buffer.from(compact.payload).toString())).toEqual(payload)
    await expect(compactVerify(`${token.slice(0, -9)}AAAAAAAAA`, keyObject)).rejects.toThrow()
  })
})

describe('what jose signs is accepted', () => {
  const named = [...forms, ...MESSAGES.map(([name, message]) => ['EdDSA', name, message] as const)]

  it.each(named)('%s %s', async (alg, _, message) => {
    const algorithm = alg === 'EdDSA' ? 'Ed25519' : alg
    const key = privateKeyFor(algorithm)
    const header = { kid: publicKeyOf(key).keyId, typ: 'queueauth-v1+jwt', alg }
    const token = await new CompactSign(Buffer.from(JSON.stringify(claimsOf(message))))
      .setProtectedHeader(header)
      .sign(key)
    const verifier = verifierFor({ keys: keysOf(lineOf(optionsOf(algorithm), algorithm)) })
    const { destination, payload, properties = {}, headers = {} } = message
    const received = receivedWith(token, { deliveredBy: [destination], payload, properties, headers })
    expect(judge(verifier, received)).toBe('authorized')
    expect(judge(verifier, { ...received, payload: Buffer.from('other') })).toBe('body-mismatch')
  })
})
