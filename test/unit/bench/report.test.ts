import { describe, expect, it } from 'vitest'
import { barChart, lineChart } from '../../../bench/charts.ts'
import { PARTS, parseOptions } from '../../../bench/options.ts'
import { bytesName, elapsed, number, table } from '../../../bench/text.ts'

describe('options', () => {
  it('are everything and in full, unless told', () => {
    expect(parseOptions([])).toEqual({ quick: false, parts: PARTS })
    expect(parseOptions(['--quick', '--only', 'redis,tokens'])).toEqual({ quick: true, parts: ['tokens', 'redis'] })
  })

  it.each([[['--only', 'rabbit']], [['--fast']], [['quick']]])('%j are refused', (args) => {
    expect(() => parseOptions(args)).toThrow()
  })
})

describe('the report', () => {
  it('writes tables, numbers and times', () => {
    expect(table(['', 'µs'], [['sign', number(1234.56)]])).toEqual(['|  | µs |', '| --- | --: |', '| sign | 1,234.6 |'])
    expect([number(undefined), number(0.5, 0), number(12, 2)]).toEqual(['–', '1', '12.00'])
    expect([bytesName(100), bytesName(10_240)]).toEqual(['100 B', '10 KiB'])
    expect([elapsed(0), elapsed(59_600), elapsed(754_000)]).toEqual(['0:00', '1:00', '12:34'])
  })

  it('draws charts that show each name', async () => {
    const bars = [
      { group: 'transient', name: 'batch tokens', value: 0.7, ours: true },
      { group: 'transient', name: 'single tokens', value: 0.2, ours: true },
    ]
    const bar = await barChart('a.svg', 'A title', 'share', bars)
    for (const word of ['A title', 'transient', 'batch tokens', '0.700']) expect(bar.svg).toContain(word)
    const points = [1, 10, 100].map((x) => ({ group: 'sign', name: '1 KiB', x, y: 50 / x }))
    const line = await lineChart('b.svg', 'Lines', { x: 'messages', y: 'µs', scale: 'log' }, points)
    for (const word of ['Lines', 'messages', '1 KiB', 'sign']) expect(line.svg).toContain(word)
    expect(line.svg).toMatch(/^<svg[\s\S]*<\/svg>\n$/)
  })
})
