import { quote } from '../../src/text.ts'
import type { Warnings } from '../../src/warnings.ts'
import type { RedisClient } from './client.ts'
import { deadLetterStreamOf } from './dead-letter-form.ts'

/** Where a group begins, the first time and each time that it has to be made again. */

const BEGINNING = '0-0'

/** What is known of a stream. */
interface StreamState {
  readonly lastId: string
  /** how many entries were ever added; undefined before Redis 7 */
  readonly added: number | undefined
}

/** The hash, beside a stream, in which its groups note where they first began: field by group. */
export function startKeyOf(stream: string): string {
  return deadLetterStreamOf(stream).replace(/:dlq$/, ':queueauth-start')
}

/**
 * Makes a group. `startId` counts for its very first creation only: when it is gone later, with its stream or without, with
 * the whole database or after a failover to a replica that had nothing, it is made again so that nothing is left out that was
 * written since: from the id where it first began, and from the beginning of a stream that was written anew. What was handled
 * before is known to the replay store.
 */
export class GroupStart {
  readonly #connection: RedisClient
  readonly #stream: string
  readonly #group: string
  readonly #startId: string
  readonly #warnings: Warnings
  /** where the group first began; undefined: not known yet */
  #began: string | undefined
  /** it was there before, so that it is made again now */
  #existed = false
  /** the last id and the number of entries that were seen in the stream */
  #seen: StreamState = { lastId: BEGINNING, added: undefined }

  constructor(connection: RedisClient, stream: string, group: string, startId: string, warnings: Warnings) {
    this.#connection = connection
    this.#stream = stream
    this.#group = group
    this.#startId = startId
    this.#warnings = warnings
  }

  /** An entry was read: the stream goes at least to there. */
  saw(id: string): void {
    if (this.#startId !== '0' && isAfter(id, this.#seen.lastId)) this.#seen = { ...this.#seen, lastId: id }
  }

  /** Makes the group, and the stream as well, where there is none. */
  async create(): Promise<void> {
    if (this.#startId === '0') return await this.#make('0')
    const state = await this.#look()
    if (state === 'hidden') {
      await this.#make(this.#existed ? '0' : this.#startId)
      this.#existed = true
      return
    }
    this.#began ??= await this.#firstBegan(state)
    if (this.#existed) {
      if (this.#isAnew(state)) {
        this.#began = BEGINNING
        this.#seen = { lastId: BEGINNING, added: undefined }
      }
      // The note may be gone with all the rest.
      if (this.#startId === '$') await this.#note('HSET', this.#began)
    }
    await this.#make(this.#began)
    this.#existed = true
    if (state !== undefined) {
      const lastId = isAfter(state.lastId, this.#seen.lastId) ? state.lastId : this.#seen.lastId
      this.#seen = { lastId, added: state.added }
    }
  }

  async #make(id: string): Promise<void> {
    try {
      await this.#connection.call('XGROUP', 'CREATE', this.#stream, this.#group, id, 'MKSTREAM')
    } catch (error) {
      // It is there already.
      if (!startsWith(error, 'BUSYGROUP')) throw error
    }
  }

  /** What was there is gone, and something else may stand in its place: ids that go back, or fewer entries than there were. */
  #isAnew(state: StreamState | undefined): boolean {
    if (state === undefined) return true
    const { lastId, added } = this.#seen
    return (
      isAfter(lastId, state.lastId) ||
      isAfter(this.#began as string, state.lastId) ||
      (added !== undefined && state.added !== undefined && state.added < added)
    )
  }

  async #firstBegan(state: StreamState | undefined): Promise<string> {
    if (this.#startId !== '$') return this.#startId
    const noted = await this.#note('HGET')
    if (noted !== undefined) {
      this.#existed = true
      return noted
    }
    // Of a group that is there already, what was not acknowledged is not to be left out.
    const began = (state && (await this.#standing())) ?? state?.lastId ?? BEGINNING
    await this.#note('HSETNX', began)
    // Of consumers that begin at the same time, what one has noted counts for all.
    return (await this.#note('HGET')) ?? began
  }

  /** The id after which this group has something left to do; undefined: there is no such group. */
  async #standing(): Promise<string | undefined> {
    const groups = (await this.#connection.call('XINFO', 'GROUPS', this.#stream)) as unknown[][]
    const group = groups.map(pairsOf).find((fields) => fields.get('name') === this.#group)
    if (group === undefined) return undefined
    const [count, first] = (await this.#connection.call('XPENDING', this.#stream, this.#group)) as [number, string]
    return Number(count) > 0 ? before(first) : String(group.get('last-delivered-id'))
  }

  /** undefined: there is no such stream; `hidden`: this user may not know */
  async #look(): Promise<StreamState | 'hidden' | undefined> {
    try {
      const state = pairsOf((await this.#connection.call('XINFO', 'STREAM', this.#stream)) as unknown[])
      const added = state.get('entries-added')
      return { lastId: String(state.get('last-generated-id')), added: added === undefined ? undefined : Number(added) }
    } catch (error) {
      if (startsWith(error, 'ERR no such key')) return undefined
      if (startsWith(error, 'NOPERM')) return 'hidden'
      throw error
    }
  }

  /** Where it may not be written, a restart of the process cannot know that the group was there before. */
  async #note(command: 'HGET' | 'HSET' | 'HSETNX', id?: string): Promise<string | undefined> {
    const key = startKeyOf(this.#stream)
    try {
      const value = id === undefined ? [] : [id]
      const reply = await this.#connection.call(command, key, this.#group, ...value)
      return command === 'HGET' && typeof reply === 'string' && ID.test(reply) ? reply : undefined
    } catch (error) {
      if (!startsWith(error, 'NOPERM') && !startsWith(error, 'WRONGTYPE')) throw error
      this.#warnings.once(
        `start ${this.#stream}`,
        `${quote(key)} cannot be used to note where a group began: ${quote((error as Error).message)}; a group that is gone when the process starts begins at $ again`,
      )
      return undefined
    }
  }
}

const ID = /^\d+-\d+$/

function startsWith(error: unknown, text: string): boolean {
  return error instanceof Error && error.message.startsWith(text)
}

function pairsOf(flat: readonly unknown[]): Map<unknown, unknown> {
  const pairs = new Map<unknown, unknown>()
  for (let index = 0; index + 1 < flat.length; index += 2) pairs.set(flat[index], flat[index + 1])
  return pairs
}

function partsOf(id: string): [bigint, bigint] {
  const [time = '0', sequence = '0'] = id.split('-')
  return [BigInt(time), BigInt(sequence)]
}

function isAfter(id: string, other: string): boolean {
  const [time, sequence] = partsOf(id)
  const [otherTime, otherSequence] = partsOf(other)
  return time > otherTime || (time === otherTime && sequence > otherSequence)
}

/** The id right before another. */
function before(id: string): string {
  const [time, sequence] = partsOf(id)
  if (sequence > 0n) return `${time}-${sequence - 1n}`
  return time > 0n ? `${time - 1n}-18446744073709551615` : BEGINNING
}
