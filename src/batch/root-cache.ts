import type { BatchClaims, SignedClaims } from '../token.ts'
import { ProofRoom, ProvenTree } from './proven-tree.ts'

/** A batch whose signature is good. */
interface Root {
  readonly signed: SignedClaims<BatchClaims>
  readonly tree: ProvenTree
}

/** The most batches that are remembered, and the most messages in all of them. */
const MAX_ROOTS = 1024
const MAX_LEAVES = 262_144

/**
 * Remembers that the signature of a batch is good, which is all it remembers: keys, queues, times and contents are judged
 * for every message. Failures are not remembered. A new generation of keys forgets everything.
 */
export class RootCache {
  readonly #roots = new Map<string, Root>()
  readonly #room = new ProofRoom()
  /** the one used last: messages of a batch mostly arrive together */
  #last: Root | undefined
  #generation: object | undefined
  #leaves = 0

  /** What was read of a batch before, by the part of the token that its messages share. */
  readonly known = (jws: string): SignedClaims<BatchClaims> | undefined =>
    this.#last?.signed.jws === jws ? this.#last.signed : this.#roots.get(jws)?.signed

  /** @param generation the keys that are in force */
  get({ jws }: SignedClaims<BatchClaims>, generation: object): ProvenTree | undefined {
    if (generation !== this.#generation) {
      this.#roots.clear()
      this.#last = undefined
      this.#leaves = 0
      this.#generation = generation
    }
    if (this.#last?.signed.jws === jws) return this.#last.tree
    const root = this.#roots.get(jws)
    if (root === undefined) return undefined
    // The least recently used comes first.
    this.#roots.delete(jws)
    this.#roots.set(jws, root)
    this.#last = root
    return root.tree
  }

  /** Call {@link get} with the same generation before. */
  add(signed: SignedClaims<BatchClaims>): ProvenTree {
    const { mr, n } = signed.claims
    const tree = new ProvenTree(Buffer.from(mr, 'base64url').toString('latin1'), n, this.#room)
    this.#last = { signed, tree }
    this.#roots.set(signed.jws, this.#last)
    this.#leaves += n
    for (const [oldest, root] of this.#roots) {
      if ((this.#roots.size <= MAX_ROOTS && this.#leaves <= MAX_LEAVES) || root === this.#last) break
      this.#roots.delete(oldest)
      this.#leaves -= root.signed.claims.n
    }
    return tree
  }
}
