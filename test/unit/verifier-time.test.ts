import { describe, expect, it } from 'vitest'
import type { ReasonCode } from '../../src/reasons.ts'
import type { VerifierOptions } from '../../src/verifier.ts'
import { failing } from './deliveries.ts'
import { ChangingKeys, judge, keysOf, lineOf, ManualClock, NOW, receivedWith, tokenOf, verifierFor } from './helpers.ts'

const GOOD = receivedWith(tokenOf())

describe('one second either side', () => {
  const at = (seconds: number, claims: Record<string, unknown>, options: Partial<VerifierOptions>): string =>
    judge(verifierFor({ clock: new ManualClock().advance(seconds), ...options }), receivedWith(tokenOf({ claims })))
  const until = { keys: keysOf(lineOf('queues="orders",valid-before="2026-01-01T00:00:01Z"')), maxAgeSeconds: 12 }
  const from = { keys: keysOf(lineOf('queues="orders",valid-after="2026-01-01T00:00:01Z"')) }

  it.each<
    [string, number, Record<string, unknown>, number, Record<string, unknown>, ReasonCode, Partial<VerifierOptions>]
  >([
    ['clock skew', -60, {}, -61, {}, 'issued-in-future', {}],
    ['clock skew, none', 0, {}, -1, {}, 'issued-in-future', { clockSkewSeconds: 0 }],
    ['clock skew, as set', -5, {}, -6, {}, 'issued-in-future', { clockSkewSeconds: 5 }],
    ['maximum age', 604_800, {}, 604_801, {}, 'age-exceeded', {}],
    ['maximum age, as set', 10, {}, 11, {}, 'age-exceeded', { maxAgeSeconds: 10 }],
    [
      'maximum age of the queue',
      20,
      {},
      21,
      {},
      'age-exceeded',
      { maxAgeSeconds: 1, queues: { orders: { maxAgeSeconds: 20 } } },
    ],
    ['deadline', 30, { exp: NOW + 30 }, 31, { exp: NOW + 30 }, 'message-expired', {}],
    [
      'a deadline does not prolong the age',
      604_800,
      { exp: NOW + 9e5 },
      604_801,
      { exp: NOW + 9e5 },
      'age-exceeded',
      {},
    ],
    ['valid-after', 5, { iat: NOW + 1 }, 5, { iat: NOW }, 'key-not-yet-valid', from],
    ['valid-before', 5, { iat: NOW }, 5, { iat: NOW + 1 }, 'key-expired', until],
    ['valid-before and the age', 12, {}, 13, {}, 'age-exceeded', until],
    ['valid-before + maximum age', 12, {}, 14, {}, 'key-expired', until],
  ])('%s', (_, goodAt, good, badAt, bad, code, options) => {
    expect(at(goodAt, good, options)).toBe('authorized')
    expect(at(badAt, bad, options)).toBe(code)
  })

  it('no age is too great for Infinity', () => {
    expect(at(1e9, {}, { maxAgeSeconds: Number.POSITIVE_INFINITY })).toBe('authorized')
  })

  it.each([-1, 1.5, 1e300, 2 ** 53, '1767225600', null, true])('%j is no time', (time) => {
    expect(judge(verifierFor(), receivedWith(tokenOf({ claims: { iat: time } })))).toBe('token-malformed')
    expect(judge(verifierFor(), receivedWith(tokenOf({ claims: { exp: time } })))).toBe('token-malformed')
  })

  it('the largest time there is goes through every detail', () => {
    const verifier = verifierFor()
    expect(judge(verifier, receivedWith(tokenOf({ claims: { iat: Number.MAX_SAFE_INTEGER } })))).toBe(
      'issued-in-future',
    )
    expect(judge(verifier, receivedWith(tokenOf({ claims: { exp: Number.MAX_SAFE_INTEGER } })))).toBe('authorized')
  })
})

