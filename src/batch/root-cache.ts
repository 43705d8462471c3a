import type { BatchClaims, SignedClaims } from '../token.ts'
import { MerkleHasher, ProvenTree } from './merkle.ts'

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
  readonly hasher: MerkleHasher = new MerkleHasher()
  readonly #roots = new Map<string, Root>()
  #generation: object | undefined
  #leaves = 0

  /** What was read of a batch before, by the part of the token that its messages share. */
  readonly known = (jws: string): SignedClaims<BatchClaims> | undefined => this.#roots.get(jws)?.signed

  /** @param generation the keys that are in force */
  get(jws: string, generation: object): ProvenTree | undefined {
    if (generation !== this.#generation) {
      this.#roots.clear()
      this.#leaves = 0
      this.#generation = generation
    }
    const root = this.#roots.get(jws)
    if (root === undefined) return undefined
    // The least recently used comes first.
    this.#roots.delete(jws)
    this.#roots.set(jws, root)
    return root.tree
  }

  /** Call {@link get} with the same generation before. */
  add(jws: string, { alg, kid, claims, signingInput, signature }: SignedClaims<BatchClaims>): ProvenTree {
    const tree = new ProvenTree(Buffer.from(claims.mr, 'base64url').toString('latin1'), claims.n, this.hasher)
    this.#roots.set(jws, { signed: { alg, kid, claims, signingInput, signature }, tree })
    this.#leaves += claims.n
    for (const [oldest, { signed }] of this.#roots) {
      if ((this.#roots.size <= MAX_ROOTS && this.#leaves <= MAX_LEAVES) || oldest === jws) break
      this.#roots.delete(oldest)
      this.#leaves -= signed.claims.n
    }
    return tree
  }
}
