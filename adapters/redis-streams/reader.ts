import type { Admission, Guard } from '../../src/guard.ts'
import type { Headers } from '../../src/message.ts'
import { mark } from '../../src/verdict.ts'
import { type Admissions, groupKey } from './admissions.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import { EntryDelivery } from './delivery.ts'
import { destinationOf, type StreamEntry, toReceived } from './message.ts'
import type { Page, RawEntry } from './reads.ts'

/** What became of a page: what the caller gets, and whether anything was in it that it does not get. */
export interface Judged {
  readonly entries: unknown[]
  readonly withheld: number
}

/** A page whose entries are with the guard: each that is handed over in time is shown in its place. */
interface Showing {
  readonly groupKey: string
  readonly deliveredBy: readonly string[]
  readonly encoding: unknown
  readonly shown: unknown[]
  closed: boolean
}

/** In the place of an entry that is not handed over. */
const WITHHELD: unique symbol = Symbol('withheld')

/** Takes the entries of replies through the guard. What is handed over late comes with a later read of its stream. */
export class GroupReader {
  readonly #guard: Guard<StreamEntry>
  readonly #admissions: Admissions
  readonly #sink: DeadLetterSink
  readonly #ending: AbortSignal
  readonly #late = new Map<string, unknown[]>()
  readonly #underway = new Set<Promise<unknown>>()

  constructor(guard: Guard<StreamEntry>, admissions: Admissions, sink: DeadLetterSink, ending: AbortSignal) {
    this.#ending = ending
    this.#guard = guard
    this.#admissions = admissions
    this.#sink = sink
  }

  /** Synchronous where keys and replay state are in memory. */
  judge(page: Page, group: string, encoding: unknown): Judged | Promise<Judged> {
    const showing: Showing = {
      groupKey: groupKey(page.key, group),
      deliveredBy: [destinationOf(page.key)],
      encoding,
      shown: [],
      closed: false,
    }
    for (const raw of page.entries) {
      // Deleted meanwhile: there is nothing to check, and the caller may want to know.
      if (raw === null || raw[1] === null) showing.shown.push(converted(raw, encoding))
      else this.#receive(raw, { stream: page.key, group, id: String(raw[0]), fields: raw[1] }, showing)
    }
    const finish = (): Judged => {
      showing.closed = true
      const entries = showing.shown.filter((entry) => entry !== WITHHELD)
      return { entries, withheld: showing.shown.length - entries.length }
    }
    const { turn } = this.#guard
    return turn === undefined ? finish() : turn.then(finish)
  }

  /** What could not be judged when it was read and can be handed over now. */
  takeLate(stream: string, group: string): unknown[] {
    const key = groupKey(stream, group)
    const late = this.#late.get(key) ?? []
    this.#late.delete(key)
    return late
  }

  hasLate(stream: string, group: string): boolean {
    return this.#late.has(groupKey(stream, group))
  }

  track(work: Promise<unknown>): void {
    const tracked: Promise<unknown> = work.then(nothing, nothing).then(() => this.#underway.delete(tracked))
    this.#underway.add(tracked)
  }

  /** Resolves when no commit and no dead letter is under way. */
  async drain(): Promise<void> {
    while (this.#underway.size > 0) await Promise.all(this.#underway)
  }

  #receive(raw: RawEntry, entry: StreamEntry, showing: Showing): void {
    const index = showing.shown.push(WITHHELD) - 1
    const key = showing.groupKey + entry.id
    // Until it is handed over or settled, the entry is not the user's to acknowledge.
    const letGo = this.#admissions.withhold(key)
    const received = toReceived(entry, showing.deliveredBy)
    const delivery = new EntryDelivery(entry, received, this.#sink, (admission) => {
      letGo()
      // Nobody reads here any more: the entry is pending, and whoever claims it handles it.
      if (this.#ending.aborted) return admission.release()
      this.#admissions.handOver(key, admission)
      const [id, fields, ...more] = raw
      const visible = admission.verified === undefined ? fields : received.body
      const handed = marked(converted([id, visible, ...more], showing.encoding) as [unknown, object], admission)
      if (showing.closed) this.#keepLate(showing.groupKey, handed)
      else showing.shown[index] = handed
    })
    const outcome = this.#guard.receive(delivery)
    if (outcome instanceof Promise) this.track(outcome.finally(letGo))
    else letGo()
  }

  #keepLate(groupKey: string, entry: unknown): void {
    this.#late.set(groupKey, [...(this.#late.get(groupKey) ?? []), entry])
  }
}

/** All fields of an entry are signed. */
const NO_HEADERS: Headers = Object.freeze({})

/** senderOf knows the entry and its fields. */
function marked(entry: [unknown, object], { verdict, release }: Admission): unknown {
  const inspection = { verdict, unsignedHeaders: NO_HEADERS, release }
  mark(entry, inspection)
  mark(entry[1], inspection)
  return entry
}

/** What ioredis makes of a reply for a caller who wants text. */
export function converted(value: unknown, encoding: unknown): unknown {
  if (typeof encoding !== 'string') return value
  if (Buffer.isBuffer(value)) return value.toString(encoding as BufferEncoding)
  if (Array.isArray(value)) return value.map((item) => converted(item, encoding))
  return value
}

function nothing(): undefined {
  return undefined
}
