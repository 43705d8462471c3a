import { createPublicKey } from 'node:crypto'
import * as fc from 'fast-check'
import { compactVerify, FlattenedSign, SignJWT } from 'jose'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { JwsAdapter } from '../../../src/jwt-key-auth/index.ts'
import { ALGORITHMS, ed25519, encode, now, p256, p384, rsa, tokenByHand, verifiedByHand } from './tokens.ts'

const KEYS = { rsa: rsa(), ed25519: ed25519(), p256: p256(), p384: p384() }
const ACCEPTED: Readonly<Record<string, readonly string[]>> = {
  rsa: ['RS256'],
  ed25519: ['Ed25519', 'EdDSA'],
  p256: ['ES256'],
  p384: ['ES384'],
}

const adapter = new JwsAdapter()
const lenient = new JwsAdapter({ acceptWithoutExpiry: true })
const seedToken = (claims: unknown = { keyName: 'checkout' }, header?: unknown): string =>
  tokenByHand('RS256', KEYS.rsa, claims, header)

afterEach(() => {
  vi.useRealTimers()
})

describe('the wire format of jwt-key-auth', () => {
  it('is what a token made here is, with iat and exp besides', async () => {
    vi.useFakeTimers({ now: 1_790_000_000_500, toFake: ['Date'] })
    const token = await adapter.generate('checkout', KEYS.rsa.privatePem)
    expect(verifiedByHand(token, KEYS.rsa.publicKey)).toEqual({
      header: { alg: 'RS256' },
      claims: { keyName: 'checkout', iat: 1_790_000_000, exp: 1_790_000_060 },
    })
    expect(token.split('.')[0]).toBe(encode('{"alg":"RS256"}'))
  })

  it('is taken only where tokens without expiry are', async () => {
    for (const header of [{ alg: 'RS256' }, { alg: 'RS256', typ: 'JWT' }, { typ: 'JWT', alg: 'RS256' }]) {
      const token = seedToken({ keyName: 'checkout' }, header)
      expect(lenient.keyName(token)).toBe('checkout')
      expect(await lenient.verify(token, KEYS.rsa.publicPem)).toBe(true)
      expect(await adapter.verify(token, KEYS.rsa.publicPem)).toBe(false)
    }
  })
})

describe('the algorithm', () => {
  it.each(Object.keys(KEYS) as (keyof typeof KEYS)[])('is pinned by a key of type %s', async (type) => {
    const key = KEYS[type]
    const claims = { keyName: 'checkout', exp: now() + 60 }
    const accepted: string[] = []
    for (const alg of ALGORITHMS) {
      if (await adapter.verify(tokenByHand(alg, key, claims), key.publicPem)) accepted.push(alg)
    }
    expect(accepted.sort()).toEqual([...(ACCEPTED[type] ?? [])].sort())
  })

  it.each(Object.keys(KEYS) as (keyof typeof KEYS)[])(
    'that signs with a key of type %s is one it accepts',
    async (type) => {
      const key = KEYS[type]
      const token = await adapter.generate('checkout', key.privatePem)
      expect(await adapter.verify(token, key.publicPem)).toBe(true)
      const { protectedHeader } = await compactVerify(token, key.publicKey)
      expect(ACCEPTED[type]).toContain(protectedHeader.alg)
      for (const other of Object.values(KEYS).filter((other) => other !== key)) {
        expect(await adapter.verify(token, other.publicPem)).toBe(false)
      }
    },
  )

  it('is the one in the JWK, where an RSA key is one that has it', async () => {
    const claims = { keyName: 'checkout', exp: now() + 60 }
    const publicJwk = (alg: string): string => JSON.stringify({ ...KEYS.rsa.publicKey.export({ format: 'jwk' }), alg })
    const verdicts = ['RS256', 'PS256'].map((made) =>
      Promise.all(['RS256', 'PS256'].map((alg) => adapter.verify(tokenByHand(made, KEYS.rsa, claims), publicJwk(alg)))),
    )
    expect(await Promise.all(verdicts)).toEqual([
      [true, false],
      [false, true],
    ])
  })

  it('is never a MAC with the public key as its secret, however that key is written', async () => {
    const { publicKey, publicPem } = KEYS.rsa
    const secrets = [
      publicPem,
      publicPem.trimEnd(),
      publicKey.export({ type: 'pkcs1', format: 'pem' }) as string,
      publicKey.export({ type: 'spki', format: 'der' }),
      JSON.stringify(publicKey.export({ format: 'jwk' })),
    ]
    for (const secret of secrets) {
      const forged = await new SignJWT({ keyName: 'checkout' })
        .setProtectedHeader({ alg: 'HS256' })
        .setExpirationTime('1m')
        .sign(Buffer.from(secret))
      expect(await adapter.verify(forged, publicPem)).toBe(false)
    }
  })
})

