import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { QueuePatterns } from '../../../src/authorized-keys/patterns.ts'
import { SetupError } from '../../../src/errors.ts'

/** The meaning of a single pattern, written as its definition reads and with no thought of cost. */
function means(pattern: string, name: string): boolean {
  if (pattern === '') return name === ''
  const plain = name !== '' && !'./:'.includes(name.charAt(0))
  if (pattern.startsWith('**')) {
    return means(pattern.slice(2), name) || (name !== '' && means(pattern, name.slice(1)))
  }
  if (pattern.startsWith('*')) {
    return plain && (means(pattern.slice(1), name.slice(1)) || means(pattern, name.slice(1)))
  }
  if (pattern.startsWith('?')) return name !== '' && means(pattern.slice(1), name.slice(1))
  return name !== '' && pattern.charAt(0) === name.charAt(0) && means(pattern.slice(1), name.slice(1))
}

const matches = (list: string, name: string) => QueuePatterns.parse(list).matches(name)

describe('queue patterns', () => {
  it.each([
    ['orders', ['orders'], ['order', 'orders.a', 'Orders', 'xorders', '']],
    ['orders.*', ['orders.created', 'orders.x'], ['orders', 'orders.', 'orders.a.b', 'orders.a/b', 'orders.a:b']],
    ['*', ['orders', 'a'], ['', 'a.b', '.', '/', ':']],
    ['*.dead', ['orders.dead'], ['.dead', 'a.b.dead', 'orders.deadly']],
    ['a*', ['ab', 'abc'], ['a', 'a.b']],
    ['**', ['orders', 'a.b/c:d', ''], []],
    ['orders.**', ['orders.', 'orders.a.b'], ['orders', 'xorders.a']],
    ['**.dead', ['a.b.dead', '.dead'], ['dead', 'a.dead.x']],
    ['a?c', ['abc', 'aéc', 'a\u{1F600}c', 'a.c', 'a/c', 'a:c'], ['ac', 'abbc']],
    ['*?*c', ['ab.dc'], ['ab.c']],
    ['{orders}:[1]', ['{orders}:[1]'], ['{orders}:1']],
    ['order?created', ['order created', 'order,created', 'order"created', 'order.created'], ['ordercreated']],
    ['**,!payments.**', ['orders', 'payments', 'x.payments.y'], ['payments.', 'payments.in']],
    ['!orders.secret,orders.*', ['orders.created'], ['orders.secret', 'other']],
  ])('%s', (list, allowed, refused) => {
    for (const name of allowed) expect({ name, matches: matches(list, name) }).toEqual({ name, matches: true })
    for (const name of refused) expect({ name, matches: matches(list, name) }).toEqual({ name, matches: false })
  })

  it('keeps the list as it was written, and takes an array as well', () => {
    expect(QueuePatterns.parse('a.*,!a.b').patterns).toEqual(['a.*', '!a.b'])
    expect(QueuePatterns.parse(['a.*', '!a.b']).patterns).toEqual(['a.*', '!a.b'])
  })

  it('matches what its definition says', () => {
    const pattern = fc
      .array(fc.constantFrom('a', 'b', '.', '/', '*', '**', '?'), { minLength: 1, maxLength: 8 })
      .map((parts) => parts.join(''))
      .filter((text) => !text.includes('***'))
    const name = fc.array(fc.constantFrom('a', 'b', '.', '/', ':'), { maxLength: 9 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(
        fc.array(pattern, { minLength: 1, maxLength: 3 }),
        fc.array(pattern, { maxLength: 2 }),
        name,
        (allow, veto, text) => {
          const patterns = QueuePatterns.parse([...allow, ...veto.map((one) => `!${one}`)])
          const expected = allow.some((one) => means(one, text)) && !veto.some((one) => means(one, text))
          expect(patterns.matches(text)).toBe(expected)
          expect(patterns.matches(text)).toBe(expected)
        },
      ),
      { numRuns: 3000 },
    )
  })

  it('still answers rightly after more names than it remembers', () => {
    const patterns = QueuePatterns.parse('queue.1*')
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 300; index++) {
        expect(patterns.matches(`queue.${index}`)).toBe(String(index).startsWith('1') && index !== 1)
      }
    }
  })

  it('gets through a pattern made to be slow', () => {
    const patterns = QueuePatterns.parse(`**${'a*'.repeat(60)}${'a**'.repeat(40)}b`)
    expect(patterns.matches('a'.repeat(20_000))).toBe(false)
  })

  it.each([
    ['nothing', ''],
    ['an empty pattern', 'a,,b'],
    ['an empty pattern at the end', 'a,'],
    ['a lone veto mark', 'a,!'],
    ['a doubled veto mark', 'a,!!b'],
    ['three stars', 'a.***'],
    ['four stars', '****'],
    ['vetoes alone', '!a,!b'],
    ['a space', 'a b'],
    ['a space after the comma', 'a, b'],
    ['a quote', 'a"b'],
    ['a backslash', 'a\\*'],
    ['a control character', 'a\nb'],
    ['a letter outside ASCII', 'größe'],
    ['the wildcard of AMQP topics', 'orders.#'],
    ['256 characters', 'a'.repeat(256)],
    ['65 patterns', Array(65).fill('a').join(',')],
    ['an empty array', []],
    ['a comma in an array', ['a,b']],
    ['something else in an array', [1 as unknown as string]],
  ])('refuses %s', (_, list) => {
    expect(() => QueuePatterns.parse(list)).toThrow(expect.objectContaining({ code: 'authorized-keys-invalid' }))
  })

  it('accepts what is just within the limits', () => {
    const longest = 'a'.repeat(255)
    expect(matches(`b,!${longest}`, 'b')).toBe(true)
    expect(QueuePatterns.parse(Array(64).fill(longest)).matches(longest)).toBe(true)
    expect(matches('a#b', 'a#b')).toBe(true)
  })

  it('names the column of the pattern at fault', () => {
    const position = { file: 'keys', line: 3, column: 10 }
    let error: unknown
    try {
      QueuePatterns.parse('a.*,!b,c***', position)
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(SetupError)
    expect((error as SetupError).position).toEqual({ file: 'keys', line: 3, column: 17 })
  })
})
