import { hash } from 'node:crypto'
import type { PartsDigester } from '../covered-parts.ts'
import type { Message } from '../message.ts'

/** A message that was read and checked for signing; what was read may change afterwards. Opaque to callers. */
export type PreparedMessage = DigestedMessage | SignedMessage

/** What a token says of a message. */
export interface DigestedMessage {
  readonly destination: string
  /** the headers to cover, ascending */
  readonly names: readonly string[]
  /** SHA-256 of the body, 32 latin1 characters; undefined: no body */
  readonly body: string | undefined
  /** digest of the covered parts, 32 latin1 characters */
  readonly parts: string
}

/** A message that shares its token with no other. */
export interface SignedMessage {
  readonly token: string
}

/** @throws SetupError `header-unsupported` */
export function digestMessage(message: Message, names: readonly string[], parts: PartsDigester): DigestedMessage {
  const { destination, payload, properties, headers } = message
  return {
    destination,
    names,
    body: payload === null ? undefined : hash('sha256', payload, 'binary'),
    parts: parts.digest(properties, headers, names),
  }
}

/** Messages that may share a token, and where they stood among all. */
export interface Group {
  readonly messages: DigestedMessage[]
  readonly positions: number[]
}

/** The same destination, the same covered headers, and no more than `size`. */
export function groupsOf(prepared: readonly PreparedMessage[], size: number): Group[] {
  const groups: Group[] = []
  const open = new Map<string, Group>()
  let group: Group | undefined
  for (const [position, message] of prepared.entries()) {
    if ('token' in message) continue
    // Most messages belong with the one before, and then have the very same list of names.
    const before = group?.messages[0]
    if (group === undefined || before?.destination !== message.destination || before.names !== message.names) {
      group = open.get(groupKey(message))
    }
    if (group === undefined || group.messages.length === size) {
      group = { messages: [], positions: [] }
      groups.push(group)
      open.set(groupKey(message), group)
    }
    group.messages.push(message)
    group.positions.push(position)
  }
  return groups
}

/** Neither a destination nor a name holds a quote. */
function groupKey({ destination, names }: DigestedMessage): string {
  return names.length === 0 ? destination : `${destination}"${names.join('"')}`
}
