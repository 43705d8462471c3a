import { findName } from '../../authorized-keys/pattern-relations.ts'
import { type Allow, type AuthorizedLine, createSnapshot } from '../../authorized-keys/snapshot.ts'

/** For a directory in which some key may publish to several queues. */
export const COPIES_HINT: string =
  'on RabbitMQ, a copy by BCC to another queue of the same exchange that the key may publish to looks like the message itself ' +
  'where the consumer\'s client declared no bindings: see "Copies by CC and BCC" in docs/rabbitmq.md'

/** The first line with which a key may publish to more than one queue as the same service, alone or with lines before it. */
export function lineOfSeveralQueues(
  allows: readonly Allow[],
  revocations: ReadonlySet<string>,
): AuthorizedLine | undefined {
  const { isRevoked } = createSnapshot(allows, revocations)
  const only = new Map<string, string>()
  for (const { key, line } of allows) {
    if (isRevoked(key)) continue
    const { patterns } = line.queues
    const name = findName([patterns], ([own]) => own === true)
    if (name === undefined) continue
    // Where finding out takes too long there are many.
    if (name === null || hasOther(patterns, name)) return line
    for (const service of line.services) {
      const identity = `${key.keyId} ${service}`
      if ((only.get(identity) ?? name) !== name) return line
      only.set(identity, name)
    }
  }
  return undefined
}

function hasOther(patterns: readonly string[], name: string): boolean {
  return findName([patterns, [name]], ([own, same]) => own === true && same === false) !== undefined
}
