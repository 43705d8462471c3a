import type { Argument, CommandLike } from './client.ts'

/** The commands that read as a group: what they were asked, and the shapes of what they answer. Pure. */

/** A group read, by its arguments. */
export interface GroupRead {
  readonly group: string
  /** the streams that are read, each with where its id stands among the arguments; none where ids come in the reply only */
  readonly streams: readonly { readonly key: Argument; readonly idIndex: number }[]
  /** where the number of milliseconds stands that it may block */
  readonly blockIndex?: number
}

/** Why a read is not let through on a wrapped consumer. */
export type ReadFault = 'no-ack' | 'unknown'

/** Options of XREADGROUP with a value. */
const VALUED: ReadonlySet<string> = new Set(['COUNT', 'BLOCK', 'CLAIM'])

/**
 *     XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] [CLAIM ms] [NOACK] STREAMS key [key …] id [id …]
 *
 * undefined: it is incomplete, so the server turns it down.
 */
export function parseReadGroup(args: readonly Argument[]): GroupRead | ReadFault | undefined {
  let group: string | undefined
  let blockIndex: number | undefined
  for (let index = 0; index < args.length; index++) {
    const word = String(args[index]).toUpperCase()
    if (word === 'GROUP') {
      group = String(args[index + 1] ?? '')
      index += 2
    } else if (word === 'STREAMS') {
      const rest = args.length - index - 1
      if (group === undefined || rest < 2 || rest % 2 === 1) return undefined
      const half = rest / 2
      const streams = args.slice(index + 1, index + 1 + half).map((key, offset) => ({
        key,
        idIndex: index + 1 + half + offset,
      }))
      return { group, streams, ...(blockIndex !== undefined && { blockIndex }) }
    } else if (word === 'NOACK') return 'no-ack'
    else if (VALUED.has(word)) {
      index++
      if (word === 'BLOCK') blockIndex = index
    } else return 'unknown'
  }
  return undefined
}

/** Where the number of entries stands that a read asks for at most, a stream. */
export function countIndexOf(args: readonly Argument[]): number | undefined {
  for (let index = 0; index < args.length; index++) {
    const word = String(args[index]).toUpperCase()
    if (word === 'STREAMS') return undefined
    if (word === 'COUNT') return index + 1
    if (word === 'GROUP') index += 2
    else if (VALUED.has(word)) index++
  }
  return undefined
}

/** The arguments of a read without some of its streams. */
export function withoutStreams(args: readonly Argument[], read: GroupRead, left: ReadonlySet<Argument>): Argument[] {
  const dropped = new Set<number>()
  for (const { key, idIndex } of read.streams) {
    if (left.has(key)) dropped.add(idIndex).add(idIndex - read.streams.length)
  }
  return args.filter((_, index) => !dropped.has(index))
}

/** XCLAIM and XAUTOCLAIM name their stream and group first; with JUSTID the reply has no content. */
export function parseClaim(args: readonly Argument[]): { key: Argument; group: string; justIds: boolean } | undefined {
  const [key, group] = args
  if (key === undefined || group === undefined) return undefined
  return { key, group: String(group), justIds: args.slice(4).some((word) => String(word).toUpperCase() === 'JUSTID') }
}

/** XACK key group id [id …]; XACKDEL key group [KEEPREF | DELREF | ACKED] IDS n id [id …] */
export function parseAck(command: CommandLike): { key: Argument; group: string; firstId: number } | undefined {
  const { args, name } = command
  const [key, group] = args
  if (key === undefined || group === undefined) return undefined
  if (name.toLowerCase() === 'xack') return { key, group: String(group), firstId: 2 }
  const ids = args.findIndex((word, index) => index >= 2 && String(word).toUpperCase() === 'IDS')
  return ids < 0 ? undefined : { key, group: String(group), firstId: ids + 2 }
}

/** An entry in a reply: id and fields, and for XREADGROUP with CLAIM more. Fields are null when the entry was deleted. */
export type RawEntry = readonly [id: Buffer, fields: readonly Buffer[] | null, ...more: unknown[]]

/** What a reply holds of one stream. */
export interface Page {
  readonly key: string
  /** null: it was deleted meanwhile */
  readonly entries: readonly (RawEntry | null)[]
}

export type ReplyShape = 'pairs' | 'flat' | 'map'

/** How XREADGROUP answers on this connection, below ioredis's own conversion. */
export function replyShapeOf(command: CommandLike): ReplyShape {
  const { protocol, replyMapping } = command as { protocol?: unknown; replyMapping?: unknown }
  if (protocol !== 3) return 'pairs'
  return replyMapping === 'resp3' ? 'map' : 'flat'
}

/** The streams in a reply of XREADGROUP; undefined when it is none (null, QUEUED). */
export function pagesOf(reply: unknown, shape: ReplyShape): Page[] | undefined {
  if (shape === 'map') {
    if (typeof reply !== 'object' || reply === null || Array.isArray(reply) || Buffer.isBuffer(reply)) return undefined
    return Object.entries(reply).map(([key, entries]) => ({ key, entries }))
  }
  if (!Array.isArray(reply)) return undefined
  const pairs: unknown[][] =
    shape === 'pairs'
      ? reply
      : Array.from({ length: reply.length / 2 }, (_, index) => [reply[2 * index], reply[2 * index + 1]])
  return pairs.map(([key, entries]) => ({ key: String(key), entries: entries as Page['entries'] }))
}

/** The same the other way. */
export function replyOf(pages: readonly { key: unknown; entries: unknown }[], shape: ReplyShape): unknown {
  if (shape === 'map') return Object.fromEntries(pages.map(({ key, entries }) => [String(key), entries]))
  const pairs = pages.map(({ key, entries }) => [key, entries])
  return shape === 'pairs' ? pairs : pairs.flat(1)
}
