import type { CommandLike } from './client.ts'
import { textOf } from './message.ts'
import { ownCommand } from './own-command.ts'
import { storeUnreachable } from './read-errors.ts'
import type { Judged } from './reader.ts'
import {
  countIndexOf,
  type GroupRead,
  type Page,
  pagesOf,
  parseReadGroup,
  replyOf,
  replyShapeOf,
  withoutStreams,
} from './reads.ts'
import { converted, listen } from './replies.ts'
import type { Session } from './session.ts'

/** How many entries of a stream may wait with us where a read does not say how many it asks for. */
const MAX_HELD = 1_000

/**
 * A read that does not block, or only briefly, may take so long: it does not end while all that it finds is refused.
 * One whose time is over looks at so many pages at least, so that a slow machine shows what is there.
 */
const READ_ON_MS = 1_000
const READ_ON_PAGES = 10

/** How long a read of what is pending waits for checks that cannot be made, before it fails. */
const HISTORY_MS = 5_000

/** Such a read finds nothing and changes nothing. The one after it is what `>` is to the server. */
const AFTER_ALL = '18446744073709551615-18446744073709551614'

const NEW = '>'

type Send = (command: CommandLike) => unknown

/** In the place of an answer: all that was found was refused. */
const READ_ON: unique symbol = Symbol('read on')

/** One XREADGROUP of a guarded client, from its call to its answer. */
export class GuardedRead {
  readonly #session: Session
  readonly #send: Send
  readonly #command: CommandLike
  readonly #read: GroupRead
  /** the names of its streams, in their order */
  readonly #names: readonly string[]
  /** those of them whose new entries are asked for, not what is pending */
  readonly #new: readonly string[]
  /** how many entries of a stream may wait with us before no more are read */
  readonly #most: number
  readonly #began = performance.now()
  /** undefined: it does not block; 0: without end */
  readonly #blockMs: number | undefined
  #encoding: unknown
  #pagesRead = 0

  constructor(session: Session, send: Send, command: CommandLike, read: GroupRead, names: readonly string[]) {
    this.#session = session
    this.#send = send
    this.#command = command
    this.#read = read
    this.#names = names
    const { args } = command
    this.#new = names.filter((_, index) => String(args[read.streams[index]?.idIndex as number]) === NEW)
    const countIndex = countIndexOf(args)
    const count = countIndex === undefined ? 0 : Number(args[countIndex])
    this.#most = count > 0 ? count : MAX_HELD
    this.#blockMs = read.blockIndex === undefined ? undefined : Number(args[read.blockIndex])
  }

  /**
   * To be called before it is sent first.
   *
   * @param alone no part of a pipeline, so that it may be sent later
   * @returns whether it is to be sent now; else it is sent, or answered, later
   */
  begin(alone: boolean): boolean {
    listen(this.#command, (reply, encoding) => {
      this.#encoding = encoding
      return this.#answer(reply)
    })
    const full = this.#full()
    const hasLate = this.#hasLate()
    if (alone && (full.length > 0 || hasLate)) {
      void this.#whenThereIsRoom()
      return false
    }
    if (full.length > 0) {
      const args = [...this.#command.args]
      for (const name of full) args[this.#read.streams[this.#names.indexOf(name)]?.idIndex as number] = AFTER_ALL
      this.#command.args = args
    }
    if (hasLate) this.#hurry(this.#command, this.#read)
    this.#askForLess(this.#command)
    return true
  }

  /** When it has to end. */
  get #deadline(): number {
    return this.#blockMs === 0 ? Number.POSITIVE_INFINITY : this.#began + (this.#blockMs ?? READ_ON_MS)
  }

  /** Until when checks and dead letters are waited for. */
  get #patientUntil(): number {
    return Math.max(this.#deadline, this.#began + READ_ON_MS)
  }

