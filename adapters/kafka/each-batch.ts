import type { Admission } from '../../src/guard.ts'
import type { BatchLike, EachBatchPayload, KafkaMessage, OffsetList } from './client.ts'
import { Hold, LetGoError } from './hold.ts'
import { toView } from './message.ts'
import type { Partition } from './partition.ts'

type EachBatch = (payload: EachBatchPayload) => Promise<void>

/** A record of a batch on its way. */
interface Entry {
  readonly message: KafkaMessage
  /** what the guard says; an admitted record waits for the user's code, a settled one is done with */
  state: 'undecided' | 'held' | Admission | 'settled'
}

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

class GuardedBatch {
  readonly #payload: EachBatchPayload
  readonly #eachBatch: EachBatch
  readonly #partition: Partition
  readonly #autoResolve: boolean
  readonly #hold: Hold
  readonly #signal: AbortSignal
  readonly #letGo: Promise<void>
  readonly #entries: readonly Entry[]
  /** resolves when the state of some record changes */
  #changed: Promise<void> = Promise.resolve()
  #change: () => void = () => undefined
  /** admitted, and put back because a record before them is held */
  readonly #back: Entry[] = []
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
    const { signal } = partition
    this.#signal = signal
    this.#letGo = new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    this.#entries = payload.batch.messages.map((message) => ({ message, state: 'undecided' }))
    this.#watch()
  }

  /** What is not resolved when this resolves is fetched again. */
  async run(): Promise<void> {
    for (const entry of this.#entries) void this.#receive(entry)
    try {
      for (let start = 0; start < this.#entries.length; ) {
        const end = await this.#decided(start)
        if (end === undefined) break
        const entries = this.#entries.slice(start, end)
        if (!(await this.#handOver(entries, end === this.#entries.length))) break
        start = end
      }
    } finally {
      this.#ended = true
      if (this.#entries.some(({ state }) => isOpen(state))) this.#partition.letGo()
      await this.#partition.release(this.#entries.map(({ message }) => message.offset))
    }
    if (this.#hold.failure !== undefined) throw this.#hold.failure.error
  }

  async #receive(entry: Entry): Promise<void> {
    const set = (state: Entry['state']): void => {
      entry.state = state
      this.#change()
    }
    await this.#partition.receive(entry.message, {
      handle: (admission) => {
        if (this.#ended || this.#signal.aborted) return admission.release()
        this.#partition.handOver(entry.message.offset, admission)
        set(admission)
      },
      acknowledge: () => set('settled'),
      held: () => set('held'),
    })
  }

  /** The end of the records that can be handed over now, at least one; undefined: they were let go. */
  async #decided(start: number): Promise<number | undefined> {
    // Decisions that are only on their way are waited for; a turn ends when all of them were made.
    await Promise.race([this.#partition.turn, this.#letGo])
    for (let end = start; ; ) {
      if (this.#signal.aborted) return undefined
      const changed = this.#changed
      while (end < this.#entries.length && !isOpen(this.#entries[end]?.state)) end++
      if (end === this.#entries.length) return end
      // What is dead-lettered takes a moment; what is held may take long, and may wait for a record in hand here.
      if (this.#entries[end]?.state === 'held') {
        if (end > start) return end
        await this.#putBack(end + 1)
      } else this.#takeUp()
      await Promise.race([changed, this.#letGo])
    }
  }

  /** Who waits keeps nothing: of two that wait for a record behind the other, none would ever go on. */
  async #putBack(start: number): Promise<void> {
    const admitted = this.#entries.slice(start).filter(({ state }) => typeof state === 'object')
    for (const entry of admitted) {
      entry.state = 'undecided'
      this.#back.push(entry)
    }
    await this.#partition.release(admitted.map(({ message }) => message.offset))
  }

  #takeUp(): void {
    for (const entry of this.#back.splice(0)) void this.#receive(entry)
  }

  /** Calls the user's code with the authorized records. False: the user left some, so the batch ends here. */
  async #handOver(entries: readonly Entry[], isLast: boolean): Promise<boolean> {
    const { batch } = this.#payload
    const authorized = await this.#recheck(entries)
    if (authorized === undefined) return false
    const last = isLast ? batch.lastOffset() : (entries.at(-1)?.message.offset as string)
    if (authorized.length === 0) {
      // The client would fetch a batch that nobody resolves again and again.
      if (!this.#payload.isStale()) this.#payload.resolveOffset(last)
      return true
    }
    this.#resolveLeading(entries)
    this.#resolved = undefined
    const views = authorized.map(({ message, state }) => {
      const { verdict, verified, release } = state as Admission
      return toView(message, verified, { verdict, release })
    })
    const whole = isLast && entries.length === this.#entries.length
    const view = viewOf(batch, views, whole ? undefined : { first: entries[0]?.message.offset as string, last })
    const limit = BigInt(last)
    try {
      await this.#hold.pause(async () =>
        this.#eachBatch({
          ...this.#payload,
          batch: view,
          resolveOffset: (offset) => this.#resolve(offset, limit),
          commitOffsetsIfNecessary: (offsets) => this.#commitOffsets(offsets),
          pause: () => this.#pause(),
        }),
      )
    } catch (error) {
      await this.#commits
      throw error
    }
    if (!(await this.#committed())) return false
    const lastAuthorized = BigInt(authorized.at(-1)?.message.offset as string)
    const through = this.#autoResolve || (this.#resolved !== undefined && this.#resolved >= lastAuthorized)
    if (!through || this.#payload.isStale()) return false
    this.#resolve(last, limit)
    return (await this.#committed()) && this.#payload.isRunning()
  }

  /** Where the user's code fails, what was rejected before its first record is not fetched and dead-lettered again. */
  #resolveLeading(entries: readonly Entry[]): void {
    const first = entries.findIndex(({ state }) => typeof state === 'object')
    const before = first > 0 ? entries[first - 1] : undefined
    if (before !== undefined && !this.#payload.isStale()) this.#payload.resolveOffset(before.message.offset)
  }

  /** Keys may have been revoked while the records waited for others of their batch. Undefined: they were let go. */
  async #recheck(entries: readonly Entry[]): Promise<Entry[] | undefined> {
    for (const entry of entries) {
      const verified = typeof entry.state === 'object' ? entry.state.verified : undefined
      if (verified === undefined || this.#partition.verifier.recheck(verified) === undefined) continue
      await this.#partition.release([entry.message.offset])
      entry.state = 'undecided'
      await this.#receive(entry)
      if (isOpen(entry.state)) return undefined
    }
    return entries.filter(({ state }) => typeof state === 'object')
  }

  /** First the replay store, then the client. */
  #resolve(offset: string, limit: bigint): void {
    const asked = BigInt(offset)
    const upTo = asked > limit ? limit : asked
    this.#resolved = upTo
    const committed = this.#partition.commitUpTo(upTo)
    if (this.#commits === undefined && committed === true) {
      this.#payload.resolveOffset(String(upTo))
      return
    }
    this.#commits = Promise.all([this.#commits ?? true, committed]).then(([before, now]) => {
      if (before && now) this.#payload.resolveOffset(String(upTo))
      return before && now
    })
  }

  async #commitOffsets(offsets: OffsetList | undefined): Promise<void> {
    const { topic, partition } = this.#payload.batch
    for (const { partitions } of offsets?.topics.filter((entry) => entry.topic === topic) ?? []) {
      const own = partitions.find((entry) => entry.partition === partition)
      if (own !== undefined && !(await this.#partition.commitUpTo(BigInt(own.offset) - 1n))) throw new LetGoError()
    }
    if (!(await this.#committed())) throw new LetGoError()
    await this.#payload.commitOffsetsIfNecessary(offsets)
  }

  /** Whoever pauses in the middle of a batch gets the rest of it after resuming. */
  #pause(): unknown {
    const resume = this.#payload.pause()
    this.#partition.letGoOfHeld()
    return resume
  }

  /** Whether the replay store knows of everything the user resolved. */
  async #committed(): Promise<boolean> {
    const committed = (await this.#commits) ?? true
    this.#commits = undefined
    return committed
  }

  #watch(): void {
    this.#changed = new Promise((resolve) => {
      this.#change = () => {
        this.#watch()
        resolve()
      }
    })
  }
}

function isOpen(state: Entry['state'] | undefined): boolean {
  return state === 'undecided' || state === 'held'
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
