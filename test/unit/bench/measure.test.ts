import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compare, cpuSince, median, quantile } from '../../../bench/measure.ts'

describe('median', () => {
  it('is in the middle, or between the two that are', () => {
    expect([median([5]), median([9, 1, 5]), median([4, 1, 2, 9])]).toEqual([5, 5, 3])
  })
})

describe('quantile', () => {
  it('of nothing is undefined', () => {
    expect(quantile([], 0.5)).toBeUndefined()
  })

  it('is the smallest value with that share of all at or below it', () => {
    const values = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 50 })
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (all, q) => {
        const found = quantile(all, q) as number
        const upTo = (limit: number): number => all.filter((value) => value <= limit).length
        expect(all).toContain(found)
        expect(upTo(found)).toBeGreaterThanOrEqual(all.length * q - 1e-9)
        const lower = all.filter((value) => value < found)
        expect(lower.length).toBeLessThan(all.length * q)
      }),
    )
  })
})

describe('compare', () => {
  it('runs each contender in turn, and tells what an operation costs', async () => {
    const runs: string[] = []
    const spend = (name: string) => ({
      name,
      operations: 10,
      run: () => {
        runs.push(name)
        for (const spent = cpuSince(); spent() < 3_000; );
      },
    })
    const medians = await compare([spend('one'), spend('other')], { warmUp: 2, rounds: 3, millis: 8 })
    expect([...medians.keys()]).toEqual(['one', 'other'])
    for (const micros of medians.values()) expect(micros).toBeGreaterThan(0)
    const turns = runs.filter((name, index) => name !== runs[index - 1])
    // Each warms up, then three rounds.
    expect(turns).toEqual(['one', 'other', 'one', 'other', 'one', 'other', 'one', 'other'])
  })
})
