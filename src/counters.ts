import type { ReasonCode } from './reasons.ts'
import type { Verdict } from './verdict.ts'

/** What was seen on one queue since the start: it answers "is it safe to enforce?" and "who still sends unsigned?". */
export interface QueueCounters {
  readonly authorized: number
  /** messages without a token that the policy let pass */
  readonly unsigned: number
  /** refusals by reason */
  readonly refused: Readonly<Partial<Record<ReasonCode, number>>>
  /** messages without a token by who seems to have sent them, at most 64 senders a queue; the rest count as "others" */
  readonly unsignedFrom: Readonly<Record<string, number>>
}

const MAX_QUEUES = 1_000
const MAX_ORIGINS = 64

interface Tally {
  authorized: number
  unsigned: number
  readonly refused: Map<ReasonCode, number>
  readonly origins: Map<string, number>
}

export class Counters {
  readonly #queues = new Map<string, Tally>()

  /** @param origin who seems to have sent it */
  count(queue: string, verdict: Verdict, origin: string | undefined): void {
    const tally = this.#tally(queue)
    if (verdict.outcome === 'authorized') {
      tally.authorized++
      return
    }
    if (verdict.outcome === 'unsigned') tally.unsigned++
    else increment(tally.refused, verdict.code)
    if (verdict.outcome === 'unsigned' || verdict.code === 'token-missing') {
      const known = origin !== undefined && (tally.origins.has(origin) || tally.origins.size < MAX_ORIGINS)
      increment(tally.origins, known ? origin : 'others')
    }
  }

  of(queue: string): QueueCounters {
    const tally = this.#queues.get(queue) ?? newTally()
    return {
      authorized: tally.authorized,
      unsigned: tally.unsigned,
      refused: Object.fromEntries(tally.refused),
      unsignedFrom: Object.fromEntries(tally.origins),
    }
  }

  queues(): string[] {
    return [...this.#queues.keys()]
  }

  /** Queue names can come from outside (server-named queues): beyond a bound they share one tally. */
  #tally(queue: string): Tally {
    const known = this.#queues.get(queue)
    if (known !== undefined) return known
    const name = this.#queues.size < MAX_QUEUES ? queue : 'others'
    const tally = this.#queues.get(name) ?? newTally()
    this.#queues.set(name, tally)
    return tally
  }
}

function newTally(): Tally {
  return { authorized: 0, unsigned: 0, refused: new Map(), origins: new Map() }
}

function increment<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
