import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { AuthorizedKeys } from '../../../src/authorized-keys/authorized-keys.ts'
import { QueuePatterns } from '../../../src/authorized-keys/patterns.ts'
import type { AuthorizedKey, AuthorizedLine } from '../../../src/authorized-keys/snapshot.ts'
import { matchLines } from '../../../src/checks.ts'
import * as text from '../../../src/text.ts'
import { testKey } from './keys.ts'

vi.mock('../../../src/text.ts', { spy: true })

const rsa = testKey('PS256')
const policy = {
  maxAgeSeconds: 3_600,
  rollout: 'enforce',
  delivered: true,
  acceptUnsignedUntil: undefined,
  destinations: undefined,
} as const

function keyOf(lines: readonly string[]): AuthorizedKey {
  const keys = AuthorizedKeys.parse(lines.map((line) => `${line} ${rsa.line}`).join('\n'))
  const key = keys.snapshot?.keys.get(rsa.publicKey.keyId)
  if (key === undefined) throw new Error('the key is there')
  return key
}

const NOW = Date.parse('2026-06-01T00:00Z') / 1000
const claims = (iss: string, iat = NOW) => ({ iss, iat, aud: '', jti: '', bh: null, hh: '' })

/** Everything whose number could grow with the lines: patterns that are tried, names that are compared, words. */
function operations(key: AuthorizedKey, iss: string, queue: string): { code: string | undefined; count: number } {
  vi.clearAllMocks()
  const matches = vi.spyOn(QueuePatterns.prototype, 'matches')
  const includes = vi.spyOn(Array.prototype, 'includes')
  const quote = vi.spyOn(text, 'quote')
  const date = vi.spyOn(Date.prototype, 'toISOString')
  try {
    const code = matchLines(key, queue, claims(iss), 'PS256', policy, NOW * 1000)?.code
    const count = [matches, includes, quote, date].reduce((sum, spy) => sum + spy.mock.calls.length, 0)
    return { code, count }
  } finally {
    vi.restoreAllMocks()
  }
}

afterEach(() => vi.restoreAllMocks())

describe('a key with 1,000 lines', () => {
  const end = ',valid-before="2026-01-01"'
  it.each<[string, (index: number) => string, string | undefined]>([
    ['for other queues', (index) => `checkout queues="q${index}.*"`, undefined],
    ['of other services', (index) => `s${index} queues="orders"`, undefined],
    ['whose window is over', () => `checkout queues="orders"${end}`, undefined],
    ['for another algorithm', () => 'checkout queues="orders",alg="RS256"', undefined],
  ])('lines %s, and the last that allows: no more is done for a message than with that line alone', (_, lineOf) => {
    const many = keyOf([...Array.from({ length: 999 }, (_, index) => lineOf(index)), 'checkout queues="orders"'])
    const one = keyOf(['checkout queues="orders"'])
    // The first message finds out which lines are for the queue.
    operations(many, 'checkout', 'orders')
    const [of1000, of1] = [operations(many, 'checkout', 'orders'), operations(one, 'checkout', 'orders')]
    expect([of1000.code, of1.code]).toEqual([undefined, undefined])
    expect(of1000.count).toBeLessThanOrEqual(of1.count)
  })

  it.each([
    ['another service', 'etl', 'orders', 'service-mismatch'],
    ['another queue', 'checkout', 'payments', 'queue-not-authorized'],
    ['a window that is over', 'checkout', 'old', 'key-expired'],
    ['another algorithm', 'checkout', 'erp', 'alg-not-allowed'],
  ])('refuses for %s with one explanation, not with a thousand', (_, iss, queue, code) => {
    const lines = (count: number): string[] =>
      Array.from({ length: count }, (_, index) => [
        `checkout queues="orders,q${index}"`,
        `checkout queues="old"${end}`,
        `checkout queues="erp",alg="RS256"`,
      ]).flat()
    const [many, few] = [keyOf(lines(333)), keyOf(lines(2))]
    operations(many, iss, queue)
    operations(few, iss, queue)
    const [ofMany, ofFew] = [operations(many, iss, queue), operations(few, iss, queue)]
    expect([ofMany.code, ofFew.code]).toEqual([code, code])
    expect(ofMany.count).toBe(ofFew.count)
  })

  it('a flood of names is looked up and not tried line by line, nor remembered without end', () => {
    const key = keyOf(Array.from({ length: 1_000 }, (_, index) => `s${index} queues="orders"`))
    for (let index = 0; index < 1_000; index++) {
      expect(operations(key, `other${index}`, 'orders').count).toBeLessThan(50)
    }
    const own = key.index?.of('s1')
    const answers = Array.from({ length: 1_000 }, (_, index) => own?.for(`q${index}`).length)
    expect(new Set(answers)).toEqual(new Set([0]))
    expect(own?.for('orders')).toHaveLength(1)
  })
})

it('says the same with many lines as each line says by itself', () => {
  const service = fc.constantFrom('a', 'b', 'a,b')
  const queues = fc.constantFrom('x', 'x.*', '**', '**,!y', 'y')
  const options = fc.constantFrom(
    '',
    ',alg="RS256"',
    ',valid-before="2026-05-31"',
    ',valid-before="2026-05-01"',
    ',valid-after="2026-07-01"',
  )
  const line = fc.tuple(service, queues, options).map(([who, where, more]) => `${who} queues="${where}"${more}`)
  fc.assert(
    fc.property(
      fc.array(line, { minLength: 1, maxLength: 12 }),
      fc.constantFrom('a', 'b', 'c'),
      fc.constantFrom('x', 'x.1', 'y'),
      fc.constantFrom(NOW, NOW - 7 * 86_400),
      (lines, iss, queue, iat) => {
        const key = keyOf(lines)
        const judged = matchLines(key, queue, claims(iss, iat), 'PS256', policy, NOW * 1000)
        const order = ['service-mismatch', 'queue-not-authorized', 'key', 'alg-not-allowed', undefined]
        const alone = key.lines.map((each: AuthorizedLine) =>
          matchLines({ ...key, lines: [each], index: undefined }, queue, claims(iss, iat), 'PS256', policy, NOW * 1000),
        )
        const rank = (code: string | undefined): number =>
          order.indexOf(code?.startsWith('key-') === true ? 'key' : code)
        const furthest = Math.max(...alone.map((refusal) => rank(refusal?.code)))
        const expected = alone.find((refusal) => rank(refusal?.code) === furthest)
        // Which of several services a key belongs to is said of its first line.
        expect(judged).toEqual(expected)
      },
    ),
    { numRuns: 500 },
  )
})
