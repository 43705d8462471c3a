import { QueuePatterns } from './authorized-keys/patterns.ts'
import { SetupError } from './errors.ts'
import { quote } from './text.ts'

/** What a consumer demands of the messages of a queue. */
export interface QueuePolicy {
  /**
   * `enforce` (default): only authorized messages reach the handler. `observe`: every message is verified and reported,
   * and handed on as it is.
   */
  readonly rollout?: 'enforce' | 'observe'
  /** until then a message without a token passes; one with a bad token never does. RFC 3339 text or Date */
  readonly acceptUnsignedUntil?: string | Date
  /**
   * Patterns over the destination that was signed, such as `amqp:orders/order.*`, for messages that arrive by another
   * address than the one they were sent to (retry loops, shovels, mirrored topics). The handler then sees the signed
   * address. `delivered` in the list demands the address of the delivery too, which alone is the default.
   */
  readonly destinations?: readonly string[]
  /**
   * Patterns over the addresses by which messages of this queue are passed on with their old token to be tried again, such
   * as `amqp:/orders.retry`: passing one on there frees its id in this queue, so that it is handled again when it comes
   * back. The queue itself, and the address a message was delivered by, need not be listed. A message that is passed on to
   * any other place, such as an audit queue, stays what it is here. Default: none
   */
  readonly retryDestinations?: readonly string[]
  /** how long a message may wait between signing and handling, in seconds; default 604,800 (7 days) */
  readonly maxAgeSeconds?: number
}

export const DEFAULT_MAX_AGE_SECONDS = 604_800

/** A policy with its defaults filled in. */
export interface ResolvedPolicy {
  readonly rollout: 'enforce' | 'observe'
  /** milliseconds since 1970 */
  readonly acceptUnsignedUntil: number | undefined
  /** the signed destination must equal the addresses of the delivery */
  readonly delivered: boolean
  /** and it must match one of these */
  readonly destinations: QueuePatterns | undefined
  /** what is passed on there comes back */
  readonly retryDestinations?: QueuePatterns | undefined
  readonly maxAgeSeconds: number
}

/** What one line of a queue_policy file says of some queues; it goes before what the code says. */
export interface PolicyRule {
  readonly queues: QueuePatterns
  /** only what the line names */
  readonly overrides: Readonly<Partial<ResolvedPolicy>>
}

/** The most queues whose policy is remembered; beyond that it is looked up each time. */
const MAX_REMEMBERED = 10_000

/**
 * The policies of one verifier: a default, and others by queue name or pattern. An exact name goes before patterns. Over
 * those lie the rules of a queue_policy file, member by member, so that a mode can change without a release.
 */
export class Policies {
  readonly #default: ResolvedPolicy
  readonly #exact = new Map<string, ResolvedPolicy>()
  readonly #patterns: (readonly [QueuePatterns, ResolvedPolicy])[] = []
  readonly #maxAgeLimit: number
  #rules: readonly PolicyRule[] | undefined
  readonly #remembered = new Map<string, ResolvedPolicy>()

  /** @param maxAgeLimit what a rule of a file cannot raise maxAgeSeconds above, in seconds */
  constructor(
    defaults: QueuePolicy,
    queues: Readonly<Record<string, QueuePolicy>> = {},
    maxAgeLimit: number = Number.POSITIVE_INFINITY,
  ) {
    this.#default = resolve(defaults, 'the default policy')
    for (const [name, policy] of Object.entries(queues)) {
      const resolved = resolve({ ...defaults, ...given(policy) }, `queues[${quote(name)}]`)
      if (/[*?!]/.test(name)) this.#patterns.push([parsePatterns(name, `queues[${quote(name)}]`), resolved])
      else this.#exact.set(name, resolved)
    }
    this.#maxAgeLimit = maxAgeLimit
  }

