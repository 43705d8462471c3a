import { BrokerMissing } from '../../test/brokers/choose.ts'
import { type Bar, barChart } from '../charts.ts'
import type { Plan } from '../plan.ts'
import type { Report } from '../report.ts'
import { number, table } from '../text.ts'
import { setGoals } from './goals.ts'
import { loadsOf, OURS, type Way } from './loads.ts'
import { Runner } from './runner.ts'
import { keepsUp, latency, type Outcome, processorsBusy, rateOf, ratio, type Sample, typical } from './summary.ts'
import type { Broker } from './transport.ts'
import { TRANSPORTS, type TransportName } from './transports.ts'

/** A producer, a broker and a consumer. @returns false: the broker is not here */
export async function measureEndToEnd(transportName: TransportName, plan: Plan, report: Report): Promise<boolean> {
  const { name, variants, start } = TRANSPORTS[transportName]
  const { short, ...options } = plan.endToEnd
  report.progress(`${name}: starting`)
  let broker: Broker
  try {
    broker = await start()
  } catch (error) {
    if (!(error instanceof BrokerMissing)) throw error
    report.section(
      `## ${name}`,
      '',
      'Not here and not measured. Docker brings it, or `node tools/brokers/install.mjs`.',
    )
    setGoals(transportName, [], report)
    return false
  }
  try {
    const progress = (what: string): void => report.progress(what)
    const runner = new Runner(transportName, broker, { ...options, progress })
    const outcomes = await runner.run(loadsOf(variants, short))
    report.section(`## ${name}`, '', `${name} ${broker.version}, bodies of 1 KiB.`)
    for (const outcome of outcomes) report.section(...sectionOf(outcome))
    report.chart(await barChart(`${transportName}.svg`, name, 'share of unsigned', barsOf(outcomes)))
    setGoals(transportName, outcomes, report)
    return true
  } finally {
    await broker.stop()
  }
}

function sectionOf(outcome: Outcome): string[] {
  const { load, rate } = outcome
  const lengths = load.ways.map((way) => [way, typical(outcome, way, ({ bytes }) => bytes)] as const)
  if (rate !== undefined) {
    const head = ['', 'messages a second', 'p50, ms', 'p99, ms']
    const rows = load.ways.map((way) => [
      way,
      number(typical(outcome, way, rateOf), 0),
      ...(keepsUp(outcome, way)
        ? [number(latency(outcome, way, 0.5), 2), number(latency(outcome, way, 0.99), 2)]
        : ['cannot keep up', '']),
    ])
    return [`### ${load.name}: ${number(rate, 0)} messages a second`, '', ...table(head, rows)]
  }
  const head = [
    ...['', 'messages a second', 'share of unsigned', 'producer, µs', 'consumer, µs', 'broker, µs'],
    ...['CPUs busy', 'bytes on the wire'],
  ]
  const rows = lengths.map(([way, bytes]) => {
    const of = (pick: (sample: Sample) => number | undefined, digits: number): string =>
      number(typical(outcome, way, pick), digits)
    return [
      way,
      of(rateOf, 0),
      number(ratio(outcome, way, 'unsigned', rateOf), 2),
      of(({ producer }) => producer, 1),
      of(({ consumer }) => consumer, 1),
      of(({ broker }) => broker, 1),
      of(processorsBusy, 1),
      number(bytes, 0),
    ]
  })
  return [`### ${load.name}`, '', ...table(head, rows)]
}

function barsOf(outcomes: readonly Outcome[]): Bar[] {
  return outcomes
    .filter(({ load }) => load.pace === 'saturated')
    .flatMap((outcome) =>
      outcome.load.ways.map((way: Way) => ({
        group: outcome.load.name,
        name: way,
        value: ratio(outcome, way, 'unsigned', rateOf) as number,
        ours: OURS.includes(way),
      })),
    )
}
