import { setTimeout as sleep } from 'node:timers/promises'
import { backOff } from '../../src/back-off.ts'
import { isParked, returnedHeaders } from '../../src/dead-letter.ts'
import { publish } from '../../src/events.ts'
import { type Admission, Guard } from '../../src/guard.ts'
import { NO_HEADERS } from '../../src/message.ts'
import { printable, quote } from '../../src/text.ts'
import { Inspection, mark } from '../../src/verdict.ts'
import type { RedisClient } from './client.ts'
import type { ConsumeStreamOptions, StreamMessage } from './consume-stream.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import { EntryDelivery } from './delivery.ts'
import { destinationOf, pairs, type ReceivedEntry, StreamEntry, toReceived } from './message.ts'
import type { RawEntry } from './reads.ts'
import type { StreamGroup } from './stream-group.ts'

/** Why an entry is among the dead letters whose handler failed every time. No reason code: it was authorized. */
export const DELIVERIES_EXCEEDED = 'deliveries-exceeded'

/** An entry that a consumer of its own takes care of. */
class ConsumedDelivery extends EntryDelivery {
  readonly #handler: EntryHandler
  readonly #deliveries: number

  constructor(
    entry: StreamEntry,
    received: ReceivedEntry,
    sink: DeadLetterSink,
    handler: EntryHandler,
    deliveries: number,
  ) {
    super(entry, received, sink)
    this.#handler = handler
    this.#deliveries = deliveries
  }

  handle(admission: Admission): Promise<void> {
    return this.#handler.handle(this.native, this.received, admission, this.#deliveries)
  }

  override held(): void {
    this.#handler.hold(this.native)
  }
}

/** Takes entries through the guard and the handler, and acknowledges them. */
export class EntryHandler {
  readonly #options: ConsumeStreamOptions
  readonly #group: StreamGroup
  readonly #sink: DeadLetterSink
  readonly #connection: RedisClient
  readonly #stopping: AbortSignal
  readonly #guard: Guard<StreamEntry>
  readonly #deliveredBy: readonly string[]
  readonly #inHand = new Map<string, Promise<unknown>>()
  readonly #held = new Set<string>()
  #running = 0
  /** of those, the ones whose handler has not returned */
  #handling = 0
  #handled: (() => void) | undefined
  #changed: () => void = () => undefined
  #change: Promise<void> | undefined