  /** @param rules of a queue_policy file as they are now; comparing them costs nothing while they stay the same */
  of(queue: string, rules?: readonly PolicyRule[]): ResolvedPolicy {
    if (rules !== this.#rules) {
      this.#rules = rules
      this.#remembered.clear()
    }
    const remembered = this.#remembered.get(queue)
    if (remembered !== undefined) return remembered
    const found = this.#find(queue)
    if (this.#remembered.size < MAX_REMEMBERED) this.#remembered.set(queue, found)
    return found
  }

  /** Every policy of the code, for checks of them. */
  all(): ResolvedPolicy[] {
    return [this.#default, ...this.#exact.values(), ...this.#patterns.map(([, policy]) => policy)]
  }

  #find(queue: string): ResolvedPolicy {
    const own =
      this.#exact.get(queue) ?? this.#patterns.find(([patterns]) => patterns.matches(queue))?.[1] ?? this.#default
    const rules = this.#rules?.filter(({ queues }) => queues.matches(queue)) ?? []
    const rule = rules.find(({ queues }) => isExact(queues)) ?? rules[0]
    if (rule === undefined) return own
    const merged = { ...own, ...rule.overrides }
    return { ...merged, maxAgeSeconds: Math.min(merged.maxAgeSeconds, Math.max(own.maxAgeSeconds, this.#maxAgeLimit)) }
  }
}

function isExact({ patterns }: QueuePatterns): boolean {
  return !patterns.some((pattern) => /[*?!]/.test(pattern))
}

/** An option that is undefined is not given: it must not take away what the default policy demands. */
function given(policy: QueuePolicy): QueuePolicy {
  return Object.fromEntries(Object.entries(policy).filter(([, value]) => value !== undefined))
}

const OPTIONS: ReadonlySet<string> = new Set([
  'rollout',
  'acceptUnsignedUntil',
  'destinations',
  'retryDestinations',
  'maxAgeSeconds',
])

function resolve(policy: QueuePolicy, where: string): ResolvedPolicy {
  const unknown = Object.keys(policy).find((name) => !OPTIONS.has(name))
  if (unknown !== undefined) {
    // A misspelt restriction must not go unnoticed.
    throw new SetupError(
      'option-invalid',
      `${where}: ${quote(unknown)} is no option; there are ${[...OPTIONS].join(', ')}`,
    )
  }
  const { rollout = 'enforce', acceptUnsignedUntil, destinations, retryDestinations } = policy
  const { maxAgeSeconds = DEFAULT_MAX_AGE_SECONDS } = policy
  if (rollout !== 'enforce' && rollout !== 'observe') {
    throw new SetupError('option-invalid', `${where}: rollout must be "enforce" or "observe"`)
  }
  if (typeof maxAgeSeconds !== 'number' || !(maxAgeSeconds > 0)) {
    throw new SetupError('option-invalid', `${where}: maxAgeSeconds must be a positive number of seconds, or Infinity`)
  }
  checkDestinations({ destinations, retryDestinations }, where)
  const patterns = destinations?.filter((pattern) => pattern !== 'delivered')
  return {
    rollout,
    acceptUnsignedUntil: acceptUnsignedUntil === undefined ? undefined : parseDate(acceptUnsignedUntil, where),
    delivered: destinations === undefined || destinations.includes('delivered'),
    destinations: patterns === undefined || patterns.length === 0 ? undefined : parsePatterns(patterns, where),
    retryDestinations: retryDestinations && parsePatterns(retryDestinations, where),
    maxAgeSeconds,
  }
}

/** @throws SetupError `option-invalid` */
function checkDestinations(lists: Readonly<Record<string, readonly string[] | undefined>>, where: string): void {
  for (const [name, list] of Object.entries(lists)) {
    if (list === undefined) continue
    if (!Array.isArray(list) || list.length === 0) {
      throw new SetupError('option-invalid', `${where}: ${name} must be a list of patterns such as "amqp:orders/*"`)
    }
    for (const pattern of list) {
      if ((name === 'destinations' && pattern === 'delivered') || isDestinationPattern(pattern)) continue
      throw new SetupError(
        'option-invalid',
        `${where}: no destination is like the pattern ${quote(pattern)} of ${name}; write for example "amqp:<exchange>/<routing key>", percent-encoded outside [A-Za-z0-9._-]`,
      )
    }
  }
}

/**
 * Whether some destination could be like a pattern: a scheme, then what an address consists of. Another veto would let in
 * what it is meant to keep out, since addresses are percent-encoded.
 */
export function isDestinationPattern(pattern: string): boolean {
  return /^!?[a-z*][a-z0-9*-]*:(?:[A-Za-z0-9._/*?-]|%(?:[0-9A-F?]{2}|[0-9A-F?]?\*))*$/.test(pattern)
}

/** The patterns of key files, but it is an option that is wrong here. */
function parsePatterns(list: string | readonly string[], where: string): QueuePatterns {
  try {
    return QueuePatterns.parse(list)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    throw new SetupError('option-invalid', `${where}: ${error.message}`)
  }
}

const RFC3339 = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/

function parseDate(value: string | Date, where: string): number {
  const time = value instanceof Date ? value.getTime() : RFC3339.test(value) ? Date.parse(value) : Number.NaN
  if (Number.isNaN(time)) {
    throw new SetupError(
      'option-invalid',
      `${where}: acceptUnsignedUntil must be a Date or a text such as "2026-12-31T00:00Z"`,
    )
  }
  return time
}
