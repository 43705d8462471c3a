import { afterEach, describe, expect, it, vi } from 'vitest'
import { AuthorizedKeys } from '../../../src/authorized-keys/authorized-keys.ts'
import { testKey } from './keys.ts'

const key = testKey()
const checkout = testKey()

afterEach(() => {
  vi.useRealTimers()
})

describe('can()', () => {
  it('tests a line as a whole, and mixes nothing across lines', () => {
    const keys = AuthorizedKeys.parse(
      `a,b queues="x.*,!x.secret" ${key.line}\nb queues="y" ${key.line}\nc queues="x.secret" ${checkout.line}`,
    )
    const allowed = (service: string) => ['x.1', 'x.secret', 'y', 'z'].filter((queue) => keys.can(service, queue))
    expect({ a: allowed('a'), b: allowed('b'), c: allowed('c'), d: allowed('d') }).toEqual({
      a: ['x.1'],
      b: ['x.1', 'y'],
      c: ['x.secret'],
      d: [],
    })
    expect(keys.can('__proto__', 'y')).toBe(false)
  })

  it('is true from the first second of the window to the last', () => {
    const keys = AuthorizedKeys.parse(
      `a queues="q",valid-after="2026-12-01",valid-before="2026-12-02T00:00Z" ${key.line}`,
    )
    vi.useFakeTimers()
    const at = (time: string) => {
      vi.setSystemTime(new Date(time))
      return keys.can('a', 'q')
    }
    expect(at('2026-11-30T23:59:59.999Z')).toBe(false)
    expect(at('2026-12-01T00:00:00.000Z')).toBe(true)
    expect(at('2026-12-01T23:59:59.999Z')).toBe(true)
    expect(at('2026-12-02T00:00:00.000Z')).toBe(false)
  })
})

describe('parse()', () => {
  it('takes strings and nothing else', () => {
    const bytes = Buffer.from('# nobody') as never
    for (const parse of [() => AuthorizedKeys.parse(bytes), () => AuthorizedKeys.parse('', { revokedKeys: bytes })]) {
      expect(parse).toThrow(expect.objectContaining({ code: 'option-invalid' }))
    }
  })
})

describe('keys from a key store', () => {
  const pem = key.publicKey.keyObject.export({ type: 'spki', format: 'pem' }).toString()
  const store = new Map<string, string | Uint8Array>([
    ['checkout', checkout.line],
    ['erp', Buffer.from(pem)],
    ['unused', 'not a key'],
  ])

  it('are allowed what the policy says', () => {
    const keys = AuthorizedKeys.fromKeyStore(store, { 'orders.*,!orders.x': ['checkout', 'erp'], audit: ['erp'] })
    expect([keys.can('checkout', 'orders.1'), keys.can('erp', 'orders.1')]).toEqual([true, true])
    expect([keys.can('checkout', 'orders.x'), keys.can('checkout', 'audit')]).toEqual([false, false])
    expect([keys.can('erp', 'audit'), keys.can('unused', 'audit')]).toEqual([true, false])
    const lines = keys.snapshot?.keys.get(key.publicKey.keyId)?.lines
    expect(lines?.map((line) => [line.services, line.queues.patterns, line.algorithm])).toEqual([
      [['erp'], ['orders.*', '!orders.x'], 'Ed25519'],
      [['erp'], ['audit'], 'Ed25519'],
    ])
    expect(keys.snapshot?.isRevoked(key.publicKey)).toBe(false)
    expect(keys.refresh).toBeUndefined()
    keys.close()
  })

  it.each([
    ['option-invalid', 'a service without a key', { q: ['checkout', 'billing'] }],
    ['option-invalid', 'a bad queue pattern', { 'q***': ['checkout'] }],
    ['option-invalid', 'an empty queue pattern', { '': ['checkout'] }],
    ['option-invalid', 'a service instead of an array', { q: 'checkout' }],
    ['option-invalid', 'an array', ['checkout']],
    ['option-invalid', 'nothing', null],
    ['service-invalid', 'a bad service name', { q: ['check out'] }],
    ['service-invalid', 'what is no name', { q: [1] }],
    ['key-malformed', 'a service whose key cannot be read', { q: ['unused'] }],
  ])('are refused with %s for %s', (code, _, policy) => {
    const make = () => AuthorizedKeys.fromKeyStore(store, policy as never)
    expect(make).toThrow(expect.objectContaining({ code }))
  })

  it('are refused when two have one name, or one is private', () => {
    const entries = [['a', key.line] as const, ['a', checkout.line] as const]
    const policy = { q: ['a'] }
    expect(() => AuthorizedKeys.fromKeyStore({ entries: () => entries }, policy)).toThrow(
      expect.objectContaining({ code: 'key-duplicate' }),
    )
    expect(() => AuthorizedKeys.fromKeyStore(new Map([['a', key.privatePem]]), policy)).toThrow(
      expect.objectContaining({ code: 'key-private-in-public-place' }),
    )
  })
})
