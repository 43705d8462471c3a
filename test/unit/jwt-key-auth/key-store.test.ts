import { describe, expect, it } from 'vitest'
import { KeyStore } from '../../../src/jwt-key-auth/index.ts'
import { ed25519, p256, rsa } from './tokens.ts'

const one = ed25519()
const two = p256()

describe('KeyStore', () => {
  it('gives out the bytes it was given', async () => {
    const store = new KeyStore()
    await store.add('checkout', Buffer.from(one.publicPem))
    await store.add('billing', two.publicPem)
    await store.addPrivate(Buffer.from(one.privatePem))
    expect(await store.get('checkout')).toEqual(Buffer.from(one.publicPem))
    expect(await store.get('billing')).toEqual(Buffer.from(two.publicPem))
    expect(await store.getPrivate()).toEqual(Buffer.from(one.privatePem))
    const listed: [string, string][] = []
    for (const [name, key] of store.entries() as Iterable<readonly [string, string | Uint8Array]>) {
      listed.push([name, Buffer.from(key as Uint8Array).toString()])
    }
    expect(listed).toEqual([
      ['checkout', one.publicPem],
      ['billing', two.publicPem],
    ])
  })

  it('is not changed through the bytes it was given or gave out', async () => {
    const store = new KeyStore()
    const given = [Buffer.from(one.publicPem), Buffer.from(one.privatePem)] as const
    await store.add('checkout', given[0])
    await store.addPrivate(given[1])
    const out = [await store.get('checkout'), await store.getPrivate(), ...[...store.entries()].map(([, key]) => key)]
    for (const bytes of [...given, ...out]) bytes?.fill(0)
    expect(await store.get('checkout')).toEqual(Buffer.from(one.publicPem))
    expect(await store.getPrivate()).toEqual(Buffer.from(one.privatePem))
  })

  it('knows no name that was not added', async () => {
    const store = new KeyStore()
    await store.add('checkout', one.publicPem)
    for (const name of ['', 'Checkout', '__proto__', 'constructor', 'hasOwnProperty']) {
      expect(await store.get(name)).toBe(null)
    }
    await expect(store.getPrivate()).rejects.toMatchObject({ code: 'key-missing' })
  })

  it('refuses a second key under a name and a second private key, and keeps the first', async () => {
    const store = new KeyStore()
    await store.add('checkout', one.publicPem)
    await store.addPrivate(one.privatePem)
    await expect(store.add('checkout', two.publicPem)).rejects.toMatchObject({ code: 'key-duplicate' })
    await expect(store.addPrivate(two.privatePem)).rejects.toMatchObject({ code: 'key-duplicate' })
    expect(await store.get('checkout')).toEqual(Buffer.from(one.publicPem))
    expect(await store.getPrivate()).toEqual(Buffer.from(one.privatePem))
  })

  it('refuses what must not be under a service name, and holds nothing then', async () => {
    const store = new KeyStore()
    const weak = rsa(1024)
    const encrypted = one.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'pass' })
    const jwk = JSON.stringify(one.privateKey.export({ format: 'jwk' }))
    for (const [key, code] of [
      [one.privatePem, 'key-private-in-public-place'],
      [encrypted, 'key-private-in-public-place'],
      [jwk, 'key-private-in-public-place'],
      [`${one.publicPem}${one.privatePem}`, 'key-private-in-public-place'],
      [weak.publicPem, 'key-too-weak'],
      ['', 'key-malformed'],
      ['rubbish', 'key-malformed'],
      [undefined, 'key-malformed'],
    ] as const) {
      await expect(store.add('checkout', key as string)).rejects.toMatchObject({ code })
    }
    await expect(store.add('', one.publicPem)).rejects.toMatchObject({ code: 'service-invalid' })
    await expect(store.add(7 as unknown as string, one.publicPem)).rejects.toMatchObject({ code: 'service-invalid' })
    expect([...store.entries()]).toEqual([])
  })

  it('gives out an encrypted private key opened', async () => {
    const passphrase = 'correct horse'
    const encrypted = one.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase })
    const store = new KeyStore()
    await store.addPrivate(encrypted, { passphrase })
    expect(await store.getPrivate()).toEqual(Buffer.from(one.privatePem))
  })

  it('refuses a private key it cannot sign with', async () => {
    const store = new KeyStore()
    const encrypted = one.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'pass' })
    for (const [key, code] of [
      [encrypted, 'key-encrypted'],
      [rsa(1024).privatePem, 'key-too-weak'],
      ['rubbish', 'key-malformed'],
    ] as const) {
      await expect(store.addPrivate(key)).rejects.toMatchObject({ code })
    }
    await expect(store.getPrivate()).rejects.toMatchObject({ code: 'key-missing' })
  })
})
