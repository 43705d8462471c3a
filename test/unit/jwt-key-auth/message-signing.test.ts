import { describe, expect, it } from 'vitest'
import { AuthorizedKeys } from '../../../src/authorized-keys/authorized-keys.ts'
import { JwsAdapter, JwtKeyAuth, KeyStore } from '../../../src/jwt-key-auth/index.ts'
import { Signer } from '../../../src/signer.ts'
import { Verifier } from '../../../src/verifier.ts'
import { ed25519 } from './tokens.ts'

describe('a key store', () => {
  it('feeds a signer and authorized keys, whose tokens are not those of JwtKeyAuth', async () => {
    const { publicPem, privatePem } = ed25519()
    const store = new KeyStore()
    await store.add('checkout', publicPem)
    await store.addPrivate(privatePem)

    const signer = Signer.fromKey(await store.getPrivate(), { service: 'checkout' })
    const keys = AuthorizedKeys.fromKeyStore(store, { orders: ['checkout'] })
    const verifier = new Verifier({ keys })
    const auth = new JwtKeyAuth(new JwsAdapter({ acceptWithoutExpiry: true }), store)

    const message = { destination: 'amqp:/orders', payload: Buffer.from('{}') }
    const received = { ...message, queue: 'orders', deliveredBy: ['amqp:/orders'] }
    const messageToken = signer.sign(message)
    expect(verifier.verify({ ...received, token: messageToken })).toMatchObject({ sender: { service: 'checkout' } })
    expect(await auth.verify(messageToken)).toBe(false)

    const callerToken = await auth.generate('checkout')
    expect(await auth.verify(callerToken)).toBe(true)
    expect(() => verifier.verify({ ...received, token: callerToken })).toThrow(
      expect.objectContaining({ code: 'token-malformed' }),
    )
  })
})
