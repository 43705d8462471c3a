import { styleText } from 'node:util'
import { isAsExpected, type Performance, type Result } from './play.ts'
import type { Ending } from './scenarios.ts'

const COLORS = { handled: 'green', 'dead-lettered': 'yellow', skipped: 'yellow', rejected: 'red' } as const
const HEADINGS = ['WHAT IS TRIED', 'WHAT HAPPENS', 'CODE'] as const

/** The report for people, without what to do next. */
export function report(title: string, { lines, results }: Performance, colored: boolean): string {
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    colored ? styleText(style, text, { validateStream: false }) : text
  const widths = [Math.max(...results.map(({ scenario }) => scenario.what.length)), 'dead-lettered'.length] as const
  const row = (what: string, how: string, code: string): string =>
    `  ${what.padEnd(widths[0])}  ${how.padEnd(widths[1])}  ${code}`
  const table = results.flatMap((result) => {
    const { scenario, actual } = result
    const line = paint(COLORS[actual.how], row(scenario.what, actual.how, reasonOf(actual)))
    if (isAsExpected(result)) return [line]
    return [
      line,
      paint('red', row('    UNEXPECTED, it should have been', scenario.expected.how, reasonOf(scenario.expected))),
    ]
  })
  return [
    paint('bold', `queue-key-auth demo: ${title}`),
    '',
    'authorized_keys says who may publish where:',
    ...aligned(lines.map(withoutKey)).map((line) => `  ${line}`),
    '',
    'The attacker may read and write every queue, but has no key that is listed.',
    '',
    paint('bold', row(...HEADINGS)),
    ...table,
    '',
    summary(results),
  ].join('\n')
}

function reasonOf({ code, sender }: Ending): string {
  return code ?? `signed by ${sender}`
}

/** The key is of no interest here, and long. */
function withoutKey(line: string): string {
  return line.replace(/ (\S{8})\S+$/, ' $1...')
}

function aligned(lines: readonly string[]): string[] {
  const rows = lines.map((line) => line.split(' '))
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows.map((row) =>
    row
      .map((field, column) => field.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

function summary(results: readonly Result[]): string {
  const count = (how: Ending['how']): number => results.filter(({ actual }) => actual.how === how).length
  return (
    `The handler saw ${count('handled')} of ${results.length} messages. ` +
    `${count('dead-lettered')} went to orders.dlq, each with its reason; ${count('skipped')} was skipped.`
  )
}
