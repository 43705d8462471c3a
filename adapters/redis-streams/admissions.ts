import type { Admission } from '../../src/guard.ts'
import type { Verifier } from '../../src/verifier.ts'

/** The most handed-over entries whose acknowledgement is awaited; whoever claims entries away never tells us. */
const MAX_HANDED = 100_000

/** What was handed over and not acknowledged, and what is not the user's to acknowledge, since its dead letter is pending. */
export class Admissions {
  readonly #handed = new Map<string, Admission>()
  readonly #withheld = new Map<string, number>()

  handOver(key: string, admission: Admission): void {
    // The same entry read again: its old lease is another owner's by now, so letting go of it changes nothing.
    void this.#handed.get(key)?.release()
    this.#handed.delete(key)
    this.#handed.set(key, admission)
    if (this.#handed.size <= MAX_HANDED) return
    for (const [oldest, abandoned] of this.#handed) {
      this.#handed.delete(oldest)
      void abandoned.release()
      return
    }
  }

  handed(key: string): Admission | undefined {
    return this.#handed.get(key)
  }

  settled(key: string): void {
    this.#handed.delete(key)
  }

  /** @returns what ends it, and says whether it did: the second time it does nothing */
  withhold(key: string): () => boolean {
    this.#withheld.set(key, (this.#withheld.get(key) ?? 0) + 1)
    let withheld = true
    return () => {
      if (!withheld) return false
      withheld = false
      const left = (this.#withheld.get(key) ?? 1) - 1
      if (left === 0) this.#withheld.delete(key)
      else this.#withheld.set(key, left)
      return true
    }
  }

  isWithheld(key: string): boolean {
    return this.#withheld.has(key)
  }
}

/** Names a stream as one group sees it; with the id of an entry behind it, that entry. */
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
