import type { SetupError, SourcePosition } from '../errors.ts'
import { isDestinationPattern, type PolicyRule, type ResolvedPolicy } from '../policy.ts'
import { QueuePatterns } from './patterns.ts'
import { asciiFault, at, contentLines, type Field, raise, shown, splitFields, syntaxError } from './syntax.ts'
import { parseTimestamp } from './timestamps.ts'

/** The most lines of a queue_policy text. */
export const MAX_POLICY_LINES = 10_000

const NAMES = ['rollout', 'accept-unsigned-until', 'max-age', 'destinations'] as const
type MemberName = (typeof NAMES)[number]

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** Longer than any message waits, and short enough that no sum with a time stops being a safe integer. */
const MAX_AGE_SECONDS = 3_650 * 86_400

/** A line of a queue_policy file. */
export interface QueuePolicyLine extends PolicyRule {
  /** where the line stands, for people */
  readonly position: SourcePosition
}

/**
 * Reads a queue_policy text, one line `queues name=value …` after the other:
 *
 * ```
 * # queues            what holds for them
 * orders.*            rollout=observe
 * invoices,receipts   accept-unsigned-until=2026-12-31T00:00Z  max-age=7d
 * orders.retry        destinations=delivered,amqp:orders/order.*
 * ```
 *
 * Queues are patterns as in authorized_keys ({@link QueuePatterns}). Of several lines that match a queue, the first one
 * without a wildcard holds, else the first. What a line does not name stays as the code has it. As in all these files
 * there is no partial result.
 *
 * @param file its name, for errors and positions
 * @throws SetupError `authorized-keys-invalid` with line and column, `key-private-in-public-place`
 */
export function parseQueuePolicy(text: string, file: string): readonly QueuePolicyLine[] {
  const lines: QueuePolicyLine[] = []
  const seen = new Map<string, SourcePosition>()
  for (const { text: content, position } of contentLines(text, file, raise)) {
    if (lines.length === MAX_POLICY_LINES) throw syntaxError(`more than ${MAX_POLICY_LINES} lines`, position)
    const line = parseLine(content, position)
    const queues = line.queues.patterns.join(',')
    const before = seen.get(queues)
    if (before !== undefined) {
      throw syntaxError(
        `a second line for ${shown(queues)}: line ${before.line} is the first; make one of them`,
        position,
      )
    }
    seen.set(queues, position)
    lines.push(line)
  }
  return Object.freeze(lines)
}

function parseLine(text: string, position: SourcePosition): QueuePolicyLine {
  const fields = splitFields(text, Number.POSITIVE_INFINITY)
  const fault = asciiFault(text, fields, position)
  if (fault !== undefined) throw fault
  const [queuesField, ...members] = fields
  if (queuesField === undefined) throw syntaxError('a line that says nothing: delete it', position)
  const here = at(position, queuesField.start)
  const forgotten = /^([a-z-]+)=/.exec(queuesField.text)?.[1]
  if (forgotten !== undefined && isMemberName(forgotten)) {
    throw syntaxError(`no queues: the line begins with the queues it is for; write orders.* ${forgotten}=…`, here)
  }
  const queues = QueuePatterns.parse(queuesField.text, here)
  if (members.length === 0) {
    throw syntaxError(
      'nothing follows the queues: write for example rollout=observe',
      at(position, text.trimEnd().length),
    )
  }
  const overrides: Partial<ResolvedPolicy> = {}
  const given = new Set<MemberName>()
  for (const field of members) {
    const { name, value } = splitMember(field, position)
    if (given.has(name)) throw syntaxError(`a second ${name}: write one`, at(position, field.start))
    given.add(name)
    Object.assign(overrides, READERS[name](value))
  }
  return Object.freeze({ queues, overrides: Object.freeze(overrides), position: here })
}

/** What stands behind the equals sign. */
interface Value {
  readonly text: string
  readonly position: SourcePosition
}

function splitMember(field: Field, position: SourcePosition): { name: MemberName; value: Value } {
  const here = at(position, field.start)
  if (field.text.startsWith('#')) throw syntaxError('a comment stands on a line of its own here', here)
  const equals = field.text.indexOf('=')
  const name = equals < 0 ? field.text : field.text.slice(0, equals)
  if (!isMemberName(name)) throw unknownMember(name, here)
  const value = { text: field.text.slice(equals + 1), position: at(position, field.start + equals + 1) }
  if (equals < 0 || value.text === '') {
    throw syntaxError(`${name} has no value: write ${name}=… without spaces around the equals sign`, here)
  }
  if (value.text.includes('"')) throw syntaxError('a quote: values are written without quotes here', value.position)
  return { name, value }
}

function isMemberName(name: string): name is MemberName {
  return (NAMES as readonly string[]).includes(name)
}

function unknownMember(name: string, position: SourcePosition): SetupError {
  const plain = name.toLowerCase().replaceAll('_', '-')
  const meant = NAMES.find((known) => known === plain || known.replaceAll('-', '') === plain.replace(/seconds$/, ''))
  if (meant !== undefined) return syntaxError(`not a name: write ${meant}=…`, position)
  return syntaxError(`${shown(name)} is not known here: there are ${NAMES.join(', ')}`, position)
}

const READERS: Readonly<Record<MemberName, (value: Value) => Partial<ResolvedPolicy>>> = {
  rollout: ({ text, position }) => {
    if (text === 'enforce' || text === 'observe') return { rollout: text }
    throw syntaxError(`${shown(text)} is no rollout: write rollout=enforce or rollout=observe`, position)
  },
  'accept-unsigned-until': ({ text, position }) => {
    const seconds = parseTimestamp(text)
    if (seconds !== undefined) return { acceptUnsignedUntil: seconds * 1000 }
    const forms = 'accept-unsigned-until=2026-12-31T00:00Z, or =2026-12-31 for midnight UTC'
    throw syntaxError(`${shown(text)} is no time in UTC that a calendar has: write it as ${forms}`, position)
  },
  'max-age': ({ text, position }) => {
    const [, count = '', unit = ''] = /^([1-9]\d{0,9})([smhd])$/.exec(text) ?? []
    const seconds = Number(count) * (SECONDS[unit] ?? 0)
    if (seconds > 0 && seconds <= MAX_AGE_SECONDS) return { maxAgeSeconds: seconds }
    throw syntaxError(
      `${shown(text)} is no age: write a whole number and s, m, h or d, such as max-age=7d, at most 3650d`,
      position,
    )
  },
  destinations: ({ text, position }) => {
    const all = text.split(',')
    const patterns = all.filter((pattern) => pattern !== 'delivered')
    const unfit = patterns.find((pattern) => !isDestinationPattern(pattern))
    if (unfit !== undefined) {
      throw syntaxError(
        `no destination is like ${shown(unfit)}: write for example amqp:orders/order.*, percent-encoded outside [A-Za-z0-9._-], or delivered`,
        position,
      )
    }
    return {
      delivered: patterns.length < all.length,
      destinations: patterns.length === 0 ? undefined : QueuePatterns.parse(patterns, position),
    }
  },
}