  constructor(
    options: ConsumeStreamOptions,
    group: StreamGroup,
    sink: DeadLetterSink,
    connection: RedisClient,
    stopping: AbortSignal,
  ) {
    this.#options = options
    this.#group = group
    this.#sink = sink
    this.#connection = connection
    this.#stopping = stopping
    this.#deliveredBy = [destinationOf(group.stream)]
    const { onRejected, deadLetter, onVerdict, reprocess } = options
    this.#guard = new Guard<StreamEntry>(options.verifier, {
      ...(onRejected !== undefined && { onRejected }),
      ...(deadLetter !== undefined && { deadLetter }),
      ...(onVerdict !== undefined && { onVerdict }),
      ...(reprocess !== undefined && { reprocess }),
      signal: stopping,
    })
    stopping.addEventListener('abort', () => this.#changed(), { once: true })
  }

  get ids(): string[] {
    return [...this.#inHand.keys()]
  }

  /** waiting for a store, for keys or for a place for their dead letters */
  get held(): number {
    return this.#held.size
  }

  /** being checked or handled */
  get active(): number {
    return this.#inHand.size - this.#held.size
  }

  /** Resolves when an entry has ended or is held, or the consumer stops. */
  change(): Promise<void> {
    if (this.#stopping.aborted) return Promise.resolve()
    this.#change ??= new Promise((resolve) => {
      this.#changed = () => {
        this.#change = undefined
        resolve()
      }
    })
    return this.#change
  }

  /**
   * @param counts how often each was delivered, asked after they were read; default: once. One that is not among them was
   * acknowledged, or taken over, since it was read
   */
  take(entries: readonly RawEntry[], counts?: ReadonlyMap<string, number>): void {
    const { stream, group } = this.#group
    for (const [rawId, fields] of entries) {
      const id = String(rawId)
      const deliveries = counts === undefined ? 1 : counts.get(id)
      if (deliveries === undefined || this.#inHand.has(id)) continue
      const entry = new StreamEntry(stream, group, id, fields ?? [])
      const done = fields === null ? this.#forget(entry) : this.#receive(entry, deliveries)
      if (done === undefined) continue
      this.#inHand.set(
        id,
        done.finally(() => {
          this.#inHand.delete(id)
          this.#held.delete(id)
          this.#changed()
        }),
      )
    }
  }

  /** Resolves when no handler runs. Called once, when none is begun any more. */
  handlersDone(): Promise<void> {
    if (this.#handling === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#handled = resolve
    })
  }

  /** Resolves when nothing is in hand any more. */
  async drain(): Promise<void> {
    while (this.#inHand.size > 0) await Promise.all(this.#inHand.values())
    this.#guard.close()
  }

  async #receive(entry: StreamEntry, deliveries: number): Promise<void> {
    const received = toReceived(entry, this.#deliveredBy)
    await this.#guard.receive(new ConsumedDelivery(entry, received, this.#sink, this, deliveries))
  }

  hold(entry: StreamEntry): void {
    this.#held.add(entry.id)
    this.#changed()
  }

  /** @param deliveries how often it was delivered */
  async handle(entry: StreamEntry, received: ReceivedEntry, admission: Admission, deliveries: number): Promise<void> {
    const { concurrency = 10, maxDeliveries = 10, handler } = this.#options
    this.#held.delete(entry.id)
    // One that was held comes on top of those that were read because there was room for them.
    while (this.#running >= concurrency && !this.#stopping.aborted) await this.change()
    if (this.#stopping.aborted) {
      await admission.release()
      return
    }
    this.#running++
    try {
      if (deliveries > maxDeliveries) await this.#giveUp(entry, received, admission, deliveries)
      else {
        const message = view(entry, received, admission)
        this.#handling++
        try {
          await handler(message)
        } catch (error) {
          await admission.release()
          this.#failed(error, message)
          return
        } finally {
          this.#handling--
          if (this.#handling === 0) this.#handled?.()
        }
        if (await admission.commit()) await this.#acknowledge(entry)
      }
    } finally {
      this.#running--
      this.#changed()
    }
  }

  /** The effect exists and is written down; until Redis knows, the entry would be delivered again. */
  async #acknowledge(entry: StreamEntry): Promise<void> {
    for (let attempt = 0; this.#connection.status !== 'end'; attempt++) {
      try {
        await this.#sink.acknowledge(entry)
        return
      } catch {
        // Not reachable: the loop waits longer and tries again, until the connection is given up.
        await sleep(backOff(attempt))
      }
    }
  }

  async #giveUp(
    entry: StreamEntry,
    { opened }: ReceivedEntry,
    admission: Admission,
    deliveries: number,
  ): Promise<void> {
    await admission.release()
    const { stream } = entry
    const detail = `its handler failed, or its consumer ended, ${deliveries - 1} times (maxDeliveries)`
    const returned = opened?.returned
    const explanation =
      returned === undefined
        ? {
            'queueauth-reason': DELIVERIES_EXCEEDED,
            'queueauth-detail': detail,
            'queueauth-queue': stream,
            'queueauth-at': new Date().toISOString(),
          }
        : { ...returned.explanation, ...returnedHeaders(returned, DELIVERIES_EXCEEDED) }
    try {
      await this.#sink.store(opened?.entry ?? entry, explanation, isParked({ ...(returned && { returned }) }))
    } catch (error) {
      // It stays pending, and is delivered again when it has been idle for long enough.
      this.#warn('give up', `stream ${quote(stream)}: a dead letter cannot be written: ${describe(error)}`)
      return
    }
    const notice = `stream ${quote(stream)}: an entry went to the dead letters: ${detail}`
    if (!publish('queue-key-auth:notice', () => ({ queue: stream, notice: DELIVERIES_EXCEEDED, detail: notice }))) {
      this.#warn(DELIVERIES_EXCEEDED, notice)
    }
  }

  /** It was trimmed or deleted while it was pending, so nothing is left to check or to handle. */
  async #forget(entry: StreamEntry): Promise<void> {
    await this.#acknowledge(entry)
    const { stream } = entry
    this.#warn('trimmed', `stream ${quote(stream)}: a pending entry was trimmed or deleted before it was handled`)
  }

  #failed(error: unknown, message: StreamMessage): void {
    const { onError } = this.#options
    if (onError === undefined) {
      this.#warn('handler', `stream ${quote(message.stream)}: the handler failed: ${describe(error)}`)
      return
    }
    try {
      onError(error, message)
    } catch (thrown) {
      this.#warn('onError', `onError threw: ${describe(thrown)}`)
    }
  }

  #warn(what: string, text: string): void {
    this.#options.verifier.warnings.once(`${this.#group.stream} ${what}`, text)
  }
}

function view(entry: StreamEntry, { body }: ReceivedEntry, admission: Admission): StreamMessage {
  const { verdict, verified } = admission
  const fields = verified === undefined ? entry.fields : body
  const values = Object.fromEntries([...pairs(fields)].map(([name, value]) => [name.toString(), value.toString()]))
  const message: StreamMessage = { ...entry, fields, values }
  mark(message, new Inspection(verdict, NO_HEADERS, admission.lease))
  return message
}

function describe(error: unknown): string {
  return printable(error instanceof Error ? error.message : String(error)).slice(0, 200)
}
