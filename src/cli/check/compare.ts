import { findName } from '../../authorized-keys/pattern-relations.ts'
import type { Allow, AuthorizedLine, KeySnapshot } from '../../authorized-keys/snapshot.ts'
import { DEFAULT_MAX_AGE_SECONDS } from '../../policy.ts'
import { placeOf } from '../keys/decide.ts'
import { formatTime } from '../times.ts'

/** What a change of the files lets in, or shuts out. */
export interface AccessChange {
  readonly effect: 'lets in' | 'shuts out'
  /** the service, or `everybody` */
  readonly who: string
  /** patterns */
  readonly queues: string
  /** a queue that makes the difference; null when finding one takes too long, absent for a policy */
  readonly example?: string | null
  /** when messages are signed that are concerned, or what holds otherwise */
  readonly when: string
  /** the line that allows it, in the old files or in the new ones */
  readonly line: string
  readonly key?: string
}

interface Keys {
  readonly allows: readonly Allow[]
  readonly snapshot: KeySnapshot
}

/** From inclusive to exclusive, seconds since 1970. */
interface Interval {
  readonly from: number
  readonly to: number
}

/**
 * Compares what two generations allow: for each service, key and algorithm, over all times that still matter, queue name
 * for queue name. So a pattern that is written otherwise and means the same is no change, and a revocation is one.
 *
 * @param now seconds since 1970
 */
export function compareAccess(before: Keys, after: Keys, now: number): AccessChange[] {
  const [old, next] = [grants(before), grants(after)]
  const changes: AccessChange[] = []
  for (const identity of new Set([...old.keys(), ...next.keys()])) {
    const [from, to] = [old.get(identity) ?? [], next.get(identity) ?? []]
    const intervals = intervalsOf([...from, ...to], now - DEFAULT_MAX_AGE_SECONDS)
    changes.push(
      ...gained('lets in', identity, from, to, intervals),
      ...gained('shuts out', identity, to, from, intervals),
    )
  }
  return changes
}

/** The lines that count, by who signs with which key and algorithm. */
function grants({ allows, snapshot }: Keys): Map<string, AuthorizedLine[]> {
  const lines = new Map<string, AuthorizedLine[]>()
  for (const { key, line } of allows) {
    if (snapshot.isRevoked(key)) continue
    for (const service of line.services) {
      const identity = `${service} ${key.fingerprint} ${line.algorithm}`
      lines.set(identity, [...(lines.get(identity) ?? []), line])
    }
  }
  return lines
}

/** Within each of them the same lines are in force. */
function intervalsOf(lines: readonly AuthorizedLine[], since: number): Interval[] {
  const borders = new Set([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY])
  for (const { validAfter, validBefore } of lines) {
    if (validAfter !== undefined) borders.add(validAfter)
    if (validBefore !== undefined) borders.add(validBefore)
  }
  const sorted = [...borders].sort((a, b) => a - b)
  return sorted
    .slice(1)
    .map((to, index) => ({ from: sorted[index] ?? 0, to }))
    .filter(({ to }) => to > since)
}

/** What `to` allows and `from` does not, one entry for each line and time. */
function gained(
  effect: AccessChange['effect'],
  identity: string,
  from: readonly AuthorizedLine[],
  to: readonly AuthorizedLine[],
  intervals: readonly Interval[],
): AccessChange[] {
  const [who = '', key = ''] = identity.split(' ')
  return to.flatMap((line) => {
    const times: { when: Interval; queues: string; example: string | null }[] = []
    for (const when of intervals.filter((interval) => holds(line, interval))) {
      const others = from.filter((other) => holds(other, when)).map(({ queues }) => queues.patterns)
      const gain = gainOf(line.queues.patterns, others)
      if (gain === undefined) continue
      const last = times.at(-1)
      if (last !== undefined && last.queues === gain.queues && last.when.to === when.from) {
        last.when = { from: last.when.from, to: when.to }
      } else times.push({ when, ...gain })
    }
    return times.map(({ when, queues, example }) => {
      return { effect, who, queues, example, when: shown(when), line: placeOf(line), key }
    })
  })
}

function holds({ validAfter, validBefore }: AuthorizedLine, { from, to }: Interval): boolean {
  return (validAfter ?? Number.NEGATIVE_INFINITY) <= from && to <= (validBefore ?? Number.POSITIVE_INFINITY)
}

/** The patterns of a list that match what none of the others does, vetoes behind them. */
function gainOf(
  patterns: readonly string[],
  others: readonly (readonly string[])[],
): { queues: string; example: string | null } | undefined {
  if (others.some((other) => other.join() === patterns.join())) return undefined
  const vetoes = patterns.filter((pattern) => pattern.startsWith('!'))
  const gains = patterns
    .filter((pattern) => !pattern.startsWith('!'))
    .map((pattern) => ({
      pattern,
      example: findName([[pattern, ...vetoes], ...others], ([own, ...rest]) => own === true && !rest.includes(true)),
    }))
    .filter(({ example }) => example !== undefined)
  if (gains.length === 0) return undefined
  const example = gains.find((gain) => gain.example !== null)?.example ?? null
  return { queues: [...gains.map(({ pattern }) => pattern), ...vetoes].join(), example }
}

function shown({ from, to }: Interval): string {
  const [starts, ends] = [Number.isFinite(from), Number.isFinite(to)]
  if (!starts && !ends) return 'always'
  if (!starts) return `until ${formatTime(to)}`
  return ends ? `${formatTime(from)} to ${formatTime(to)}` : `from ${formatTime(from)}`
}
