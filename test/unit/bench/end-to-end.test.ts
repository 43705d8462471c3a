import { describe, expect, it } from 'vitest'
import { loadsOf, type Way } from '../../../bench/end-to-end/loads.ts'
import { dueOf } from '../../../bench/end-to-end/pace.ts'
import {
  added,
  keepsUp,
  latency,
  type Outcome,
  processorsBusy,
  rateOf,
  ratio,
  type Sample,
  typical,
} from '../../../bench/end-to-end/summary.ts'

const sample = (perSecond: number, more: Partial<Sample> = {}): Sample => ({
  ...{ perSecond, producer: 10, consumer: 20, broker: 30, bytes: 1000, latencies: [] },
  ...more,
})

function outcome(samples: Partial<Record<Way, Sample[]>>, rate?: number): Outcome {
  const [load] = loadsOf(['main'], true)
  return { load: load as Outcome['load'], rate, samples: new Map(Object.entries(samples) as [Way, Sample[]][]) }
}

describe('a summary', () => {
  const both = outcome({
    unsigned: [sample(1000), sample(500), sample(100)],
    'batch tokens': [sample(800, { producer: 14 }), sample(300, { producer: 19 }), sample(90, { producer: 15 })],
  })

  it('compares what was measured in the same round', () => {
    expect(ratio(both, 'batch tokens', 'unsigned', rateOf)).toBe(0.8)
    expect(added(both, 'batch tokens', 'unsigned', ({ producer }) => producer)).toBe(5)
    expect(typical(both, 'batch tokens', rateOf)).toBe(300)
  })

  it('says nothing of what was not measured', () => {
    expect(ratio(both, 'batch tokens', 'single tokens', rateOf)).toBeUndefined()
    expect(typical(both, 'single tokens', rateOf)).toBeUndefined()
    const unseen = outcome({ unsigned: [sample(1000), sample(1000, { broker: undefined })] })
    expect(typical(unseen, 'unsigned', ({ broker }) => broker)).toBeUndefined()
    expect(typical(unseen, 'unsigned', processorsBusy)).toBeUndefined()
  })

  it('counts the processors that were busy', () => {
    expect(processorsBusy(sample(20_000))).toBeCloseTo(1.2)
  })

  it('has the latencies of all rounds, but not where the pace was too much', () => {
    const paced = outcome(
      {
        unsigned: [sample(199, { latencies: [1, 2, 3] }), sample(200, { latencies: [4] })],
        'single tokens': [sample(120, { latencies: [1000] })],
      },
      200,
    )
    expect([latency(paced, 'unsigned', 0.5), latency(paced, 'unsigned', 0.99)]).toEqual([2, 4])
    expect(keepsUp(paced, 'single tokens')).toBe(false)
    expect(latency(paced, 'single tokens', 0.5)).toBeUndefined()
  })
})

describe('a pace', () => {
  it('is kept by sending what is due', () => {
    const amount = { seconds: 2, rate: 200 }
    expect([dueOf(amount, 0, 0), dueOf(amount, 24, 0), dueOf(amount, 1000, 190)]).toEqual([0, 4, 10])
    expect(dueOf(amount, 2000, 0)).toBeUndefined()
  })

  it('of none is as fast as it goes', () => {
    expect(dueOf({ seconds: 2, rate: undefined }, 1999, 1e6)).toBe(Number.POSITIVE_INFINITY)
    expect([dueOf({ messages: 10, together: 1 }, 5000, 7), dueOf({ messages: 10, together: 1 }, 0, 10)]).toEqual([
      3,
      undefined,
    ])
  })
})

describe('loads', () => {
  it('ask half of a variant only after all of it was seen', () => {
    const loads = loadsOf(['main', 'other'], false)
    const half = loads.findIndex(({ pace }) => pace === 'half')
    const seen = loads.slice(0, half).filter(({ pace, ways }) => pace === 'saturated' && ways.includes('unsigned'))
    expect(seen.map(({ variant }) => variant)).toContain(loads[half]?.variant)
    expect(new Set(loads.map(({ name }) => name)).size).toBe(loads.length)
  })

  it('of a quick run still have what its goals compare', () => {
    const [saturated, work, low] = loadsOf(['main', 'other'], true).map(({ ways }) => ways)
    expect(saturated).toEqual(expect.arrayContaining(['unsigned', 'batch tokens', 'single tokens', 'dummy header']))
    expect(work).toEqual(expect.arrayContaining(['unsigned', 'batch tokens']))
    expect(low).toEqual(expect.arrayContaining(['single tokens', 'batch tokens']))
  })
})