  /** The streams whose new entries are asked for, and of which as many wait with us as were asked for. */
  #full(): string[] {
    const { reader } = this.#session
    const { group } = this.#read
    return this.#new.filter((name) => reader.unsettledOf(name, group) + reader.lateOf(name, group) >= this.#most)
  }

  #hasLate(): boolean {
    const { reader } = this.#session
    return this.#names.some((name) => reader.lateOf(name, this.#read.group) > 0)
  }

  /** Where something waits with us, so much less is asked for. */
  #askForLess(command: CommandLike): void {
    if (this.#new.length < this.#names.length) return
    const { reader } = this.#session
    const { group } = this.#read
    let taken = 0
    for (const name of this.#names) {
      taken = Math.max(taken, reader.unsettledOf(name, group) + reader.lateOf(name, group))
    }
    const countIndex = taken === 0 ? undefined : countIndexOf(command.args)
    if (countIndex === undefined) return
    command.args = command.args.with(countIndex, String(Math.max(1, this.#most - taken)))
  }

  /** There is something to show, so it does not wait for more. */
  #hurry(command: CommandLike, { blockIndex }: GroupRead): void {
    if (blockIndex !== undefined) command.args = command.args.with(blockIndex, '1')
  }

  /** Waits here for as long as it may block at the server, until there is something to show or room for more. */
  async #whenThereIsRoom(): Promise<void> {
    const command = this.#command
    const until = this.#blockMs === undefined ? this.#began : this.#deadline
    for (;;) {
      const full = this.#full()
      const isFull = full.length === this.#names.length
      const left = until - performance.now()
      if (isFull && left > 0 && !this.#hasLate() && !this.#session.isOver) {
        await this.#session.reader.change(this.#names, this.#read.group, left)
        continue
      }
      // With nothing to ask for, what is there is shown; that may be nothing.
      if (isFull || this.#session.isOver) command.resolve(null)
      else {
        const read = this.#leaveOut(command, this.#read, full)
        if (this.#hasLate()) this.#hurry(command, read)
        else this.#blockForTheRest(command, read)
        this.#askForLess(command)
        this.#send(command)
      }
      return
    }
  }

  #leaveOut(command: CommandLike, read: GroupRead, full: readonly string[]): GroupRead {
    if (full.length === 0) return read
    const keys = read.streams.map(({ key }) => key).filter((key) => full.includes(textOf(key) as string))
    command.args = withoutStreams(command.args, read, new Set(keys))
    return parseReadGroup(command.args) as GroupRead
  }

  #blockForTheRest(command: CommandLike, { blockIndex }: GroupRead): void {
    if (blockIndex === undefined || this.#blockMs === 0) return
    const left = Math.max(1, Math.ceil(this.#deadline - performance.now()))
    command.args = command.args.with(blockIndex, String(left))
  }

  #answer(reply: unknown): unknown | Promise<unknown> {
    const command = this.#command
    const pages = pagesOf(reply, replyShapeOf(command))
    // Neither entries nor none: nothing we know is handed on unseen.
    if (pages === undefined && reply !== null && reply !== undefined) return null
    const judged = this.#judge(pages ?? [])
    if (judged instanceof Promise) return judged.then((made) => this.#showOrReadOn(pages ?? [], made))
    return this.#showOrReadOn(pages ?? [], judged)
  }

  #showOrReadOn(pages: readonly Page[], judged: readonly Judged[]): unknown | Promise<unknown> {
    const shown = this.#show(this.#command.args, pages, judged)
    return shown === READ_ON ? this.#readOn(pages) : shown
  }

  #judge(pages: readonly Page[]): Judged[] | Promise<Judged[]> {
    const { reader } = this.#session
    const { group } = this.#read
    const judged = pages.map((page) => reader.judge(page, group, this.#encoding, this.#patienceOf(page.key)))
    return judged.some((one) => one instanceof Promise) ? Promise.all(judged) : (judged as Judged[])
  }

  /** undefined: for as long as it takes. What is pending is read in order, so its checks are waited for. */
  #patienceOf(name: string): number | undefined {
    if (!this.#new.includes(name) || this.#blockMs === 0) return undefined
    return this.#patientUntil - performance.now()
  }

  #show(args: CommandLike['args'], pages: readonly Page[], judged: readonly Judged[]): unknown | typeof READ_ON {
    this.#pagesRead++
    const answer = this.#takeLate()
    let withheld = 0
    for (const [index, page] of pages.entries()) {
      const one = judged[index] as Judged
      withheld += one.withheld
      // An empty page that was empty before tells that a history is read to its end.
      if (one.entries.length > 0 || (page.entries.length === 0 && !args.includes(AFTER_ALL))) {
        answer.set(page.key, [...(answer.get(page.key) ?? []), ...one.entries])
      }
    }
    // All of it was refused: that is not the end of the stream.
    if (withheld > 0 && answer.size === 0 && !this.#session.isOver) return READ_ON
    const shown = [...answer].map(([key, entries]) => ({ key: converted(Buffer.from(key), this.#encoding), entries }))
    return shown.length === 0 ? null : replyOf(shown, replyShapeOf(this.#command))
  }

  #takeLate(): Map<string, unknown[]> {
    const { reader } = this.#session
    const answer = new Map<string, unknown[]>()
    for (const name of this.#names) {
      if (reader.lateOf(name, this.#read.group) === 0) continue
      answer.set(name, reader.takeLate(name, this.#read.group, this.#most))
    }
    return answer
  }

  /** Reads until there is something to show, for as long as was asked for, and no more than was asked for. */
  async #readOn(refused: readonly Page[]): Promise<unknown> {
    let command = this.#command
    let read = parseReadGroup(command.args) as GroupRead
    let pages = refused
    while (await this.#mayReadOn()) {
      const again = ownCommand(command, 'xreadgroup', argumentsAfter(command, read, pages))
      read = this.#leaveOut(again, parseReadGroup(again.args) as GroupRead, this.#full())
      this.#askForLess(again)
      this.#blockForTheRest(again, read)
      this.#send(again)
      pages = pagesOf(await again.promise, replyShapeOf(again)) ?? []
      const shown = this.#show(again.args, pages, await this.#judge(pages))
      if (shown !== READ_ON) return shown
      command = again
    }
    return this.#show([], [], [])
  }

  /**
   * Waits until what was refused is written, before more is read. What waits for a store takes up room; false: there is
   * none, or it is time to answer, or there is something to show.
   */
  async #mayReadOn(): Promise<boolean> {
    const { reader } = this.#session
    const { group } = this.#read
    const asksForNew = this.#new.length > 0
    const historyUntil = performance.now() + HISTORY_MS
    for (;;) {
      if (this.#session.isOver || this.#hasLate()) return false
      const now = performance.now()
      const settling = this.#names.some((name) => reader.settlingOf(name, group) > 0)
      const full = this.#names.every((name) => reader.unsettledOf(name, group) >= this.#most)
      if (!settling && !full) return !asksForNew || now < this.#deadline || this.#pagesRead < READ_ON_PAGES
      if (!settling && asksForNew && this.#blockMs === undefined) return false
      const until = asksForNew ? (settling ? this.#patientUntil : this.#deadline) : historyUntil
      if (now >= until) {
        if (asksForNew) return false
        throw storeUnreachable()
      }
      await reader.change(this.#names, group, until - now)
    }
  }
}

/** What is pending is read by ascending ids, and what is held is pending still. */
function argumentsAfter({ args }: CommandLike, { streams }: GroupRead, pages: readonly Page[]): CommandLike['args'] {
  const after = [...args]
  for (const { key, idIndex } of streams) {
    const last = pages.find((page) => page.key === textOf(key))?.entries.at(-1)
    if (last && String(after[idIndex]) !== NEW) after[idIndex] = String(last[0])
  }
  return after
}
