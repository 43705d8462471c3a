import type { RedisClient } from './client.ts'
import { pagesOf, type RawEntry } from './reads.ts'

/** One consumer of one group, in the commands of Redis. Keys are physical; entries are bytes. */
export class StreamGroup {
  readonly stream: string
  readonly group: string
  readonly consumer: string
  /** blocks while there is nothing to read, so nothing else goes over it */
  readonly #reading: RedisClient
  readonly #working: RedisClient

  constructor(
    reading: RedisClient,
    working: RedisClient,
    names: { readonly stream: string; readonly group: string; readonly consumer: string },
  ) {
    this.#reading = reading
    this.#working = working
    this.stream = names.stream
    this.group = names.group
    this.consumer = names.consumer
  }

  /** What nobody has got yet. */
  async readNew(count: number, blockMs: number): Promise<readonly RawEntry[]> {
    return this.#read(['COUNT', count, 'BLOCK', blockMs], '>')
  }

  /** What this consumer got before and did not acknowledge, after an id. */
  async readPending(count: number, after: string): Promise<readonly RawEntry[]> {
    return this.#read(['COUNT', count], after)
  }

  async #read(options: (string | number)[], id: string): Promise<readonly RawEntry[]> {
    const { stream, group, consumer } = this
    const reply = await this.#reading.callBuffer(
      'xreadgroup',
      'GROUP',
      group,
      consumer,
      ...options,
      'STREAMS',
      stream,
      id,
    )
    return (pagesOf(reply, 'pairs')?.[0]?.entries ?? []) as readonly RawEntry[]
  }

  /** Takes over what a consumer has let lie. The cursor is `0-0` when everything was looked at. */
  async claimIdle(
    idleMs: number,
    cursor: string,
    count: number,
  ): Promise<{ cursor: string; entries: readonly RawEntry[] }> {
    const { stream, group, consumer } = this
    const reply = await this.#working.callBuffer('xautoclaim', stream, group, consumer, idleMs, cursor, 'COUNT', count)
    const [next, entries] = reply as [Buffer, (RawEntry | null)[]]
    // Before Redis 7, an entry that was deleted meanwhile is null.
    return { cursor: String(next), entries: entries.filter((entry) => entry !== null) }
  }

  /** How often each of these entries was delivered; without those that are not this consumer's any more. */
  async deliveryCounts(entries: readonly RawEntry[]): Promise<ReadonlyMap<string, number>> {
    const { stream, group, consumer } = this
    const counts = new Map<string, number>()
    await Promise.all(
      entries.map(async ([rawId]) => {
        const id = String(rawId)
        const reply = await this.#working.call('xpending', stream, group, id, id, 1, consumer)
        const [pending] = reply as [id: string, consumer: string, idle: number, count: number][]
        if (pending !== undefined) counts.set(id, Number(pending[3]))
      }),
    )
    return counts
  }

  /** Says that these are still being worked on, so that nobody takes them over. Counts no delivery. */
  async keep(ids: readonly string[]): Promise<void> {
    const { stream, group, consumer } = this
    for (let start = 0; start < ids.length; start += 1_000) {
      await this.#working.call('xclaim', stream, group, consumer, 0, ...ids.slice(start, start + 1_000), 'JUSTID')
    }
  }
}
