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
  /** by stream and group, then by id */
  readonly #late = new Map<string, Map<string, unknown>>()
  /** what the guard has: held, or its dead letter is under way */
  readonly #inHand = new Set<string>()
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
    const late = this.#late.get(key)?.values() ?? []
    this.#late.delete(key)
    return [...late]
  }

  hasLate(stream: string, group: string): boolean {
    return (this.#late.get(groupKey(stream, group))?.size ?? 0) > 0
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
    // Read again while it waits or its dead letter is written: one of it is enough.
    if (this.#inHand.has(key)) return
    this.#inHand.add(key)
    // Until it is handed over or settled, the entry is not the user's to acknowledge.
    const allow = this.#admissions.withhold(key)
    const letGo = (): void => {
      if (allow()) this.#inHand.delete(key)
    }
    const received = toReceived(entry, showing.deliveredBy)
    const delivery = new EntryDelivery(entry, received, this.#sink, (admission) => {
      letGo()
      // Nobody reads here any more: the entry is pending, and whoever claims it handles it.
      if (this.#ending.aborted) return admission.release()
      this.#admissions.handOver(key, admission)
      const [id, fields, ...more] = raw
      const visible = admission.verified === undefined ? fields : received.body
      const handed = marked(converted([id, visible, ...more], showing.encoding) as [unknown, object], admission)
      if (showing.closed) this.#keepLate(showing.groupKey, entry.id, handed)
      else {
        showing.shown[index] = handed
        this.#late.get(showing.groupKey)?.delete(entry.id)
      }
    })
    const outcome = this.#guard.receive(delivery)
    if (outcome instanceof Promise) this.track(outcome.finally(letGo))
    else letGo()
  }

  #keepLate(groupKey: string, id: string, handed: unknown): void {
    const late = this.#late.get(groupKey) ?? new Map<string, unknown>()
    this.#late.set(groupKey, late.set(id, handed))
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
