import { hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestParts, isCoverableName } from '../../src/covered-parts.ts'
import type { CoveredProperties, Headers, HeaderValue } from '../../src/message.ts'
import { setupErrorOf } from './keys/helpers.ts'
import { preimage } from './preimage.ts'

const text = fc.string({ unit: 'binary', maxLength: 6 }).filter((value) => value.isWellFormed())
const leaf: fc.Arbitrary<HeaderValue> = fc.oneof(
  text,
  fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
  fc.boolean(),
  fc.constant(null),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Number.isInteger(n)),
)
const value = fc.letrec<{ node: HeaderValue; leaf: HeaderValue }>((tie) => ({
  leaf,
  node: fc.oneof(
    { depthSize: 'small' },
    tie('leaf'),
    fc.array(tie('node'), { maxLength: 3 }),
    fc.dictionary(text, tie('node'), { maxKeys: 3 }),
  ),
})).node
const name = fc
  .string({ unit: fc.constantFrom('a', 'b', 'x', '-', '@', 'A', '~'), minLength: 1, maxLength: 3 })
  .filter(isCoverableName)
const headers = fc.dictionary(name, value, { maxKeys: 4 })
const properties: fc.Arbitrary<CoveredProperties> = fc.record(
  {
    key: text,
    type: text,
    contentType: text,
    contentEncoding: text,
    replyTo: text,
    correlationId: text,
    messageId: text,
    appId: text,
  },
  { requiredKeys: [] },
)
const digest = (props: CoveredProperties, table: Headers): string =>
  digestParts(props, table, Object.keys(table).sort())

