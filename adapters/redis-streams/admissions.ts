import type { Admission } from '../../src/guard.ts'
import type { Verifier } from '../../src/verifier.ts'

/** The most handed-over entries of a group whose acknowledgement is awaited; whoever claims entries away never tells us. */
const MAX_HANDED = 100_000

/**
 * What one group was handed of a stream and has not acknowledged, and what is not the user's to acknowledge, since its dead
 * letter is pending. By the ids of entries.
 */
export class GroupAdmissions {
  #handed = new Map<string, Admission>()
  readonly #withheld = new Map<string, number>()
  /** the one that is being judged at this moment */
  judged: string | undefined

  handOver(id: string, admission: Admission): void {
    const earlier = this.#handed.get(id)
    if (earlier !== undefined) {
      // The same entry read again: its old lease is another owner's by now, so letting go of it changes nothing.
      void earlier.release()
      this.#handed.delete(id)
    }
    this.#handed.set(id, admission)
    if (this.#handed.size <= MAX_HANDED) return
    for (const [oldest, abandoned] of this.#handed) {
      this.#handed.delete(oldest)
      void abandoned.release()
      return
    }
  }

  handed(id: string): Admission | undefined {
    return this.#handed.get(id)
  }

  settled(id: string): void {
    this.#handed.delete(id)
    // A Map that is filled and emptied again makes new tables, and those that it leaves behind keep what was in them.
    if (this.#handed.size === 0) this.#handed = new Map()
  }

  withhold(id: string): void {
    this.#withheld.set(id, (this.#withheld.get(id) ?? 0) + 1)
  }

  letGo(id: string): void {
    const left = (this.#withheld.get(id) ?? 1) - 1
    if (left === 0) this.#withheld.delete(id)
    else this.#withheld.set(id, left)
  }

  isWithheld(id: string): boolean {
    return id === this.judged || this.#withheld.has(id)
  }
}

export class Admissions {
  readonly #groups = new Map<string, GroupAdmissions>()

  of(stream: string, group: string): GroupAdmissions {
    const known = this.find(stream, group)
    if (known !== undefined) return known
    const admissions = new GroupAdmissions()
    this.#groups.set(groupKey(stream, group), admissions)
    return admissions
  }

  /** undefined: nothing was read there yet */
  find(stream: string, group: string): GroupAdmissions | undefined {
    return this.#groups.get(groupKey(stream, group))
  }
}

/** Names a stream as one group sees it. */
export function groupKey(stream: string, group: string): string {
  return JSON.stringify([stream, group])
}

const ADMISSIONS: unique symbol = Symbol.for('queue-key-auth.redis-streams.admissions') as never

interface Holder {
  [ADMISSIONS]?: Admissions
}

/** They belong to the verifier: an entry may be read on one connection and acknowledged on another. */
export function admissionsOf(verifier: Verifier): Admissions {
  const holder = verifier as Holder
  const known = holder[ADMISSIONS]
  if (known !== undefined) return known
  const admissions = new Admissions()
  Object.defineProperty(verifier, ADMISSIONS, { value: admissions })
  return admissions
}
