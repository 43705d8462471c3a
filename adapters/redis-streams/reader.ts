import type { Admission, Guard } from '../../src/guard.ts'
import { mark } from '../../src/verdict.ts'
import { type Admissions, entryKey } from './admissions.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import { deliveryOf } from './delivery.ts'
import { type StreamEntry, withoutToken } from './message.ts'
import type { Page, RawEntry } from './reads.ts'

/** What became of a page: what the caller gets, and whether anything was in it that it does not get. */
export interface Judged {
  readonly entries: unknown[]
  readonly withheld: number
}

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
    const slots: { entry?: unknown; kept: boolean }[] = []
    let closed = false
    for (const raw of page.entries) {
      const slot: (typeof slots)[number] = { kept: false }
      slots.push(slot)
      // Deleted meanwhile: there is nothing to check, and the caller may want to know.
      if (raw === null || raw[1] === null) {
        Object.assign(slot, { entry: converted(raw, encoding), kept: true })
        continue
      }
      const entry: StreamEntry = { stream: page.key, group, id: String(raw[0]), fields: raw[1] }
      const key = entryKey(page.key, group, entry.id)
      // Read again while it waits or its dead letter is written: one of it is enough.
      if (this.#inHand.has(key)) continue
      this.#receive(entry, key, (admission) => {
        this.#admissions.handOver(key, admission)
        const handed = handedEntry(raw, admission, encoding)
        if (closed) this.#keepLate(entry, handed)
        else {
          Object.assign(slot, { entry: handed, kept: true })
          this.#late.get(entryKey(page.key, group, ''))?.delete(entry.id)
        }
      })
    }
    const finish = (): Judged => {
      closed = true
      const entries = slots.filter(({ kept }) => kept).map(({ entry }) => entry)
      return { entries, withheld: slots.length - entries.length }
    }
    const { turn } = this.#guard
    return turn === undefined ? finish() : turn.then(finish)
  }

  /** What could not be judged when it was read and can be handed over now. */
  takeLate(stream: string, group: string): unknown[] {
    const key = entryKey(stream, group, '')
    const late = this.#late.get(key)?.values() ?? []
    this.#late.delete(key)
    return [...late]
  }

  hasLate(stream: string, group: string): boolean {
    return (this.#late.get(entryKey(stream, group, ''))?.size ?? 0) > 0
  }

  track(work: Promise<unknown>): void {
    const tracked: Promise<unknown> = work.then(nothing, nothing).then(() => this.#underway.delete(tracked))
    this.#underway.add(tracked)
  }

  /** Resolves when no commit and no dead letter is under way. */
  async drain(): Promise<void> {
    while (this.#underway.size > 0) await Promise.all(this.#underway)
  }

  #receive(entry: StreamEntry, key: string, handOver: (admission: Admission) => void): void {
    this.#inHand.add(key)
    this.#admissions.withhold(key)
    let inHand = true
    const letGo = (): void => {
      if (!inHand) return
      inHand = false
      this.#inHand.delete(key)
      this.#admissions.letGo(key)
    }
    const delivery = deliveryOf(entry, entry, this.#sink, (admission) => {
      letGo()
      // Nobody reads here any more: the entry is pending, and whoever claims it handles it.
      if (this.#ending.aborted) return admission.release()
      handOver(admission)
    })
    const outcome = this.#guard.receive(delivery)
    if (outcome instanceof Promise) this.track(outcome.finally(letGo))
    else letGo()
  }

  #keepLate({ stream, group, id }: StreamEntry, handed: unknown): void {
    const key = entryKey(stream, group, '')
    const late = this.#late.get(key) ?? new Map<string, unknown>()
    this.#late.set(key, late.set(id, handed))
  }
}

/** The entry as the caller's read would give it, without the token; senderOf knows the entry and its fields. */
function handedEntry([id, fields, ...more]: RawEntry, admission: Admission, encoding: unknown): unknown {
  const { verdict, verified, release } = admission
  const shown = verified === undefined ? (fields ?? []) : withoutToken(fields ?? [])
  const entry = converted([id, shown, ...more], encoding) as [unknown, object]
  const inspection = { verdict, unsignedHeaders: {}, release }
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
