import { originalHeaderName } from '../../src/dead-letter.ts'
import { isReservedHeader, TOKEN_HEADER } from '../../src/message.ts'
import { encodeFields, pairs, type StreamEntry } from './message.ts'

/** How a dead letter is written: the rungs of the ladder it goes down until it fits. Pure. */

/** The fields of a dead letter, names and values by turns. */
export type Form = readonly (string | Buffer)[]

/** Why it is there; `reason` is the first. */
export type Explanation = Readonly<Record<string, string>>

/** Lua unpacks at most 8,000 values, and a few of them are not fields. */
export const MAX_SCRIPT_FIELDS = 7_900

/** In full; without the explanations; packed into one field. */
export const FORMS: readonly ((entry: StreamEntry, explanation: Explanation) => Form)[] = [full, bare, packed]

/** The name of the field that holds a packed entry: its fields as the signature covers them, the token among them. */
export const PACKED_FIELD = 'queueauth-packed'

function full(entry: StreamEntry, explanation: Explanation): Form {
  const origin = { 'queueauth-group': entry.group, 'queueauth-entry-id': entry.id }
  return [...originalFields(entry), ...Object.entries({ ...explanation, ...origin }).flat()]
}

function bare(entry: StreamEntry, { 'queueauth-reason': reason = '' }: Explanation): Form {
  return [...originalFields(entry), 'queueauth-reason', reason]
}

function packed({ fields }: StreamEntry, { 'queueauth-reason': reason = '' }: Explanation): Form {
  return [PACKED_FIELD, encodeFields(fields), 'queueauth-reason', reason]
}

/** Byte for byte and in order. What pretends to be an explanation is renamed, not removed: it may be what the matter is. */
function originalFields({ fields }: StreamEntry): (string | Buffer)[] {
  const kept: (string | Buffer)[] = []
  for (const [name, value] of pairs(fields)) {
    const text = name.toString('latin1')
    kept.push(text !== TOKEN_HEADER && isReservedHeader(text) ? originalHeaderName(text) : name, value)
  }
  return kept
}

/**
 * The stream for the dead letters of another: in the same slot of a Cluster, so that one script can write the letter and
 * acknowledge the entry.
 */
export function deadLetterStreamOf(key: string): string {
  return /^[^{]*\{[^}]+\}/.test(key) ? `${key}:dlq` : `{${key}}:dlq`
}
