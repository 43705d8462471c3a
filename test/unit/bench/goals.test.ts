import { describe, expect, it } from 'vitest'
import { type Goal, goalLine, goalsSummary, isMet } from '../../../bench/goals.ts'

const share: Goal = { name: 'Kafka, batch, share', reached: 0.7, by: 'at least', wanted: 0.65 }
const cost: Goal = { name: 'Kafka, batch, CPU', reached: 12, by: 'at most', wanted: 12 }
const missed: Goal = { ...share, reached: 0.649 }
const unknown: Goal = { ...cost, reached: undefined }

describe('goals', () => {
  it('are met where what is reached is on the wanted side', () => {
    expect([share, cost, missed, { ...cost, reached: 12.1 }, unknown].map(isMet)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ])
  })

  it('are lines that begin with what became of them', () => {
    const words = [share, missed, unknown].map((goal) => goalLine(goal, {}).split(/ {2,}/)[0])
    expect(words).toEqual(['met', 'MISSED', 'not measured'])
  })

  it('that are missed give the reason that profiles found, or say that there is none', () => {
    const reasons = { 'Redis, batch': 'a', Kafka: 'b', 'Kafka, batch': 'the broker is busy' }
    expect(goalLine(missed, reasons)).toContain('0.65, at least 0.65. the broker is busy')
    expect(goalLine(share, reasons)).not.toContain('busy')
    expect(goalLine(missed, { 'Kafka, single': 'a' })).toMatch(/0\.65, at least 0\.65\. \w+/)
  })

  it('are counted, those apart that were not measured', () => {
    expect(goalsSummary([share, cost, missed, unknown])).toBe('2 of 3 goals met, 1 not measured')
    expect(goalsSummary([share])).toBe('1 of 1 goals met')
  })
})
