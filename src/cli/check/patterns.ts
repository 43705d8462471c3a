import { findName } from '../../authorized-keys/pattern-relations.ts'
import type { AuthorizedLine } from '../../authorized-keys/snapshot.ts'
import { quote } from '../../text.ts'
import { type Finding, placeText, type Rule } from './finding.ts'

/** Patterns that do less, or more, than whoever wrote them may think. */
export function checkPatterns(line: AuthorizedLine): Finding[] {
  const { patterns } = line.queues
  const vetoes = patterns.filter((pattern) => pattern.startsWith('!'))
  const allowed = patterns.filter((pattern) => !pattern.startsWith('!'))
  const findings: Finding[] = []
  const warn = (rule: Rule, text: string): void => {
    findings.push({ severity: 'warning', rule, place: placeText(line.position), text })
  }
  for (const [index, pattern] of allowed.entries()) {
    const others = allowed.filter((_, at) => at !== index)
    if (
      isWithin(
        pattern,
        vetoes.map((veto) => veto.slice(1)),
      )
    ) {
      warn('pattern-vetoed', `${quote(pattern)} matches nothing that is not vetoed: delete it, or narrow the veto`)
    } else if (others.some((other, at) => isWithin(pattern, [other]) && !(at >= index && isWithin(other, [pattern])))) {
      warn('pattern-redundant', `${quote(pattern)} is part of another pattern of the line: delete it`)
    }
    const odd = oddity(pattern)
    if (odd !== undefined) warn('pattern-odd', `${quote(pattern)} ${odd}`)
  }
  for (const veto of vetoes) {
    const hit = findName([allowed, [veto.slice(1)]], ([own, vetoed]) => own === true && vetoed === true)
    if (hit === undefined) warn('veto-idle', `${quote(veto)} vetoes nothing that is allowed: is it spelled right?`)
  }
  if (isWithin('**', patterns)) warn('every-queue', `${line.services} may publish to every queue there is`)
  return findings
}

/** Whether everything that a pattern matches is matched by a list. */
function isWithin(pattern: string, list: readonly string[]): boolean {
  if (list.length === 0) return false
  return findName([[pattern], list], ([own, other]) => own === true && other === false) === undefined
}

function oddity(pattern: string): string | undefined {
  if (/^(?:amqps?|kafka|redis|memory):/.test(pattern)) {
    return 'looks like an address: patterns match the name of the queue, topic or stream alone'
  }
  if (/[\^$|()[\]{}+]/.test(pattern)) return 'looks like a regular expression: only * ** ? and ! are special'
  if (/^[./:]|[./:]$|\.\./.test(pattern))
    return 'begins or ends with a separator, or has two in a row: a name like that is rare'
  if (pattern.includes('>')) return 'has a ">", which is no wildcard here: write ** for the rest of a name'
  return undefined
}