describe('the digest of the covered parts', () => {
  it('is what the specification says', () => {
    fc.assert(
      fc.property(properties, headers, (props, table) => {
        const names = Object.keys(table).sort()
        expect(digestParts(props, table, names)).toBe(hash('sha256', preimage(props, table, names), 'base64url'))
      }),
    )
  })

  it('differs for every two different sets of parts', () => {
    fc.assert(
      fc.property(properties, headers, properties, headers, (props, table, otherProps, otherTable) => {
        const same = preimage(props, table, Object.keys(table).sort()).equals(
          preimage(otherProps, otherTable, Object.keys(otherTable).sort()),
        )
        expect(digest(props, table) === digest(otherProps, otherTable)).toBe(same)
        expect(same).toBe(canonical(props, table) === canonical(otherProps, otherTable))
      }),
      { numRuns: 1000 },
    )
  })

  it('differs when bytes move between a name and its value, or between neighbours', () => {
    const short = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(
        fc.array(fc.tuple(short, short), { minLength: 1, maxLength: 3 }),
        fc.array(fc.tuple(short, short), { minLength: 1, maxLength: 3 }),
        (one, other) => {
          const [left, right] = [Object.fromEntries(one), Object.fromEntries(other)]
          expect(digest({}, left) === digest({}, right)).toBe(canonical({}, left) === canonical({}, right))
        },
      ),
      { numRuns: 1000 },
    )
    expect(digest({ type: 'ab' }, {})).not.toBe(digest({ type: 'a', contentType: 'b' }, {}))
    expect(digest({ messageId: 'a' }, {})).not.toBe(digest({ correlationId: 'a' }, {}))
  })

  it.each<[string, HeaderValue, HeaderValue]>([
    ['absent and empty', undefined, ''],
    ['absent and null', undefined, null],
    ['null and empty', null, ''],
    ['a number and its text', 1, '1'],
    ['true and its text', true, 'true'],
    ['false and null', false, null],
    ['a list of one and the one', ['a'], 'a'],
    ['an empty list and an empty table', [], {}],
    ['a list within a list', [['a'], 'b'], ['a', ['b']]],
    ['order in a list', ['a', 'b'], ['b', 'a']],
    ['a table and a list of its members', { a: 'b' }, ['a', 'b']],
    ['NFC and NFD', '\u00e9', 'e\u0301'],
    ['bytes that are not UTF-8 and U+FFFD', Buffer.of(0xff), '\ufffd'],
    ['numbers that differ in their last bit', 0.1 + 0.2, 0.3],
  ])('tells apart: %s', (_, one, other) => {
    expect(digestParts({}, { h: one }, ['h'])).not.toBe(digestParts({}, { h: other }, ['h']))
  })

  it.each<[string, HeaderValue, HeaderValue]>([
    ['a string and its UTF-8', 'é\u{1f600}', Buffer.from('é\u{1f600}')],
    ['the first character beyond ASCII and its UTF-8', '\u0080', Buffer.from('\u0080')],
    ['the last of ASCII and its UTF-8', '\u007f', Buffer.of(0x7f)],
    ['a Buffer and a Uint8Array', Buffer.from('a'), new Uint8Array([97])],
    ['members in any order', { a: 1, b: 2 }, { b: 2, a: 1 }],
    ['a table with and without a prototype', { a: 1 }, Object.assign(Object.create(null), { a: 1 })],
    ['a member that is undefined', { a: 1, b: undefined }, { a: 1 }],
    ['minus zero and zero', -0, 0],
  ])('takes for the same: %s', (_, one, other) => {
    expect(digestParts({}, { h: one }, ['h'])).toBe(digestParts({}, { h: other }, ['h']))
  })

  it('sorts the keys of a table by their UTF-8 and not by UTF-16', () => {
    const table = { '\ud83d\ude00': 1, '\uffee': 2, b: 3, '\ud83d\ude01': 4, a: 5, '\ue000': 6 }
    expect(digestParts({}, { h: table }, ['h'])).toBe(hash('sha256', preimage({}, { h: table }, ['h']), 'base64url'))
  })

  it('reads own headers only: none is inherited, and a hostile name in a table is a name', () => {
    const inherited = Object.create({ h: 'x' }) as Headers
    expect(digestParts({}, inherited, ['h'])).toBe(digestParts({}, {}, ['h']))
    const hostile = JSON.parse('{"__proto__":{"a":1},"constructor":2}') as Headers
    expect(digestParts({}, { h: hostile }, ['h'])).not.toBe(digestParts({}, { h: { constructor: 2 } as never }, ['h']))
    expect(({} as { a?: unknown }).a).toBeUndefined()
  })

  it.each<[string, unknown]>([
    ['a Date', new Date(0)],
    ['a function', () => 1],
    ['a bigint', 1n],
    ['a symbol', Symbol('x')],
    ['an instance of a class', new (class Order {})()],
    ['a Map', new Map()],
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['an unsafe integer', 2 ** 53],
    ['1e21', 1e21],
    ['a lone surrogate', 'x\ud800'],
    ['a lone surrogate as a key', { '\udc00': 1 }],
    ['a lone surrogate as a key beside what it is written as', { '\ud800': 1, '\ufffd': 2 }],
    ['two lone surrogates as keys', { '\ud800': 1, '\ud801': 2, '\u{1f600}': 3 }],
    ['undefined in a list', [undefined]],
    ['a hole in a list', [undefined, 1]],
    ['a Date within a table within a list', [{ at: new Date(0) }]],
    ['a table whose prototype is bytes', Object.create(Buffer.from('abc'))],
    ['17 levels', Array.from({ length: 17 }).reduce((inner) => [inner], 'x')],
    ['17 tables', Array.from({ length: 17 }).reduce((inner) => ({ inner }), 'x')],
    [
      'lists and tables, 17 of both',
      Array.from({ length: 17 }).reduce((inner, _, n) => (n % 2 ? [inner] : { inner }), 'x'),
    ],
  ])('%s is refused, and the error names the header', (_, bad) => {
    const error = setupErrorOf(() => digestParts({}, { 'x-when': bad as HeaderValue }, ['x-when']))
    expect(error?.code).toBe('header-unsupported')
    expect(error?.message).toContain('x-when')
  })

  it('a table has no member that somebody put on the prototype of all objects', () => {
    const before = digestParts({}, { h: { a: 1 } }, ['h'])
    let after = ''
    Object.defineProperty(Object.prototype, 'polluted', { value: 1, enumerable: true, configurable: true })
    try {
      after = digestParts({}, { h: { a: 1 } }, ['h'])
    } finally {
      Reflect.deleteProperty(Object.prototype, 'polluted')
    }
    expect(after).toBe(before)
  })

  it('takes 16 levels, large values and the numbers at the edge', () => {
    const deep = Array.from({ length: 16 }).reduce<HeaderValue>((inner) => [inner], 'x')
    const table = { deep, large: 'é'.repeat(300_000), least: Number.MIN_SAFE_INTEGER, tiny: 5e-324, huge: 1.5e15 }
    const names = Object.keys(table).sort()
    expect(digestParts({}, table, names)).toBe(hash('sha256', preimage({}, table, names), 'base64url'))
  })
})

/** What is signed, told apart without the encoding under test. */
function canonical(props: CoveredProperties, table: Headers): string {
  const told = (part: HeaderValue): unknown => {
    if (typeof part === 'string' || part instanceof Uint8Array)
      return { bytes: Buffer.from(part as string).toString('hex') }
    if (Array.isArray(part)) return part.map(told)
    if (typeof part !== 'object' || part === null) return part
    const members = Object.entries(part as Headers).map(
      ([key, member]) => [Buffer.from(key).toString('hex'), told(member)] as const,
    )
    return { table: members.sort(([a], [b]) => (a < b ? -1 : 1)) }
  }
  return JSON.stringify([told({ ...props } as Headers), told(table)])
}
