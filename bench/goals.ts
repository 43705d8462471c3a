/** What the library sets out to reach, as ratios in one run on one machine. */

export interface Goal {
  readonly name: string
  /** undefined: this run did not measure it */
  readonly reached: number | undefined
  readonly wanted: number
  /** what is reached should be at least, or at most, what is wanted */
  readonly by: 'at least' | 'at most'
}

/** Where the time goes that a goal is missed by, as profiles showed it, by the beginning of the goal's name. */
export type Reasons = Readonly<Record<string, string>>

export function isMet({ reached, wanted, by }: Goal): boolean {
  return reached !== undefined && (by === 'at least' ? reached >= wanted : reached <= wanted)
}

export function goalLine(goal: Goal, reasons: Reasons): string {
  const { name, reached, wanted, by } = goal
  if (reached === undefined) return `not measured  ${name}: ${by} ${wanted}`
  const result = `${name}: ${reached.toFixed(2)}, ${by} ${wanted}`
  if (isMet(goal)) return `met           ${result}`
  return `MISSED        ${result}. ${reasonFor(name, reasons) ?? 'Nobody has found out why yet'}`
}

/** The one whose beginning is the longest. */
function reasonFor(name: string, reasons: Reasons): string | undefined {
  const beginnings = Object.keys(reasons).filter((beginning) => name.startsWith(beginning))
  const [longest] = beginnings.sort((a, b) => b.length - a.length)
  return longest === undefined ? undefined : reasons[longest]
}

export function goalsSummary(goals: readonly Goal[]): string {
  const measured = goals.filter(({ reached }) => reached !== undefined)
  const met = measured.filter(isMet)
  const rest = goals.length - measured.length
  return `${met.length} of ${measured.length} goals met${rest === 0 ? '' : `, ${rest} not measured`}`
}
