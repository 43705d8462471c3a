import type { Admission } from '../../src/guard.ts'
import type { BatchLike, EachBatchPayload, KafkaMessage, OffsetList } from './client.ts'
import { RecordDelivery } from './delivery.ts'
import { Hold, LetGoError } from './hold.ts'
import type { InHand, Partition } from './partition.ts'

type EachBatch = (payload: EachBatchPayload) => Promise<void>

/**
 * The user's `eachBatch` behind the checks. It gets the authorized records of the whole batch at once, unless one is held:
 * then those before it go first. Rejected records are dead letters by the time the records after them are handed over,
 * so the user's offsets never pass one that is not stored.
 *
 * @param autoResolve the user's `eachBatchAutoResolve`; the client itself is told not to
 */
export async function guardEachBatch(
  payload: EachBatchPayload,
  eachBatch: EachBatch,
  partition: Partition,
  autoResolve: boolean,
  maxHoldSeconds: number | undefined,
): Promise<void> {
  const hold = new Hold(payload.heartbeat, () => partition.letGo(), maxHoldSeconds)
  await hold.wait(new GuardedBatch(payload, eachBatch, partition, autoResolve, hold).run())
}

/** A record of a batch on its way. */
class Entry extends RecordDelivery {
  readonly #batch: GuardedBatch
  /** what the guard says; an admitted record waits for the user's code, a settled one is done with */
  state: 'undecided' | 'held' | Admission | 'settled' = 'undecided'

  constructor(message: KafkaMessage, partition: Partition, batch: GuardedBatch) {
    super(message, partition)
    this.#batch = batch
  }

  get isOpen(): boolean {
    return this.state === 'undecided' || this.state === 'held'
  }

  get admission(): Admission | undefined {
    return typeof this.state === 'object' ? this.state : undefined
  }

  /** Undecided again. What had admitted it is to be released. */
  putBack(): Admission | undefined {
    const { admission } = this
    this.state = 'undecided'
    return admission
  }

  handle(admission: Admission): void | Promise<void> {
    if (this.#batch.isOver) return admission.release()
    this.#set(admission)
  }

  acknowledge(): void {
    this.#set('settled')
  }

  held(): void {
    this.#set('held')
  }

  #set(state: Entry['state']): void {
    this.state = state
    this.#batch.change()
  }
}

class GuardedBatch implements InHand {
  readonly #payload: EachBatchPayload
  readonly #eachBatch: EachBatch
  readonly #partition: Partition
  readonly #autoResolve: boolean
  readonly #hold: Hold
  readonly #signal: AbortSignal
  readonly #entries: readonly Entry[]
  /** admitted, and put back because a record before them is held */
  readonly #back: Entry[] = []
  /** entries before this one were handed over */
  #handed = 0
  /** and those before this one are committed */
  #committed = 0
  /** who waits for the state of some record to change, or to be let go */
  #changed: (() => void) | undefined
  #ended = false
  /** what the user resolved last in this segment */
  #resolved: bigint | undefined
  /** commits to the replay store, each followed by resolving its offset */
  #commits: Promise<boolean> | undefined

  constructor(payload: EachBatchPayload, eachBatch: EachBatch, partition: Partition, autoResolve: boolean, hold: Hold) {
    this.#payload = payload
    this.#eachBatch = eachBatch
    this.#partition = partition
    this.#autoResolve = autoResolve
    this.#hold = hold
    this.#signal = partition.signal
    this.#entries = payload.batch.messages.map((message) => new Entry(message, partition, this))
  }

  /** Nothing is handed over any more. */
  get isOver(): boolean {
    return this.#ended || this.#signal.aborted
  }

  /** The state of some record has changed, or all are let go. */
  readonly change = (): void => this.#changed?.()

