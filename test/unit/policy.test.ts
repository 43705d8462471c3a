import { describe, expect, it } from 'vitest'
import type { QueuePolicy } from '../../src/policy.ts'
import { Verifier, type VerifierOptions } from '../../src/verifier.ts'
import { judge, keysOf, lineOf, ManualClock, NOW, receivedWith, tokenOf, verifierFor } from './helpers.ts'
import { codeOf } from './keys/helpers.ts'

const keys = keysOf(lineOf('queues="**"'))
const policyFor = (options: Partial<VerifierOptions>, queue: string) =>
  verifierFor({ keys, ...options }).policyOf(queue)

describe('which policy a queue has', () => {
  const options: Partial<VerifierOptions> = {
    maxAgeSeconds: 1,
    rollout: 'observe',
    queues: {
      'orders.*': { maxAgeSeconds: 2 },
      '**,!payments': { maxAgeSeconds: 3 },
      'orders.eu': { maxAgeSeconds: 4, rollout: 'enforce' },
    },
  }

  it.each([
    ['orders.eu', 4, 'enforce'],
    ['orders.us', 2, 'observe'],
    ['orders.us.west', 3, 'observe'],
    ['payments', 1, 'observe'],
  ])('%s', (queue, maxAgeSeconds, rollout) => {
    expect(policyFor(options, queue)).toMatchObject({ maxAgeSeconds, rollout })
  })

  it('what is undefined for a queue takes nothing away from the default', () => {
    const undefineds = {
      maxAgeSeconds: undefined,
      destinations: undefined,
      rollout: undefined,
    } as object as QueuePolicy
    const policy = policyFor(
      { maxAgeSeconds: 60, destinations: ['amqp:a/b'], queues: { orders: undefineds } },
      'orders',
    )
    expect(policy).toMatchObject({ maxAgeSeconds: 60, delivered: false, rollout: 'enforce' })
  })

  it('defaults to enforcement, a week, and the address of the delivery', () => {
    expect(policyFor({}, 'orders')).toEqual({
      rollout: 'enforce',
      acceptUnsignedUntil: undefined,
      delivered: true,
      destinations: undefined,
      maxAgeSeconds: 604_800,
    })
  })

  it('a message comes back by its queue, the address it came by, and what the policy of its queue names', () => {
    const queues = { orders: { retryDestinations: ['amqp:/orders.retry', 'amqp:retry/*', '!amqp:retry/audit'] } }
    const verifier = verifierFor({ keys, queues })
    const received = receivedWith('x', { queue: 'orders', deliveredBy: ['amqp:x/a', 'amqp:x/b'] })
    const comesBack = (destination: string, queue?: string): boolean => verifier.comesBack(received, destination, queue)
    expect(comesBack('amqp:/orders', 'orders')).toBe(true)
    expect(comesBack('amqp:x/b')).toBe(true)
    expect(comesBack('amqp:/orders.retry', 'orders.retry')).toBe(true)
    expect(comesBack('amqp:retry/5s')).toBe(true)
    expect(comesBack('amqp:retry/audit')).toBe(false)
    expect(comesBack('amqp:/audit', 'audit')).toBe(false)
    expect(comesBack('amqp:x/c')).toBe(false)
    expect(verifier.comesBack({ ...received, queue: 'other' }, 'amqp:/orders.retry', 'orders.retry')).toBe(false)
  })

  it.each<[string, QueuePolicy]>([
    ['rollout', { rollout: 'enforced' as never }],
    ['an age of nothing', { maxAgeSeconds: 0 }],
    ['an age in words', { maxAgeSeconds: '7d' as never }],
    ['a date without a zone', { acceptUnsignedUntil: '2026-12-31T00:00' }],
    ['a date that is none', { acceptUnsignedUntil: new Date(Number.NaN) }],
    ['no destinations', { destinations: [] }],
    ['no retry destinations', { retryDestinations: [] }],
    ['retry destinations that are no list', { retryDestinations: 'amqp:/a' as never }],
    ['a retry destination that is no address', { retryDestinations: ['orders.retry'] }],
    ['a retry destination by the word for the delivery', { retryDestinations: ['delivered'] }],
    ['a destination without scheme', { destinations: ['orders/*'] }],
    ['a destination pattern that is none', { destinations: ['amqp:a b'] }],
    ['vetoes alone', { destinations: ['!amqp:orders/x'] }],
    // An address is percent-encoded, so these keep out nothing.
    ['a veto of a plus', { destinations: ['amqp:**', '!amqp:orders/a+b'] }],
    ['a veto of a colon', { destinations: ['amqp:**', '!amqp:orders/a:b'] }],
    ['a veto of a percent sign', { destinations: ['amqp:**', '!amqp:orders/%'] }],
    ['a veto in lower-case hexadecimal', { destinations: ['amqp:**', '!amqp:orders/a%2fb'] }],
  ])('%s is refused, as a default and for a queue', (_, policy) => {
    expect(codeOf(() => new Verifier({ keys, ...policy }))).toBe('option-invalid')
    expect(codeOf(() => new Verifier({ keys, queues: { orders: policy } }))).toBe('option-invalid')
  })

  it.each<[string, Partial<VerifierOptions>]>([
    ['keys', { keys: undefined as never }],
    ['queue patterns', { queues: { '***': {} } }],
    ['skew', { clockSkewSeconds: -1 }],
    ['an endless skew', { clockSkewSeconds: Number.POSITIVE_INFINITY }],
    ['lease', { leaseSeconds: 0 }],
  ])('%s that cannot be: refused', (_, options) => {
    expect(codeOf(() => new Verifier({ keys, ...options }))).toBe('option-invalid')
  })

  it('a replay store must remember for maximum age + 2 * skew + 1 s, for every queue', () => {
    const storing = (retentionSeconds: number) => ({ retentionSeconds }) as never
    const options = { keys, clockSkewSeconds: 10, maxAgeSeconds: 100, queues: { slow: { maxAgeSeconds: 1000 } } }
    expect(codeOf(() => new Verifier({ ...options, replay: storing(1020) }))).toBe('option-invalid')
    expect(new Verifier({ ...options, replay: storing(1021) }).retentionSeconds('slow')).toBe(1021)
  })
})

