import { originalHeaderName, REASON_HEADER } from '../../src/dead-letter.ts'
import { isReservedHeader, TOKEN_HEADER } from '../../src/message.ts'
import { encodeFields, pairs, type StreamEntry } from './message.ts'
import { PACKED_FIELD } from './returned.ts'

/** How a dead letter is written: the rungs of the ladder it goes down until it fits. Pure. */

/** The fields of a dead letter, names and values by turns. */
export type Form = readonly (string | Buffer)[]

/** Why it is there; `reason` is the first. */
export type Explanation = Readonly<Record<string, string>>

/** Lua unpacks at most 8,000 values, and a few of them are not fields. */
export const MAX_SCRIPT_FIELDS = 7_900

/** In full; without the explanations; packed into one field. */
export const FORMS: readonly ((entry: StreamEntry, explanation: Explanation) => Form)[] = [full, bare, packed]

function full(entry: StreamEntry, explanation: Explanation): Form {
  return [...originalFields(entry), ...Object.entries({ ...explanation, ...origin(entry, explanation) }).flat()]
}

function bare(entry: StreamEntry, explanation: Explanation): Form {
  return [...originalFields(entry), ...briefly(explanation)]
}

function packed({ fields }: StreamEntry, explanation: Explanation): Form {
  return [PACKED_FIELD, encodeFields(fields), ...briefly(explanation)]
}

/** Of one that came back its explanation says that, if it ever did. */
function origin({ group, id }: StreamEntry, explanation: Explanation): Explanation {
  return isReturned(explanation) ? {} : { 'queueauth-group': group, 'queueauth-entry-id': id }
}

function isReturned(explanation: Explanation): boolean {
  return explanation['queueauth-returns'] !== undefined
}

/** What has to be said where there is room for nothing else. */
function briefly(explanation: Explanation): string[] {
  const names = [REASON_HEADER, 'queueauth-returns', 'queueauth-last-reason']
  const [, ...counting] = names.map((name) => (explanation[name] === undefined ? [] : [name, explanation[name]]))
  return [REASON_HEADER, explanation[REASON_HEADER] ?? '', ...counting.flat()]
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
