import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findName } from '../../../src/authorized-keys/pattern-relations.ts'
import { QueuePatterns } from '../../../src/authorized-keys/patterns.ts'

const matches = (list: readonly string[], name: string): boolean => QueuePatterns.parse(list).matches(name)
const inFirstAlone = ([first, second]: readonly boolean[]): boolean => first === true && second === false

describe('findName', () => {
  it.each([
    [['orders.*'], ['orders.**'], undefined],
    [['orders.**'], ['orders.*'], 'orders.'],
    [['a?'], ['a*'], 'a.'],
    [['a*'], ['a?'], 'axx'],
    [['**'], ['**', '!payments.**'], 'payments.'],
    [['**', '!payments.**'], ['**', '!payments.*'], undefined],
    [['orders'], ['orders'], undefined],
    [['*.x*', '*.x'], ['*.x', '*.xx*', '*.x?**'], undefined],
  ])('%j without %j: %s', (first, second, expected) => {
    expect(findName([first, second], inFirstAlone)).toBe(expected)
  })

  it.each([[['**']], [['**'], ['**']], [['**', '!**x'], ['**']], [['**', '!x']]])(
    'a name that leaves everything as it was before the first character: %j',
    (...lists) => {
      const found = findName(lists, (matched) => !matched.includes(false))
      expect(found).not.toBeUndefined()
      expect(lists.map((list) => matches(list, found ?? ''))).toEqual(lists.map(() => true))
    },
  )

  const pattern = fc.stringMatching(/^[ab.?]{0,3}(\*{0,2})[ab.?]{0,3}$/).filter((text) => text !== '')
  const list = fc
    .tuple(fc.array(pattern, { minLength: 1, maxLength: 3 }), fc.array(pattern, { maxLength: 2 }))
    .map(([allowed, vetoed]) => [...allowed, ...vetoed.map((text) => `!${text}`)])
  const name = fc.stringMatching(/^[ab.:x]{1,7}$/)

  it('finds a name that the matcher agrees with, and none only where there is none', () => {
    fc.assert(
      fc.property(list, list, fc.array(name, { minLength: 1, maxLength: 50 }), (first, second, names) => {
        const found = findName([first, second], inFirstAlone)
        if (found === null) throw new Error('these are small enough')
        if (found !== undefined) expect([matches(first, found), matches(second, found)]).toEqual([true, false])
        else expect(names.filter((each) => matches(first, each) && !matches(second, each))).toEqual([])
      }),
      { numRuns: 300 },
    )
  })

  it('finds a name of one list alone, and none only where there is none', () => {
    fc.assert(
      fc.property(list, fc.array(name, { minLength: 1, maxLength: 50 }), (only, names) => {
        const found = findName([only], ([own]) => own === true)
        if (typeof found === 'string') expect(matches(only, found)).toBe(true)
        else expect(names.filter((each) => matches(only, each))).toEqual([])
      }),
      { numRuns: 300 },
    )
  })

  it('gives up on what would take for ever', () => {
    const heavy = Array.from(
      { length: 64 },
      (_, index) => `**${String.fromCharCode(97 + (index % 26))}**${'?'.repeat(index)}`,
    )
    expect(findName([heavy, ['**']], inFirstAlone)).toBeNull()
  })
})
