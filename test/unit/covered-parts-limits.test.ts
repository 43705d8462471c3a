import { describe, expect, it } from 'vitest'
import { digestParts, MAX_COVERED_OCTETS, MAX_COVERED_VALUES } from '../../src/covered-parts.ts'
import type { CoveredProperties, Headers, HeaderValue } from '../../src/message.ts'
import { setupErrorOf } from './keys/helpers.ts'
import { preimage } from './preimage.ts'
import { Watched } from './watched.ts'

const digest = (props: CoveredProperties, table: Headers): string =>
  digestParts(props, table, Object.keys(table).sort())

describe('the limits of the covered parts', () => {
  const numbers = (length: number): number[] => Array.from({ length }, (_, n) => n)
  const members = (length: number): Record<string, number> =>
    Object.fromEntries(numbers(length).map((n) => [`m${n}`, n]))
  const codeOf = (props: CoveredProperties, table: Headers): string | undefined =>
    setupErrorOf(() => digest(props, table))?.code

  it.each<[string, (size: number) => HeaderValue]>([
    ['items of a list', numbers],
    ['members of a table', members],
    ['items and members, whatever they are within', (size) => [numbers(size - 3), { a: 1 }]],
  ])('%s: as many as there may be, and no more', (_, valueFor) => {
    // The list or table itself counts as well.
    expect(codeOf({}, { h: valueFor(MAX_COVERED_VALUES - 1) })).toBeUndefined()
    expect(codeOf({}, { h: valueFor(MAX_COVERED_VALUES) })).toBe('header-unsupported')
  })

  it('are of all headers and properties together', () => {
    const half = MAX_COVERED_VALUES / 2 - 1
    expect(codeOf({}, { a: numbers(half), b: numbers(half) })).toBeUndefined()
    expect(codeOf({}, { a: numbers(half), b: numbers(half), c: 1 })).toBe('header-unsupported')
    expect(codeOf({ type: 'x' }, { a: numbers(half), b: members(half) })).toBe('header-unsupported')
  })

  it.each<[string, (size: number) => HeaderValue]>([
    ['text', (size) => 'x'.repeat(size)],
    ['text beyond ASCII', (size) => `${'\u20ac'.repeat(Math.floor(size / 3))}${'x'.repeat(size % 3)}`],
    ['bytes', (size) => new Uint8Array(size)],
  ])('octets of %s: as many as there may be, and no more', (_, valueFor) => {
    const frame = preimage({}, { h: '' }, ['h']).length
    expect(codeOf({}, { h: valueFor(MAX_COVERED_OCTETS - frame) })).toBeUndefined()
    expect(codeOf({}, { h: valueFor(MAX_COVERED_OCTETS - frame + 1) })).toBe('header-unsupported')
    expect(codeOf({ type: 'x' }, { h: valueFor(MAX_COVERED_OCTETS - frame) })).toBe('header-unsupported')
    const half = valueFor(MAX_COVERED_OCTETS / 2)
    for (const table of [{ a: half, b: half }, { a: [half, half] }, { a: { x: half, y: half } }]) {
      expect(codeOf({}, table as Headers)).toBe('header-unsupported')
    }
  })

  it('names of members count as octets', () => {
    const name = 'n'.repeat(MAX_COVERED_OCTETS / 2)
    expect(codeOf({}, { h: { [`${name}1`]: 1 } })).toBeUndefined()
    expect(codeOf({}, { h: { [`${name}1`]: 1, [`${name}2`]: 1 } })).toBe('header-unsupported')
  })

  it.each<[string, (watched: Watched) => HeaderValue]>([
    ['a table of 30,000 members', (watched) => watched.table(30_000)],
    ['a list of 30,000 items', (watched) => watched.list(numbers(30_000))],
    ['a list of that length with nothing in it', (watched) => watched.list(new Array(1_000_000))],
    ['30 lists of 1,000 items', (watched) => numbers(30).map(() => watched.list(numbers(1000)))],
    ['30 tables of 1,000 members', (watched) => numbers(30).map(() => watched.table(1000))],
    [
      'lists within lists, each twice',
      (watched) => {
        let inner: HeaderValue = 'x'
        for (let level = 0; level < 16; level++) inner = watched.list([inner, inner])
        return inner
      },
    ],
  ])('%s: what is beyond the limit is not looked at', (_, valueFor) => {
    const watched = new Watched()
    expect(codeOf({}, { h: valueFor(watched) })).toBe('header-unsupported')
    // A member is looked at four times: is it there, is it its own, is it absent, what is it.
    expect(watched.reads).toBeLessThanOrEqual(4 * MAX_COVERED_VALUES + 4)
  })

  it('the error names the header or property', () => {
    expect(setupErrorOf(() => digest({}, { a: 1, 'x-rows': numbers(5000) }))?.message).toContain('x-rows')
    expect(setupErrorOf(() => digest({}, { a: 1, 'x-blob': new Uint8Array(2_000_000) }))?.message).toContain('x-blob')
    expect(setupErrorOf(() => digest({ type: 'x'.repeat(2_000_000) }, {}))?.message).toContain('@type')
  })

  it('the error names the class of a value, whatever it calls itself', () => {
    class Plain {}
    const named = (name: unknown): unknown => Object.create({ constructor: { name } })
    const messageOf = (value: unknown): string | undefined =>
      setupErrorOf(() => digest({}, { a: value as HeaderValue }))?.message
    expect(messageOf(new Plain())).toContain('Plain')
    for (const name of ['\u001b[31m\r\n\u202e', 'x'.repeat(5000), 7, '', undefined, { toString: null }]) {
      const message = messageOf(named(name))
      expect(message).toMatch(/^[ -~]{1,300}$/)
    }
  })
})
