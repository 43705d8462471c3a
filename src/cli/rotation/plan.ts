import type { Allow } from '../../authorized-keys/snapshot.ts'
import { placeOf } from '../keys/decide.ts'
import { CommandError } from '../output.ts'
import { formatTime, formatTimeFrom } from '../times.ts'

/** How far clocks may be apart: a message may come this much later than maxAge says. */
const CLOCK_SKEW_SECONDS = 60

/** What can be done to the files. */
export type Due =
  | { readonly what: 'add'; readonly like: readonly Allow[] }
  | { readonly what: 'retire'; readonly lines: readonly Allow[] }
  | { readonly what: 'delete'; readonly lines: readonly Allow[] }
  | { readonly what: 'wait'; readonly until: number }

export interface Step {
  readonly state: 'done' | 'due' | 'later'
  readonly text: string
}

export interface Plan {
  readonly due: Due
  readonly steps: readonly Step[]
}

export interface RotationOptions {
  readonly service: string
  /** how long messages may wait, in seconds */
  readonly maxAgeSeconds: number
  /** seconds since 1970 */
  readonly now: number
  /** the fingerprint of the key to retire, where it is not the one that stands first */
  readonly old?: string | undefined
}

interface ServiceKey {
  readonly fingerprint: string
  readonly lines: readonly Allow[]
  /** when its last line ends; undefined: never */
  readonly end: number | undefined
}

/** Where a rotation stands, which the lines themselves tell, and what comes next. */
export function planRotation(
  allows: readonly Allow[],
  isRevoked: (key: Allow['key']) => boolean,
  options: RotationOptions,
): Plan {
  const { service, maxAgeSeconds, now, old } = options
  const keys = keysOf(allows.filter(({ key, line }) => line.services.includes(service) && !isRevoked(key)))
  const goneAt = (key: ServiceKey): number => (key.end ?? Number.POSITIVE_INFINITY) + maxAgeSeconds + CLOCK_SKEW_SECONDS
  const current = keys.filter(({ end }) => end === undefined)
  const over = keys.filter((key) => now > goneAt(key))
  const retiring = keys.filter((key) => key.end !== undefined && !over.includes(key))
  if (keys.length === 0) {
    throw new CommandError(`there is no line of ${service} with a key that is good, so there is nothing to rotate`, {
      hint: `queue-key-auth authorize <dir> ${service} <key file> --queues "…" adds one`,
    })
  }
  if (over.length > 0 && over.length < keys.length) {
    const lines = over.flatMap((key) => key.lines)
    return { due: { what: 'delete', lines }, steps: steps(5, { old: lines, next: (current[0] ?? retiring[0])?.lines }) }
  }
  const retired = old === undefined ? current[0] : current.find(({ fingerprint }) => fingerprint === old)
  if (current.length > 1) {
    if (retired === undefined || (current.length > 2 && old === undefined)) throw whichOne(service, current)
    const next = current.filter((key) => key !== retired).at(-1)
    return {
      due: { what: 'retire', lines: retired.lines },
      steps: steps(2, { old: retired.lines, next: next?.lines, gone: now + maxAgeSeconds }),
    }
  }
  if (current.length === 1 && retiring.length > 0) {
    const until = Math.max(...retiring.map(goneAt))
    const lines = retiring.flatMap((key) => key.lines)
    return { due: { what: 'wait', until }, steps: steps(5, { old: lines, next: current[0]?.lines, gone: until, now }) }
  }
  const like = (current[0] ?? retiring.at(-1) ?? keys.at(-1))?.lines ?? []
  return { due: { what: 'add', like }, steps: steps(1, { old: like, gone: now + maxAgeSeconds }) }
}

function keysOf(allows: readonly Allow[]): ServiceKey[] {
  const byKey = new Map<string, Allow[]>()
  for (const allow of allows) byKey.set(allow.key.fingerprint, [...(byKey.get(allow.key.fingerprint) ?? []), allow])
  return [...byKey].map(([fingerprint, lines]) => {
    const ends = lines.map(({ line }) => line.validBefore)
    const end = ends.includes(undefined) ? undefined : Math.max(...ends.filter((each) => each !== undefined))
    return { fingerprint, lines, end }
  })
}

function whichOne(service: string, current: readonly ServiceKey[]): CommandError {
  const names = current.map(({ fingerprint }) => fingerprint).join(', ')
  return new CommandError(`${service} has ${current.length} keys without an end: ${names}`, {
    hint: 'write --old with the fingerprint of the one to retire',
  })
}

interface Parts {
  readonly old: readonly Allow[]
  readonly next?: readonly Allow[] | undefined
  /** when the old lines can go, at the earliest */
  readonly gone?: number
  /** until then nothing is due */
  readonly now?: number
}

/** @param at the step that comes next, from 1 */
function steps(at: number, { old, next, gone, now }: Parts): Step[] {
  const named = (lines: readonly Allow[] | undefined): string =>
    lines === undefined ? '' : ` (${lines.map(({ line }) => placeOf(line)).join(', ')}, ${lines[0]?.key.fingerprint})`
  const when =
    gone === undefined
      ? ''
      : now === undefined
        ? `, ${formatTime(gone)} at the earliest`
        : `, from ${formatTimeFrom(gone, now)} on`
  const texts = [
    `add the line of a new key, wherever the keys lie${named(next)}`,
    'wait until every consumer has read it: half a minute, in Kubernetes some minutes',
    "switch the producer's key file to the new key",
    `set valid-before on the line of the old key${named(old)}`,
    `delete that line, when no message signed with the old key can wait any more${when}`,
  ]
  return texts.map((text, index) => {
    const number = index + 1
    if (number < at) return { state: 'done', text }
    // Waiting and switching leave no trace in the files, so they are due together with what follows them.
    const isDue = now === undefined && (number === at || (at === 2 && number <= 4))
    return { state: isDue ? 'due' : 'later', text }
  })
}
