import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JwsAdapter, JwtKeyAuth, type KeyLookup, KeyStore } from '../../../src/jwt-key-auth/index.ts'
import { ed25519, now, p256, rsa, tokenByHand, verifiedByHand } from './tokens.ts'

const checkout = rsa()
const billing = ed25519()

/** A service with its private key and the public keys it was given. */
async function service(privatePem: string | undefined, known: Readonly<Record<string, string>>): Promise<JwtKeyAuth> {
  const store = new KeyStore()
  for (const [name, publicPem] of Object.entries(known)) await store.add(name, Buffer.from(publicPem))
  if (privatePem !== undefined) await store.addPrivate(Buffer.from(privatePem))
  return new JwtKeyAuth(new JwsAdapter(), store)
}

describe('JwtKeyAuth', () => {
  it('tells a service that holds its public key who is calling', async () => {
    const erp = await service(undefined, { checkout: checkout.publicPem, billing: billing.publicPem })
    const token = await (await service(checkout.privatePem, {})).generate('checkout')
    expect(verifiedByHand(token, checkout.publicKey)?.claims).toMatchObject({ keyName: 'checkout' })
    expect(await erp.verify(token)).toBe(true)
    expect(await erp.verify(await (await service(billing.privatePem, {})).generate('billing'))).toBe(true)
  })

  it('lets nobody call under another name', async () => {
    const erp = await service(undefined, { checkout: checkout.publicPem, billing: billing.publicPem })
    const thief = await service(billing.privatePem, {})
    for (const name of ['checkout', 'Billing', 'billing ', '__proto__', 'constructor', 'toString', '../checkout']) {
      expect(await erp.verify(await thief.generate(name))).toBe(false)
    }
  })

  it('knows a service called __proto__ when it was given its key', async () => {
    const erp = await service(undefined, JSON.parse(JSON.stringify({ ['__proto__']: billing.publicPem })))
    expect(await erp.verify(await (await service(billing.privatePem, {})).generate('__proto__'))).toBe(true)
  })

  it('answers false to rubbish of every type', async () => {
    const erp = await service(undefined, { checkout: checkout.publicPem })
    const valid = tokenByHand('RS256', checkout, { keyName: 'checkout', exp: now() + 60 })
    expect(await erp.verify(valid)).toBe(true)
    const rubbish = [undefined, null, true, 0, Number.NaN, 1n, Symbol('token'), {}, [], [valid], () => valid]
    const huge = 'a'.repeat(1_048_576)
    const texts = ['', '.', '..', '...', huge, `${huge}.${huge}.${huge}`, `${valid}.${huge}`, ` ${valid}`, `${valid}\n`]
    for (const token of [...rubbish, ...texts, Buffer.from(valid), new String(valid), { toString: () => valid }]) {
      expect(await erp.verify(token)).toBe(false)
    }
    await fc.assert(
      fc.asyncProperty(fc.anything(), async (token) => {
        expect(await erp.verify(token)).toBe(false)
      }),
      { numRuns: 2000 },
    )
  })

  it('cannot make a token without a name or a private key', async () => {
    const keyless = await service(undefined, {})
    await expect(keyless.generate('checkout')).rejects.toMatchObject({ code: 'key-missing' })
    const unnamed = await service(billing.privatePem, {})
    await expect(unnamed.generate('')).rejects.toMatchObject({ code: 'service-invalid' })
    await expect(unnamed.generate(undefined as unknown as string)).rejects.toMatchObject({ code: 'service-invalid' })
  })

  it('hands on the fault of a store, which says nothing about the token', async () => {
    const fault = new Error('store unreachable')
    const failing: KeyLookup = { get: () => Promise.reject(fault), getPrivate: () => Promise.reject(fault) }
    const auth = new JwtKeyAuth(new JwsAdapter(), failing)
    await expect(auth.verify(await (await service(billing.privatePem, {})).generate('billing'))).rejects.toBe(fault)
    await expect(auth.generate('billing')).rejects.toBe(fault)
    expect(await auth.verify('rubbish')).toBe(false)
  })

  it('works with a token service and a store of the application', async () => {
    const { publicPem, privatePem } = p256()
    const store: KeyLookup = {
      get: async (name) => (name === 'a' ? publicPem : null),
      getPrivate: async () => privatePem,
    }
    const auth = new JwtKeyAuth(new JwsAdapter(), store)
    expect(await auth.verify(await auth.generate('a'))).toBe(true)
    expect(await auth.verify(await auth.generate('b'))).toBe(false)
    const plain = new JwtKeyAuth(
      { generate: async (name) => name, keyName: (token) => String(token), verify: async (token) => token === 'a' },
      store,
    )
    expect([await plain.generate('a'), await plain.verify('a'), await plain.verify('b')]).toEqual(['a', true, false])
  })
})
