import { lineChart, type Point } from '../charts.ts'
import type { Plan } from '../plan.ts'
import type { Report } from '../report.ts'
import { number, table } from '../text.ts'
import { costsOfLines } from './lines.ts'
import { type Growth, growthOfMessages, type Kind } from './messages.ts'

/** What must not grow: the cost of a message with the lines, and cost and memory with the messages. */
export async function measureGrowth(plan: Plan, report: Report): Promise<void> {
  report.section('## Growth')
  await measureLines(plan, report)
  await measureMessages(plan, report)
}

async function measureLines({ effort }: Plan, report: Report): Promise<void> {
  report.progress('growth with authorized lines')
  const costs = await costsOfLines([1, 100, 10_000], effort)
  const rows = costs.map(({ lines, load, reload, verify }) => [
    number(lines, 0),
    number(load, 0),
    number(reload, 0),
    number(verify),
  ])
  report.section(
    '### Authorized lines, a key each',
    '',
    ...table(['lines', 'load, CPU ms', 'load again after a change, CPU ms', 'verify, CPU µs'], rows),
  )
  const [one, , most] = costs
  report.goal('10,000 lines against 1, CPU of a verification', most && one && most.verify / one.verify, 'at most', 1.1)
}

async function measureMessages({ growth }: Plan, report: Report): Promise<void> {
  report.progress('growth with messages')
  const run = (kind: Kind): Promise<readonly Growth[]> =>
    growthOfMessages({ kind, counts: growth[kind] }, ({ messages }) =>
      report.progress(`growth with messages, ${kind}: ${number(messages, 0)}`),
    )
  // Side by side: memory is what counts.
  const [single, batch] = await Promise.all([run('single'), run('batch')])
  const points: Point[] = []
  for (const [name, found] of [
    ['single tokens', single],
    ['batches of 250', batch],
  ] as const) {
    const rows = found.map(({ messages, heap, resident, micros }) => [
      number(messages, 0),
      number(heap, 0),
      number(resident, 0),
      number(micros),
    ])
    report.section(
      `### Messages handled, ${name}`,
      '',
      ...table(['messages', 'in use, MiB', 'resident, MiB', 'CPU µs of one, since the last count'], rows),
    )
    points.push(...found.map(({ messages, heap }) => ({ group: 'in use, MiB', name, x: messages, y: heap })))
    points.push(...found.map(({ messages, micros }) => ({ group: 'CPU µs of one', name, x: messages, y: micros })))
  }
  const axes = { x: 'messages handled', y: '', scale: 'linear' } as const
  report.chart(await lineChart('growth.svg', 'Memory and cost as messages go by', axes, points))
  // The replay store fills first, with the places of 2 million messages of batches; from there on nothing should grow.
  const after = (messages: number): Growth | undefined => batch.find((growth) => growth.messages === messages)
  const ratio = (pick: (growth: Growth) => number): number | undefined => {
    const [early, late] = [after(3_000_000), after(10_000_000)]
    return early && late && pick(late) / pick(early)
  }
  const name = '10 million messages against 3 million'
  report.goal(
    `${name}, memory in use`,
    ratio(({ heap }) => heap),
    'at most',
    1.1,
  )
  report.goal(
    `${name}, resident memory`,
    ratio(({ resident }) => resident),
    'at most',
    1.1,
  )
  report.goal(
    `${name}, CPU of a message`,
    ratio(({ micros }) => micros),
    'at most',
    1.1,
  )
}