describe('verify', () => {
  it('takes no header but alg and typ', async () => {
    const jwk = KEYS.rsa.publicKey.export({ format: 'jwk' })
    const others: Record<string, unknown>[] = [
      { crit: [] },
      { crit: ['exp'], exp: 1 },
      { crit: ['b64'], b64: true },
      { b64: false, crit: ['b64'] },
      { b64: false },
      { b64: true },
      { jwk },
      { jku: 'https://127.0.0.1/keys' },
      { x5c: [] },
      { kid: 'checkout' },
      { zip: 'DEF' },
      { typ: 'queueauth-v1+jwt' },
      { typ: 1 },
    ]
    for (const other of others) {
      expect(await lenient.verify(seedToken(undefined, { alg: 'RS256', ...other }), KEYS.rsa.publicPem)).toBe(false)
    }
    // A payload that is not encoded (RFC 7797), as jose makes it.
    const payload = '{"keyName":"checkout"}'
    const unencoded = await new FlattenedSign(Buffer.from(payload))
      .setProtectedHeader({ alg: 'RS256', b64: false, crit: ['b64'] })
      .sign(KEYS.rsa.privateKey)
    const token = `${unencoded.protected}.${payload}.${unencoded.signature}`
    expect(await lenient.verify(token, KEYS.rsa.publicPem)).toBe(false)
  })

  it('takes no header or payload that is not an object of the right types', async () => {
    const name = 'checkout'
    const payloads: unknown[] = [
      ...['', 'checkout', '{', 'null', '[]', '"checkout"', '{"keyName":"checkout"}x', '\ufeff{"keyName":"checkout"}'],
      ...[{}, { keyname: name }, { keyName: '' }, { keyName: 1 }, { keyName: null }, { keyName: [name] }],
      ...[{ keyName: { toString: name } }, '{"__proto__":{"keyName":"checkout"}}'],
      ...[
        { keyName: name, aud: 'erp' },
        { keyName: name, iss: name },
        { keyName: name, jti: 'a' },
      ],
      ...[
        { keyName: name, exp: `${now() + 60}` },
        { keyName: name, exp: null },
        { keyName: name, exp: 1e300 },
      ],
      Buffer.from('{"keyName":"checkout\xff"}', 'latin1'),
      ...[{ keyName: name, iat: 'now' }, { keyName: name, nbf: true }, '{"keyName":"checkout","exp":1e999}'],
    ]
    for (const payload of payloads) {
      const token = seedToken(payload)
      expect(lenient.keyName(token)).toBe(null)
      expect(await lenient.verify(token, KEYS.rsa.publicPem)).toBe(false)
    }
    for (const header of ['', 'null', '[]', '{', '"RS256"', '{}', { alg: 1 }, { alg: ['RS256'] }, { alg: 'rs256' }]) {
      expect(await lenient.verify(seedToken(undefined, header), KEYS.rsa.publicPem)).toBe(false)
    }
  })

  it('takes three parts, of 8192 characters together', async () => {
    const longest = seedToken({ keyName: 'a'.repeat(5857) })
    expect(longest).toHaveLength(8192)
    expect(await lenient.verify(longest, KEYS.rsa.publicPem)).toBe(true)
    for (const token of [seedToken({ keyName: 'a'.repeat(5858) }), `${seedToken()}.AAAA`, seedToken().slice(0, -343)]) {
      expect(lenient.keyName(token)).toBe(null)
      expect(await lenient.verify(token, KEYS.rsa.publicPem)).toBe(false)
    }
  })

  it('refuses a token with any one character changed, added or removed', async () => {
    const token = await adapter.generate('checkout', KEYS.ed25519.privatePem)
    expect(await adapter.verify(token, KEYS.ed25519.publicPem)).toBe(true)
    const verdicts: boolean[] = []
    for (let at = 0; at < token.length; at++) {
      const [before, character, after] = [token.slice(0, at), token[at], token.slice(at + 1)]
      for (const other of [character === 'A' ? 'B' : 'A', character === '_' ? '-' : '_', '.', ' ', '=', '']) {
        if (other !== character) verdicts.push(await adapter.verify(before + other + after, KEYS.ed25519.publicPem))
      }
      verdicts.push(await adapter.verify(`${before}=${token.slice(at)}`, KEYS.ed25519.publicPem))
    }
    verdicts.push(await adapter.verify(`${token}=`, KEYS.ed25519.publicPem))
    verdicts.push(await adapter.verify(`${token}.`, KEYS.ed25519.publicPem))
    expect(verdicts.length).toBeGreaterThan(1000)
    expect(verdicts).not.toContain(true)
  })

  it('refuses every other spelling of the same signature', async () => {
    const token = seedToken()
    const last = token.at(-1) ?? ''
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const bytes = (text: string): Buffer => Buffer.from(text.slice(text.lastIndexOf('.') + 1), 'base64url')
    const spellings = [...alphabet]
      .filter((character) => character !== last)
      .map((character) => token.slice(0, -1) + character)
      .filter((spelling) => bytes(spelling).equals(bytes(token)))
    // 256 bytes leave four spare bits in the last character.
    expect(spellings).toHaveLength(15)
    for (const spelling of spellings) expect(await lenient.verify(spelling, KEYS.rsa.publicPem)).toBe(false)
  })

  it('minds the clock to the second, with the skew allowed', async () => {
    const start = 1_790_000_000
    const strict = new JwsAdapter({ expiresInSeconds: 10, clockSkewSeconds: 5 })
    vi.useFakeTimers({ now: start * 1000, toFake: ['Date'] })
    const token = await strict.generate('checkout', KEYS.p256.privatePem)
    const notBefore = tokenByHand('ES256', KEYS.p256, { keyName: 'checkout', nbf: start, exp: start + 10 })
    for (const [second, fromIat] of [
      [-6, false],
      [-5, true],
      [0, true],
      [14, true],
      [15, false],
    ] as const) {
      vi.setSystemTime((start + second) * 1000)
      expect([second, await strict.verify(token, KEYS.p256.publicPem)]).toEqual([second, fromIat])
      expect([second, await strict.verify(notBefore, KEYS.p256.publicPem)]).toEqual([second, fromIat])
    }
  })

  it('holds a token that has an expiry to it, also where others need none', async () => {
    expect(await lenient.verify(seedToken({ keyName: 'checkout', exp: now() - 61 }), KEYS.rsa.publicPem)).toBe(false)
    expect(await lenient.verify(seedToken({ keyName: 'checkout', iat: now() + 120 }), KEYS.rsa.publicPem)).toBe(false)
  })

  it('throws for no string, and accepts none', async () => {
    const almost = (await adapter.generate('checkout', KEYS.ed25519.privatePem)).split('.') as [string, string, string]
    const part = fc.oneof(fc.string({ unit: 'binary' }), fc.json(), fc.json().map(encode), fc.constantFrom(...almost))
    const text = fc.oneof(
      fc.string(),
      fc.array(part, { maxLength: 5 }).map((parts) => parts.join('.')),
    )
    await fc.assert(
      fc.asyncProperty(text, async (token) => {
        fc.pre(token !== almost.join('.'))
        const name = adapter.keyName(token)
        expect(name === null || typeof name === 'string').toBe(true)
        expect(await adapter.verify(token, KEYS.ed25519.publicPem)).toBe(false)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('keys', () => {
  it('that are weak or unreadable are faults and not verdicts', async () => {
    const weak = rsa(1024)
    const token = tokenByHand('RS256', weak, { keyName: 'checkout' })
    await expect(lenient.verify(token, weak.publicPem)).rejects.toMatchObject({ code: 'key-too-weak' })
    await expect(lenient.verify(token, 'rubbish')).rejects.toMatchObject({ code: 'key-malformed' })
    await expect(lenient.generate('checkout', weak.privatePem)).rejects.toMatchObject({ code: 'key-too-weak' })
    await expect(lenient.generate('checkout', 'rubbish')).rejects.toMatchObject({ code: 'key-malformed' })
  })

  it('sign and verify in the forms other tools write', async () => {
    for (const key of Object.values(KEYS)) {
      const jwk = JSON.stringify(key.privateKey.export({ format: 'jwk' }))
      const publicJwk = JSON.stringify(createPublicKey(key.privateKey).export({ format: 'jwk' }))
      const token = await adapter.generate('checkout', Buffer.from(jwk))
      expect(await adapter.verify(token, Buffer.from(publicJwk))).toBe(true)
    }
  })
})

describe('options', () => {
  it.each([
    { expiresInSeconds: 0 },
    { expiresInSeconds: 1.5 },
    { expiresInSeconds: Number.POSITIVE_INFINITY },
    { expiresInSeconds: '60' as unknown as number },
    { clockSkewSeconds: -1 },
    { clockSkewSeconds: Number.NaN },
    { acceptWithoutExpiry: 'false' as unknown as boolean },
  ])('%j is refused', (options) => {
    expect(() => new JwsAdapter(options)).toThrow(expect.objectContaining({ code: 'option-invalid' }))
  })

  it('a name that makes the token too long to be accepted is refused', async () => {
    const generated = adapter.generate('a'.repeat(9000), KEYS.p256.privatePem)
    await expect(generated).rejects.toMatchObject({ code: 'service-invalid' })
  })
})
