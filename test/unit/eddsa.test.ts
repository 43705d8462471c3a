import { createPublicKey, generateKeyPairSync, type KeyObject, verify } from 'node:crypto'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createVerifier } from 'fast-jwt'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { AuthorizedKeys } from '../../src/authorized-keys/authorized-keys.ts'
import { Signer } from '../../src/signer.ts'
import { Verifier } from '../../src/verifier.ts'
import { judge, MESSAGE, receivedWith } from './helpers.ts'
import { privateKeyFor, setupErrorOf } from './keys/helpers.ts'

/** Tokens for consumers whose JOSE library knows the Ed25519 signature by its older name only. */

const key = privateKeyFor('Ed25519')
const headerOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString()) as Record<string, unknown>
const publicPem = (of: KeyObject): string => createPublicKey(of).export({ type: 'spki', format: 'pem' }).toString()

describe('a signer that writes alg EdDSA', () => {
  const signer = Signer.fromKey(key, { service: 'checkout', algorithm: 'EdDSA' })
  const plain = Signer.fromKey(key, { service: 'checkout' })
  const tokens = (from: Signer): [string, string][] => [
    ['one message', from.sign(MESSAGE)],
    ['a batch', from.signBatch([MESSAGE, MESSAGE])[1] as string],
    ['a batch of one', from.signBatch([MESSAGE])[0] as string],
  ]

  it.each(tokens(signer))('%s: the header says EdDSA, and nothing else is different', (_, token) => {
    const [, expected] = tokens(plain).find(([name]) => name === _) as [string, string]
    expect(headerOf(token)).toEqual({ ...headerOf(expected), alg: 'EdDSA' })
    const [signed = ''] = token.split('~')
    const [input, signature] = [signed.slice(0, signed.lastIndexOf('.')), signed.slice(signed.lastIndexOf('.') + 1)]
    expect(verify(null, Buffer.from(input), createPublicKey(key), Buffer.from(signature, 'base64url'))).toBe(true)
  })

  it.each(tokens(signer))('%s: a verifier takes it under the same line', (_, token) => {
    expect(signer.authorizedKeysLine('orders')).toBe(plain.authorizedKeysLine('orders'))
    const verifier = new Verifier({ keys: AuthorizedKeys.parse(plain.authorizedKeysLine('orders')) })
    expect(judge(verifier, receivedWith(token))).toBe('authorized')
  })

  it.each(tokens(signer))('%s: a library that knows only EdDSA verifies it, and not the default', (name, token) => {
    const check = createVerifier({ key: publicPem(key), algorithms: ['EdDSA'] })
    expect(check(token.split('~')[0] as string)).toMatchObject({ iss: 'checkout', aud: MESSAGE.destination })
    const [, other] = tokens(plain).find(([which]) => which === name) as [string, string]
    expect(() => check(other.split('~')[0] as string)).toThrow()
  })

  it('is the same signer otherwise', () => {
    expect([signer.algorithm, signer.keyId, signer.fingerprint]).toEqual(['Ed25519', plain.keyId, plain.fingerprint])
    expect(headerOf(Signer.generate('a', { algorithm: 'EdDSA' }).sign(MESSAGE)).alg).toBe('EdDSA')
    expect(headerOf(Signer.generate('a').sign(MESSAGE)).alg).toBe('Ed25519')
  })

  it.each(['ES256', 'ES384', 'PS256'] as const)('no key of %s can do that', (algorithm) => {
    const error = setupErrorOf(() => Signer.fromKey(privateKeyFor(algorithm), { service: 'a', algorithm: 'EdDSA' }))
    expect(error?.code).toBe('option-invalid')
  })
})

describe('from a file', () => {
  let folder = ''
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'qka-eddsa-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('a new key is written the same way', async () => {
    const path = join(folder, 'key.pem')
    const write = (name: string, pem: KeyObject): void =>
      writeFileSync(join(folder, name), pem.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
    write('key.pem', key)
    using signer = await Signer.fromFile(path, { service: 'checkout', algorithm: 'EdDSA', pollSeconds: 0.1 })
    const before = signer.keyId
    write('next', generateKeyPairSync('ed25519').privateKey)
    renameSync(join(folder, 'next'), path)
    await vi.waitFor(() => expect(signer.keyId).not.toBe(before), { timeout: 5000 })
    expect(headerOf(signer.sign(MESSAGE)).alg).toBe('EdDSA')
  })
})