describe('a clock that jumps', () => {
  it.each([
    ['ahead', 3600],
    ['back', -3600],
    ['ahead, by a little more than the skew', 61],
    ['back, by a little more than the skew', -61],
  ])('%s: defers, and is trusted again after half a minute without a jump', (_, seconds) => {
    const clock = new ManualClock()
    const verifier = verifierFor({ clock, clockSkewSeconds: 60 })
    expect(judge(verifier, GOOD)).toBe('authorized')
    clock.jump(seconds)
    expect(judge(verifier, GOOD)).toBe('clock-unreliable')
    clock.advance(29)
    expect(judge(verifier, GOOD)).toBe('clock-unreliable')
    clock.jump(-seconds)
    expect(judge(verifier, GOOD)).toBe('clock-unreliable')
    clock.advance(30)
    expect(judge(verifier, GOOD)).toBe('authorized')
  })

  it('drift within the skew is no jump, however long it goes on', () => {
    const clock = new ManualClock()
    const verifier = verifierFor({ clock })
    for (let hour = 0; hour < 100; hour++) {
      clock.advance(3600).jump(2)
      expect(judge(verifier, GOOD)).toBe('authorized')
    }
  })

  it('does not defer what is wrong at any time', () => {
    const clock = new ManualClock()
    const verifier = verifierFor({ clock })
    clock.jump(-9999)
    expect(judge(verifier, { ...GOOD, queue: 'other' })).toBe('queue-not-authorized')
    expect(judge(verifier, { ...GOOD, deliveredBy: ['amqp:a/b'] })).toBe('destination-mismatch')
    expect(judge(verifier, receivedWith(undefined))).toBe('token-missing')
    expect(judge(verifier, { ...GOOD, payload: null })).toBe('clock-unreliable')
  })
})

describe('keys that come and go', () => {
  it('no snapshot defers everything with a token; a stale one only what it does not know', () => {
    const keys = new ChangingKeys(undefined)
    const verifier = verifierFor({ keys })
    const unknown = receivedWith(tokenOf({ algorithm: 'ES256' }))
    expect(judge(verifier, GOOD)).toBe('keys-unavailable')
    expect(judge(verifier, receivedWith(undefined))).toBe('token-missing')
    expect(judge(verifier, receivedWith('x'))).toBe('token-malformed')
    keys.use(keysOf(lineOf()))
    keys.stale = true
    expect(judge(verifier, GOOD)).toBe('authorized')
    expect(judge(verifier, unknown)).toBe('keys-unavailable')
    keys.stale = false
    expect(judge(verifier, unknown)).toBe('key-unknown')
  })

  it('recheck sees a revocation, a key taken out, a deadline and missing keys that came meanwhile', () => {
    const clock = new ManualClock()
    const keys = new ChangingKeys(keysOf(lineOf()))
    const verifier = verifierFor({ keys, clock })
    const received = receivedWith(tokenOf({ claims: { exp: NOW + 10 } }))
    const verified = verifier.verify(received)
    expect(verifier.recheck(verified, received)).toBeUndefined()
    clock.advance(10)
    expect(verifier.recheck(verified, received)).toBeUndefined()
    clock.advance(1)
    expect(verifier.recheck(verified, received)).toMatchObject({ code: 'message-expired' })
    clock.jump(-500)
    expect(verifier.recheck(verified, received)).toMatchObject({ code: 'clock-unreliable' })
    keys.snapshot = { keys: new Map(), isRevoked: (key) => key.keyId === verified.key.keyId }
    expect(verifier.recheck(verified, received)).toMatchObject({ code: 'key-revoked', service: 'checkout' })
    keys.snapshot = { keys: new Map(), isRevoked: () => false }
    expect(verifier.recheck(verified, received)).toMatchObject({ code: 'key-unknown', service: 'checkout' })
    keys.use(undefined)
    expect(verifier.recheck(verified, received)).toMatchObject({ code: 'keys-unavailable' })
  })

  it('a back-dated token does not help a revoked key', () => {
    const keys = new ChangingKeys(keysOf(lineOf()))
    const verifier = verifierFor({ keys })
    const { snapshot } = keys
    keys.snapshot = snapshot === undefined ? undefined : { ...snapshot, isRevoked: () => true }
    expect(judge(verifier, receivedWith(tokenOf({ claims: { iat: NOW - 600_000 } })))).toBe('key-revoked')
  })
})

describe('probe', () => {
  it('says whether messages could be judged: keys, clock and replay store', async () => {
    const clock = new ManualClock()
    const keys = new ChangingKeys(undefined)
    let store: () => void | Promise<void> = () => undefined
    const verifier = verifierFor({ clock, keys, replay: { release: () => store() } as never })
    expect(await verifier.probe()).toBe(false)
    keys.use(keysOf(lineOf()))
    expect(await verifier.probe()).toBe(true)
    for (const failure of [async () => failing(), failing]) {
      store = failure
      expect(await verifier.probe()).toBe(false)
    }
    store = () => undefined
    clock.jump(9999)
    expect(await verifier.probe()).toBe(false)
    clock.advance(31)
    expect(await verifier.probe()).toBe(true)
    expect(await verifierFor({ replay: 'off' }).probe()).toBe(true)
  })
})
