import type { Admission, Guard } from '../../src/guard.ts'
import { NO_HEADERS } from '../../src/message.ts'
import { Inspection, mark } from '../../src/verdict.ts'
import { type Admissions, type GroupAdmissions, groupKey } from './admissions.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import { EntryDelivery } from './delivery.ts'
import { destinationOf, StreamEntry, toReceived } from './message.ts'
import type { Page, RawEntry } from './reads.ts'
import { converted } from './replies.ts'

/** What became of a page: what the caller gets, and whether anything was in it that it does not get. */
export interface Judged {
  readonly entries: unknown[]
  readonly withheld: number
}

/** What was read of a stream for a group, and is kept from reply to reply. */
interface Stream {
  readonly admissions: GroupAdmissions
  readonly deliveredBy: readonly string[]
  /** with the guard: held, or its dead letter is under way */
  readonly inHand: Set<string>
  /** those of them that wait for a store, for keys or for a place for their dead letters */
  readonly held: Set<string>
  /** what could not be judged when it was read, by id */
  readonly late: Map<string, unknown>
  /** who wait for a change of these */
  readonly waiting: Set<() => void>
}

/** A page whose entries are with the guard: each that is handed over in time is shown in its place. */
interface Showing {
  readonly stream: Stream
  readonly encoding: unknown
  readonly shown: unknown[]
  closed: boolean
}

/** A timer that is set for longer goes off at once. */
const LONGEST_TIMER_MS = 2_147_483_647

/** In the place of an entry that is not handed over. */
const WITHHELD: unique symbol = Symbol('withheld')

/** An entry of a page. */
class ReadDelivery extends EntryDelivery {
  isHandedOver = false
  /** ends its being withheld */
  letGo: (() => void) | undefined
  readonly #raw: RawEntry
  readonly #showing: Showing
  readonly #index: number
  readonly #ending: AbortSignal

  /** @param index its place in the page */
  constructor(
    entry: StreamEntry,
    sink: DeadLetterSink,
    raw: RawEntry,
    showing: Showing,
    index: number,
    ending: AbortSignal,
  ) {
    super(entry, toReceived(entry, showing.stream.deliveredBy), sink)
    this.#raw = raw
    this.#showing = showing
    this.#index = index
    this.#ending = ending
  }

