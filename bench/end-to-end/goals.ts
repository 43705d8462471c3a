import type { Report } from '../report.ts'
import { added, latency, type Outcome, rateOf, ratio, type Sample } from './summary.ts'
import { TRANSPORTS, type TransportName } from './transports.ts'

/** Wanted of batch tokens where as much is sent as goes through. */
interface Wanted {
  /** of the unsigned program, by way of sending */
  readonly shares: Readonly<Record<string, number>>
  /** of the program with a header as long as the token */
  readonly ofHeader: number
  /** CPU microseconds a message, more than unsigned */
  readonly producerMicros: number
  readonly consumerMicros: number
  /** times as much as with single tokens */
  readonly ofSingle: number
}

const WANTED: Readonly<Record<TransportName, Wanted>> = {
  rabbitmq: {
    shares: { transient: 0.7, 'persistent, confirms': 0.75 },
    ofHeader: 0.85,
    producerMicros: 8,
    consumerMicros: 6,
    ofSingle: 4,
  },
  kafka: {
    shares: { eachMessage: 0.65, eachBatch: 0.65 },
    ofHeader: 0.85,
    producerMicros: 16,
    consumerMicros: 12,
    ofSingle: 4,
  },
  redis: { shares: { pipelines: 0.5 }, ofHeader: 0.7, producerMicros: 8, consumerMicros: 7, ofSingle: 7 },
}

/** Noise; less cannot be told from none. */
const SAME = 1.1

export function setGoals(transport: TransportName, outcomes: readonly Outcome[], report: Report): void {
  const { name, variants } = TRANSPORTS[transport]
  const wanted = WANTED[transport]
  const [main] = variants
  const of = (load: string): Outcome | undefined => outcomes.find((outcome) => outcome.load.name === load)
  const saturated = of(main)
  const batch = 'batch tokens'
  const goal = (what: string, reached: number | undefined, by: 'at least' | 'at most', limit: number): void =>
    report.goal(`${name}, ${what}`, reached, by, limit)
  const shareOf = (outcome: Outcome | undefined, other: 'unsigned' | 'dummy header' | 'single tokens') =>
    outcome && ratio(outcome, batch, other, rateOf)
  const more = (pick: (sample: Sample) => number) => saturated && added(saturated, batch, 'unsigned', pick)

  for (const [variant, share] of Object.entries(wanted.shares)) {
    goal(`${variant}, batch, share of unsigned`, shareOf(of(variant), 'unsigned'), 'at least', share)
  }
  goal('batch, share of a dummy header of the size', shareOf(saturated, 'dummy header'), 'at least', wanted.ofHeader)
  const withWork = of(`${main}, 100 µs of work`)
  goal('batch, 100 µs of work, share of unsigned', shareOf(withWork, 'unsigned'), 'at least', 0.9)
  goal(
    'batch, producer CPU µs added',
    more(({ producer }) => producer),
    'at most',
    wanted.producerMicros,
  )
  goal(
    'batch, consumer CPU µs added',
    more(({ consumer }) => consumer),
    'at most',
    wanted.consumerMicros,
  )
  goal('batch against single', shareOf(saturated, 'single tokens'), 'at least', wanted.ofSingle)
  const low = of(`${main}, low load`)
  const [gathered, single] = [low && latency(low, batch, 0.5), low && latency(low, 'single tokens', 0.5)]
  goal('latency of gathering at low load, against single', gathered && single && gathered / single, 'at most', SAME)
  const bare = saturated && ratio(saturated, 'single tokens', 'bare signatures', rateOf)
  goal('single, share of bare signatures', bare, 'at least', 0.95)
}