  /** What is not resolved when this resolves is fetched again. */
  async run(): Promise<void> {
    const { ready } = this.#partition
    if (ready !== true && !(await ready)) return this.#end()
    this.#partition.take(this)
    this.#signal.addEventListener('abort', this.change)
    for (const entry of this.#entries) void this.#partition.receive(entry)
    try {
      for (let start = 0; start < this.#entries.length; ) {
        const end = await this.#decided(start)
        if (end === undefined) break
        if (!(await this.#handOver(start, end))) break
        start = end
      }
    } finally {
      this.#ended = true
      this.#signal.removeEventListener('abort', this.change)
      this.#partition.putDown(this)
      if (this.#entries.some(({ isOpen }) => isOpen)) this.#partition.letGo()
      await this.#partition.released(
        ...this.#entries.slice(this.#committed).map(({ admission }) => admission?.release()),
      )
    }
    this.#end()
  }

  #end(): void {
    if (this.#hold.failure !== undefined) throw this.#hold.failure.error
  }

  commitUpTo(offset: bigint): boolean | Promise<boolean> {
    const pending: Promise<boolean>[] = []
    for (; this.#committed < this.#handed; this.#committed++) {
      const entry = this.#entries[this.#committed] as Entry
      const { admission, message } = entry
      if (BigInt(message.offset) > offset) break
      const committed = admission === undefined || entry.commit(admission)
      if (committed instanceof Promise) pending.push(committed)
      else if (!committed) return false
    }
    if (pending.length === 0) return true
    return Promise.all(pending).then((all) => all.every((committed) => committed))
  }

  /** The end of the records that can be handed over now, at least one; undefined: they were let go. */
  async #decided(start: number): Promise<number | undefined> {
    await this.#turn()
    for (let end = start; ; ) {
      if (this.#signal.aborted) return undefined
      while (end < this.#entries.length && !this.#entries[end]?.isOpen) end++
      if (end === this.#entries.length) return end
      const change = this.#nextChange()
      // What is dead-lettered takes a moment; what is held may take long, and may wait for a record in hand here.
      if (this.#entries[end]?.state === 'held') {
        if (end > start) return end
        await this.#putBack(end + 1)
      } else this.#takeUp()
      await change
    }
  }

  /** Decisions that are only on their way are waited for; a turn ends when all of them were made. */
  async #turn(): Promise<void> {
    let isOn = true
    void this.#partition.turn?.then(() => {
      isOn = false
      this.change()
    })
    while (isOn && this.#partition.turn !== undefined && !this.#signal.aborted) await this.#nextChange()
  }

  #nextChange(): Promise<void> {
    return new Promise((resolve) => {
      this.#changed = resolve
    })
  }

  /** Who waits keeps nothing: of two that wait for a record behind the other, none would ever go on. */
  async #putBack(start: number): Promise<void> {
    const admitted = this.#entries.slice(start).filter(({ admission }) => admission !== undefined)
    this.#back.push(...admitted)
    const admissions = admitted.map((entry) => entry.putBack())
    await this.#partition.released(...admissions.map((admission) => admission?.release()))
  }

  #takeUp(): void {
    for (const entry of this.#back.splice(0)) void this.#partition.receive(entry)
  }

  /** Calls the user's code with the authorized records. False: the user left some, so the batch ends here. */
  async #handOver(start: number, end: number): Promise<boolean> {
    const { batch } = this.#payload
    const entries = this.#entries.slice(start, end)
    if (!(await this.#recheck(entries))) return false
    const authorized = entries.filter(({ admission }) => admission !== undefined)
    const [first, last] = [entries[0] as Entry, entries.at(-1) as Entry]
    const lastOffset = end === this.#entries.length ? batch.lastOffset() : last.message.offset
    this.#handed = end
    if (authorized.length === 0) {
      // The client would fetch a batch that nobody resolves again and again.
      if (!this.#payload.isStale()) this.#payload.resolveOffset(lastOffset, last.message.leaderEpoch)
      return true
    }
    this.#resolveLeading(entries)
    this.#resolved = undefined
    const part = entries.length === this.#entries.length ? undefined : { first: first.message.offset, last: lastOffset }
    const views = authorized.map((entry) => entry.view(entry.state as Admission))
    const limit = BigInt(lastOffset)
    this.#hold.pause()
    try {
      await this.#eachBatch({
        ...this.#payload,
        batch: viewOf(batch, views, part),
        resolveOffset: (offset, leaderEpoch) => this.#resolve(offset, limit, leaderEpoch),
        commitOffsetsIfNecessary: (offsets) => this.#commitOffsets(offsets),
        pause: () => this.#pause(),
      })
    } catch (error) {
      this.#hold.resume()
      await this.#commitsWritten()
      throw error
    }
    this.#hold.resume()
    if (!(await this.#commitsWritten())) return false
    const lastAuthorized = BigInt(authorized.at(-1)?.message.offset as string)
    const through = this.#autoResolve || (this.#resolved !== undefined && this.#resolved >= lastAuthorized)
    if (!through || this.#payload.isStale()) return false
    this.#resolve(lastOffset, limit, last.message.leaderEpoch)
    return (await this.#commitsWritten()) && this.#payload.isRunning()
  }

  /** Where the user's code fails, what was rejected before its first record is not fetched and dead-lettered again. */
  #resolveLeading(entries: readonly Entry[]): void {
    const first = entries.findIndex(({ admission }) => admission !== undefined)
    const before = first > 0 ? entries[first - 1]?.message : undefined
    if (before !== undefined && !this.#payload.isStale()) {
      this.#payload.resolveOffset(before.offset, before.leaderEpoch)
    }
  }

  /** Keys may have been revoked while the records waited for others of their batch. False: they were let go. */
  async #recheck(entries: readonly Entry[]): Promise<boolean> {
    for (const entry of entries) {
      const verified = entry.admission?.verified
      if (verified === undefined || this.#partition.verifier.recheck(verified, entry.received) === undefined) continue
      await this.#partition.released(entry.putBack()?.release())
      void this.#partition.receive(entry)
      while (entry.isOpen) {
        if (this.#signal.aborted) return false
        await this.#nextChange()
      }
    }
    return true
  }

  /** First the replay store, then the client. */
  #resolve(offset: string, limit: bigint, leaderEpoch: number | undefined): void {
    const asked = BigInt(offset)
    const upTo = asked > limit ? limit : asked
    this.#resolved = upTo
    const committed = this.commitUpTo(upTo)
    if (this.#commits === undefined && committed === true) {
      this.#payload.resolveOffset(String(upTo), leaderEpoch)
      return
    }
    this.#commits = Promise.all([this.#commits ?? true, committed]).then(([before, now]) => {
      // A batch that has ended without them is fetched again.
      if (before && now && !this.#ended) this.#payload.resolveOffset(String(upTo), leaderEpoch)
      return before && now
    })
  }

  /** Where this throws the user may undo what was done: offsets that are named are told to the broker first. */
  async #commitOffsets(offsets: OffsetList | undefined): Promise<void> {
    if (!(await this.#commitsWritten())) throw new LetGoError()
    await this.#payload.commitOffsetsIfNecessary(offsets)
    const { topic, partition } = this.#payload.batch
    for (const { partitions } of offsets?.topics?.filter((entry) => entry.topic === topic) ?? []) {
      const own = partitions?.find((entry) => entry.partition === partition)
      if (own !== undefined) await this.#partition.commitUpTo(BigInt(own.offset) - 1n)
    }
  }

  /** Whoever pauses in the middle of a batch gets the rest of it after resuming. */
  #pause(): unknown {
    const resume = this.#payload.pause()
    this.#partition.letGoOfHeld()
    return resume
  }

  /** Whether the replay store knows of everything the user resolved. */
  async #commitsWritten(): Promise<boolean> {
    const written = await this.#partition.committed(this.#commits ?? true)
    this.#commits = undefined
    return written
  }
}

/**
 * The batch with other records. Its methods stay those of the client's batch, which count records that were filtered out
 * too; a part of a batch ends where it ends. Lists of records that the client keeps on its batch are not passed on.
 */
function viewOf(
  batch: BatchLike,
  messages: readonly KafkaMessage[],
  part: { readonly first: string; readonly last: string } | undefined,
): BatchLike {
  const view = Object.create(Object.getPrototypeOf(batch)) as BatchLike
  const define = (name: string, value: unknown, enumerable: boolean): void => {
    Object.defineProperty(view, name, { value, configurable: true, enumerable, writable: true })
  }
  for (const [name, value] of Object.entries(batch)) {
    if (!Array.isArray(value)) define(name, value, true)
  }
  for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(batch))) {
    const method = (batch as unknown as Record<string, unknown>)[name]
    if (typeof method === 'function' && !Object.hasOwn(Object.prototype, name)) define(name, method.bind(batch), false)
  }
  define('messages', messages, true)
  if (part !== undefined) {
    define('firstOffset', () => part.first, false)
    define('lastOffset', () => part.last, false)
  }
  return view
}