  handle(admission: Admission): void | Promise<void> {
    this.isHandedOver = true
    this.letGo?.()
    // Nobody reads here any more: the entry is pending, and whoever claims it handles it.
    if (this.#ending.aborted) return admission.release()
    const { id, fields } = this.native
    const { stream, shown, encoding, closed } = this.#showing
    stream.admissions.handOver(id, admission)
    const visible = admission.verified === undefined ? fields : this.received.body
    const handed = handedEntry(this.#raw, visible, admission, encoding)
    if (closed) {
      stream.late.set(id, handed)
      changed(stream)
    } else {
      shown[this.#index] = handed
      if (stream.late.size > 0) stream.late.delete(id)
    }
  }

  override held(): void {
    const { stream } = this.#showing
    stream.held.add(this.native.id)
    changed(stream)
  }
}

/** Takes the entries of replies through the guard. What is handed over late comes with a later read of its stream. */
export class GroupReader {
  readonly #guard: Guard<StreamEntry>
  readonly #admissions: Admissions
  readonly #sink: DeadLetterSink
  readonly #ending: AbortSignal
  readonly #streams = new Map<string, Stream>()
  readonly #underway = new Set<Promise<unknown>>()
  /** the stream that was looked for last, which mostly is the next one too */
  #last: Stream | undefined
  #lastName = ''
  #lastGroup = ''

  constructor(guard: Guard<StreamEntry>, admissions: Admissions, sink: DeadLetterSink, ending: AbortSignal) {
    this.#ending = ending
    this.#guard = guard
    this.#admissions = admissions
    this.#sink = sink
  }

  /**
   * Synchronous where keys and replay state are in memory.
   *
   * @param patienceMs what is not judged after so long comes with a later read of its stream
   */
  judge(page: Page, group: string, encoding: unknown, patienceMs?: number): Judged | Promise<Judged> {
    const showing: Showing = { stream: this.#stream(page.key, group), encoding, shown: [], closed: false }
    for (const raw of page.entries) {
      // Deleted meanwhile: there is nothing to check, and the caller may want to know.
      if (raw === null || raw[1] === null) showing.shown.push(converted(raw, encoding))
      else this.#receive(raw, new StreamEntry(page.key, group, String(raw[0]), raw[1]), showing)
    }
    const finish = (): Judged => {
      showing.closed = true
      const entries = showing.shown.filter((entry) => entry !== WITHHELD)
      return { entries, withheld: showing.shown.length - entries.length }
    }
    const { turn } = this.#guard
    if (turn === undefined) return finish()
    return (patienceMs === undefined ? turn : within(turn, patienceMs)).then(finish)
  }

  /** What could not be judged when it was read and can be handed over now, at most so many. */
  takeLate(stream: string, group: string, most: number): unknown[] {
    const { late } = this.#stream(stream, group)
    const entries: unknown[] = []
    for (const [id, entry] of late) {
      if (entries.length >= most) break
      late.delete(id)
      entries.push(entry)
    }
    return entries
  }

  /** How many entries could be handed over now that could not when they were read. */
  lateOf(stream: string, group: string): number {
    return this.#stream(stream, group).late.size
  }

  /** How many entries are with us: held, or their dead letters are being written. */
  unsettledOf(stream: string, group: string): number {
    return this.#stream(stream, group).inHand.size
  }

  /** How many of these are about to be settled: they wait for nothing that is out of reach. */
  settlingOf(stream: string, group: string): number {
    const { inHand, held } = this.#stream(stream, group)
    return inHand.size - held.size
  }

  /** Resolves when any of this has changed in one of the streams, when the reading ends, or after so long. */
  change(streams: readonly string[], group: string, milliseconds: number): Promise<void> {
    if (this.#ending.aborted) return Promise.resolve()
    const watched = streams.map((name) => this.#stream(name, group).waiting)
    return new Promise((resolve) => {
      const timer =
        milliseconds === Number.POSITIVE_INFINITY
          ? undefined
          : setTimeout(done, Math.min(milliseconds, LONGEST_TIMER_MS))
      const signal = this.#ending
      function done(): void {
        clearTimeout(timer)
        for (const waiting of watched) waiting.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      for (const waiting of watched) waiting.add(done)
      signal.addEventListener('abort', done)
    })
  }

  /** Gives back what was never taken: it is pending still. */
  end(): void {
    for (const { admissions, late } of this.#streams.values()) {
      for (const id of late.keys()) {
        void admissions.handed(id)?.release()
        admissions.settled(id)
      }
      late.clear()
    }
    this.#guard.close()
  }

  track(work: Promise<unknown>): void {
    const tracked: Promise<unknown> = work.then(nothing, nothing).then(() => this.#underway.delete(tracked))
    this.#underway.add(tracked)
  }

  /** Resolves when no commit and no dead letter is under way. */
  async drain(): Promise<void> {
    while (this.#underway.size > 0) await Promise.all(this.#underway)
  }

  #stream(name: string, group: string): Stream {
    if (this.#last !== undefined && this.#lastName === name && this.#lastGroup === group) return this.#last
    const key = groupKey(name, group)
    const stream = this.#streams.get(key) ?? this.#make(key, name, group)
    this.#last = stream
    this.#lastName = name
    this.#lastGroup = group
    return stream
  }

  #make(key: string, name: string, group: string): Stream {
    const admissions = this.#admissions.of(name, group)
    const stream: Stream = {
      admissions,
      deliveredBy: [destinationOf(name)],
      inHand: new Set(),
      held: new Set(),
      late: new Map(),
      waiting: new Set(),
    }
    this.#streams.set(key, stream)
    return stream
  }

  #receive(raw: RawEntry, entry: StreamEntry, showing: Showing): void {
    const { stream, shown } = showing
    const { admissions } = stream
    const { id } = entry
    const index = shown.push(WITHHELD) - 1
    // Read again while it waits or its dead letter is written: one of it is enough.
    if (stream.inHand.has(id)) return
    const delivery = new ReadDelivery(entry, this.#sink, raw, showing, index, this.#ending)
    // Until it is handed over or settled, the entry is not the user's to acknowledge.
    admissions.judged = id
    const outcome = this.#guard.receive(delivery)
    admissions.judged = undefined
    if (!(outcome instanceof Promise)) return
    if (!delivery.isHandedOver) delivery.letGo = this.#withhold(stream, id)
    this.track(outcome.finally(() => delivery.letGo?.()))
  }

  /** @returns what ends it; once */
  #withhold(stream: Stream, id: string): () => void {
    const { admissions, inHand } = stream
    inHand.add(id)
    admissions.withhold(id)
    let isInHand = true
    return () => {
      if (!isInHand) return
      isInHand = false
      inHand.delete(id)
      stream.held.delete(id)
      admissions.letGo(id)
      changed(stream)
    }
  }
}

/** The entry as the caller's read would give it, with the fields it may see; senderOf knows the entry and its fields. */
function handedEntry(raw: RawEntry, fields: readonly Buffer[], admission: Admission, encoding: unknown): unknown {
  // A copy, and no list of its own making, which V8 would put beside what lives long.
  const shown = raw.slice()
  shown[1] = fields
  const entry = converted(shown, encoding) as [unknown, object]
  const inspection = new Inspection(admission.verdict, NO_HEADERS, admission.lease)
  mark(entry, inspection)
  mark(entry[1], inspection)
  return entry
}

function changed({ waiting }: Stream): void {
  for (const done of [...waiting]) done()
}

/** Resolves with the work, or after so long. */
function within(work: Promise<void>, milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.min(Math.max(1, milliseconds), LONGEST_TIMER_MS))
    void work.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}

function nothing(): undefined {
  return undefined
}