describe('destinations', () => {
  const received = (aud: string, deliveredBy: readonly string[]) =>
    receivedWith(tokenOf({ claims: { aud } }), { deliveredBy })
  const DELIVERED = ['amqp:orders/order.created']

  it.each<[string, readonly string[] | undefined, string, readonly string[], boolean]>([
    ['the address of the delivery', undefined, 'amqp:orders/order.created', DELIVERED, true],
    ['another exchange', undefined, 'amqp:orders2/order.created', DELIVERED, false],
    ['another transport', undefined, 'kafka:orders', DELIVERED, false],
    ['every address it was delivered by', undefined, 'amqp:/a', ['amqp:/a', 'amqp:/b'], false],
    ['no known address', undefined, 'amqp:/a', [], false],
    [
      'a pattern, and the delivery is of no account',
      ['amqp:orders/order.*'],
      'amqp:orders/order.created',
      ['amqp:/retry'],
      true,
    ],
    ['a pattern that does not match', ['amqp:orders/order.*'], 'amqp:orders/invoice', ['amqp:orders/invoice'], false],
    ['a veto', ['amqp:**', '!amqp:orders/*.deleted'], 'amqp:orders/order.deleted', DELIVERED, false],
    ['a veto of what is encoded', ['amqp:**', '!amqp:orders/a%2Bb'], 'amqp:orders/a%2Bb', DELIVERED, false],
    ['a veto of anything encoded', ['amqp:**', '!amqp:orders/a%??b'], 'amqp:orders/a%2Bb', DELIVERED, false],
    ['and of its neighbour', ['amqp:**', '!amqp:orders/a%2Bb'], 'amqp:orders/a-b', DELIVERED, true],
    ['both, in order', ['delivered', 'amqp:orders/*.*'], 'amqp:orders/order.created', DELIVERED, true],
    ['both, delivered elsewhere', ['delivered', 'amqp:orders/*.*'], 'amqp:orders/order.created', ['amqp:/x'], false],
    ['both, not on the list', ['delivered', 'amqp:other/*'], 'amqp:orders/order.created', DELIVERED, false],
    ['"delivered" alone', ['delivered'], 'amqp:orders/order.created', DELIVERED, true],
    ['"delivered" alone, elsewhere', ['delivered'], 'amqp:orders/order.created', ['amqp:/x'], false],
  ])('%s', (_, destinations, aud, deliveredBy, passes) => {
    const verifier = verifierFor({ keys, ...(destinations !== undefined && { destinations }) })
    const message = received(aud, deliveredBy)
    expect(judge(verifier, message)).toBe(passes ? 'authorized' : 'destination-mismatch')
    if (passes) {
      const compared = destinations === undefined || destinations.includes('delivered')
      expect(verifier.verify(message).addressFromToken).toBe(!compared)
    }
  })
})

describe('acceptUnsignedUntil', () => {
  it('lets a missing token pass until then, and never a bad one', () => {
    const clock = new ManualClock()
    const verifier = verifierFor({
      keys,
      clock,
      queues: { orders: { acceptUnsignedUntil: new Date((NOW + 10) * 1000) } },
    })
    const unsigned = receivedWith(undefined)
    expect(judge(verifier, unsigned)).toBe('unsigned')
    expect(judge(verifier, { ...unsigned, queue: 'other' })).toBe('token-missing')
    for (const token of [null, '', 'x', 0, [], ['a', 'b'], {}]) {
      expect(judge(verifier, receivedWith(token))).toMatch(/^token-(malformed|duplicated)$/)
    }
    expect(() => verifier.verify(unsigned)).toThrowError(expect.objectContaining({ code: 'token-missing' }))
    clock.advance(9.999)
    expect(judge(verifier, unsigned)).toBe('unsigned')
    clock.advance(0.001)
    expect(judge(verifier, unsigned)).toBe('token-missing')
  })

  it.each(['2026-01-01T00:00:10Z', '2026-01-01T01:00:10+01:00', '2026-01-02'])('reads %s', (text) => {
    const verifier = verifierFor({ keys, acceptUnsignedUntil: text })
    expect(judge(verifier, receivedWith(undefined))).toBe('unsigned')
  })
})

describe('an option that does not exist', () => {
  it.each([
    ['beside the keys', () => new Verifier({ keys, maxAgeSecond: 1 } as VerifierOptions)],
    ['for a queue', () => new Verifier({ keys, queues: { a: { roll: 'observe' } as QueuePolicy } })],
  ])('%s is refused', (_, make) => {
    expect(make).toThrow(expect.objectContaining({ code: 'option-invalid' }))
  })
})
