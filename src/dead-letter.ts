import { acrossBuilds } from './across-builds.ts'
import { isReservedHeader, type ReceivedMessage, TOKEN_HEADER } from './message.ts'
import { REJECT_CODES, type RejectCode } from './reasons.ts'
import type { Rejected } from './verdict.ts'

/** A rejected message on its way to where it can be looked at. */
export interface DeadLetter<Native = unknown> {
  readonly reason: RejectCode
  /** for people; holds no token, body or header text */
  readonly detail: string
  /** the queue it was read from */
  readonly queue: string
  readonly at: Date
  /** only when the signature was valid */
  readonly fingerprint?: string
  /** only when the signature was valid and the key belongs to that service */
  readonly service?: string
  readonly received: ReceivedMessage
  /** the client's own message */
  readonly message: Native
  /** it was a dead letter before, and was put back into its queue; undefined: it was not */
  readonly returned?: Returned
}

/**
 * What a dead letter that came back says of itself. Anyone can write that, so nothing rests on it but where it is stored
 * when it is rejected again.
 */
export interface Returned {
  /** how often it came back, this time included */
  readonly count: number
  /** why it was rejected first */
  readonly explanation: Readonly<Record<string, string>>
}

/** How often a dead letter may come back and be rejected again; after that it is parked in a place of its own. */
export const MAX_RETURNS = 3

/** Whether a dead letter goes to where those are that came back too often: something sends them back in circles. */
export function isParked({ returned }: Pick<DeadLetter, 'returned'>): boolean {
  return returned !== undefined && returned.count > MAX_RETURNS
}

/** A dead letter can never be stored as it is: it is parked, and its message stays unsettled. */
export class UnstorableError extends Error {
  static {
    acrossBuilds(UnstorableError, 'UnstorableError')
  }

  override readonly name = 'UnstorableError'
}

export function createDeadLetter<Native>(
  rejected: Rejected,
  received: ReceivedMessage,
  message: Native,
  returned?: Returned,
): DeadLetter<Native> {
  const { code, detail, fingerprint, service } = rejected
  return {
    reason: code,
    detail,
    queue: received.queue,
    at: new Date(),
    ...(fingerprint !== undefined && { fingerprint }),
    ...(service !== undefined && { service }),
    received,
    message,
    ...(returned !== undefined && { returned }),
  }
}

/** Why, in the fewest words. */
export const REASON_HEADER = 'queueauth-reason'
const RETURNS_HEADER = 'queueauth-returns'
const LAST_REASON_HEADER = 'queueauth-last-reason'

/**
 * The headers that explain a dead letter. They are not signed: readers of dead letters must not trust them. One that came
 * back keeps its first explanation, so that its size stays.
 */
export function explanationHeaders(letter: DeadLetter): Record<string, string> {
  if (letter.returned !== undefined) return { ...letter.returned.explanation, ...reasonHeaders(letter) }
  return {
    ...reasonHeaders(letter),
    'queueauth-detail': letter.detail,
    'queueauth-queue': letter.queue,
    'queueauth-at': letter.at.toISOString(),
    ...(letter.fingerprint !== undefined && { 'queueauth-fingerprint': letter.fingerprint }),
    ...(letter.service !== undefined && { 'queueauth-service': letter.service }),
  }
}

/** What has to be said where there is room for nothing else. */
export function reasonHeaders({ reason, returned }: DeadLetter): Record<string, string> {
  return returned === undefined ? { [REASON_HEADER]: reason } : returnedHeaders(returned, reason)
}

/** The first reason, how often it came back, and why it is rejected now. */
export function returnedHeaders({ count, explanation }: Returned, reason: string): Record<string, string> {
  return {
    [REASON_HEADER]: explanation[REASON_HEADER] ?? reason,
    [RETURNS_HEADER]: String(count),
    [LAST_REASON_HEADER]: reason,
  }
}

const ORIGINAL = 'queueauth-original-'

/** What a header is called on a dead letter that cannot carry it under its own name: ours, or one the broker acts on. */
export function originalHeaderName(name: string): string {
  return `${ORIGINAL}${name}`
}

/** The name that {@link originalHeaderName} was given; undefined for any other name. */
export function renamedHeader(name: string): string | undefined {
  return name.startsWith(ORIGINAL) ? name.slice(ORIGINAL.length) : undefined
}

/** Names that the explanation of every transport may have. */
const EXPLAINING: readonly string[] = [
  REASON_HEADER,
  'queueauth-detail',
  'queueauth-queue',
  'queueauth-at',
  'queueauth-fingerprint',
  'queueauth-service',
]

/** Said anew each time. */
const COUNTING: ReadonlySet<string> = new Set([RETURNS_HEADER, LAST_REASON_HEADER])

const REASONS: ReadonlySet<string> = new Set<string>([...REJECT_CODES, 'deliveries-exceeded'])

/** Tells the dead letters of one transport that came back from messages that only have some header of that kind. */
export class ReturnedReader {
  readonly #names: ReadonlySet<string>
  readonly #restores: (name: string, value: unknown) => boolean

  /**
   * @param names what else this transport explains
   * @param restores whether a header of this original name was kept under another, beside those that are reserved
   */
  constructor(names: readonly string[], restores: (name: string, value: unknown) => boolean = () => false) {
    this.#names = new Set([...EXPLAINING, ...names])
    this.#restores = restores
  }

  /**
   * Reads the explanation; undefined when it is none that this library writes in every part, so that what was planted
   * stays what it is.
   *
   * The message is then judged as if it had been sent without the explanation, which its sender could have done, too: an
   * imitation gains nothing.
   */
  read(headers: Iterable<readonly [name: string, value: unknown]>): Returned | undefined {
    const explanation: Record<string, string> = Object.create(null) as Record<string, string>
    let before = 0
    for (const [name, value] of headers) {
      if (name === TOKEN_HEADER || !isReservedHeader(name)) continue
      const renamed = renamedHeader(name)
      if (renamed !== undefined) {
        if (isReservedHeader(renamed) || this.#restores(renamed, value)) continue
        return undefined
      }
      const text = textOf(value)
      if (text === undefined) return undefined
      if (name === RETURNS_HEADER) before = countOf(text)
      else if (COUNTING.has(name)) continue
      else if (!this.#names.has(name) || Object.hasOwn(explanation, name)) return undefined
      else explanation[name] = text
    }
    if (!REASONS.has(explanation[REASON_HEADER] ?? '')) return undefined
    return { count: before + 1, explanation }
  }
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length).toString() : undefined
}

/** Beyond a million it makes no difference. */
function countOf(text: string): number {
  return /^\d{1,6}$/.test(text) ? Number(text) : 0
}
