/** What the library sets out to reach, as ratios in one run on one machine. */

export interface Goal {
  readonly name: string
  readonly reached: number | undefined
  readonly wanted: number
  /** the ratio should be at least, or at most, what is wanted */
  readonly by: 'at least' | 'at most'
}

/** Where the time goes that a goal is missed by, as profiles showed it. */
export type Reasons = Readonly<Record<string, string>>

export function isMet({ reached, wanted, by }: Goal): boolean {
  return reached !== undefined && (by === 'at least' ? reached >= wanted : reached <= wanted)
}

export function goalLine(goal: Goal, reasons: Reasons): string {
  const { name, reached, wanted, by } = goal
  const value = reached === undefined ? 'not measured' : reached.toFixed(2)
  if (reached === undefined) return `not measured  ${name}: ${by} ${wanted}`
  if (isMet(goal)) return `met           ${name}: ${value}, ${by} ${wanted}`
  const reason = Object.entries(reasons).find(([part]) => name.startsWith(part))?.[1]
  return `MISSED        ${name}: ${value}, ${by} ${wanted}${reason === undefined ? '' : `. ${reason}`}`
}
