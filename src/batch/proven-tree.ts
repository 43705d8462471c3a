import { hash } from 'node:crypto'
import { pathLength } from './merkle.ts'

/** A hash as words of four octets, which are compared and copied faster than a text, and are no work for the garbage collector. */
export const HASH_WORDS = 8
const HASH_OCTETS = 32

/** 0x01 || left || right, what a node is the hash of, behind three octets that nobody reads: so its hashes are whole words. */
const pair = new ArrayBuffer(4 + 2 * HASH_OCTETS)
const pairOctets = Buffer.from(pair, 3)
const pairWords = new Int32Array(pair, 4)
pairOctets[0] = 1

/** The node at hand, on the way up. */
const node = new Int32Array(HASH_WORDS)
const nodeOctets = Buffer.from(node.buffer)

/**
 * A root that is trusted, and the nodes already proven to be under it, so that the later leaves of a tree cost about one
 * hash. Nodes enter only with a whole proof, and every element of a path is compared, known or not.
 */
export class ProvenTree {
  readonly size: number
  /** level after level, leaves first */
  readonly #nodes: Int32Array
  /** 1 for those that are proven */
  readonly #known: Uint8Array

  /** @param root 32 octets, each a latin1 character */
  constructor(root: string, size: number) {
    this.size = size
    let count = 1
    for (let width = size; width > 1; width = (width + 1) >> 1) count += width
    this.#nodes = new Int32Array(count * HASH_WORDS)
    this.#known = new Uint8Array(count)
    nodeOctets.write(root, 'latin1')
    this.#nodes.set(node, (count - 1) * HASH_WORDS)
    this.#known[count - 1] = 1
  }

  /**
   * Whether the leaf stands at that place in the tree. The check of RFC 9162, section 2.1.3.2.
   *
   * @param leaf its hash, 32 latin1 characters
   * @param path the siblings on the way to the root, one after the other
   * @param siblings how many of them there are
   */
  includes(leaf: string, index: number, path: Int32Array, siblings: number): boolean {
    if (index >= this.size || siblings !== pathLength(index, this.size)) return false
    additions = 0
    if (!this.#climb(leaf, index, path)) return false
    for (let at = 0; at < additions; at++) {
      const place = places[at] as number
      copy(found, at * HASH_WORDS, this.#nodes, place * HASH_WORDS)
      this.#known[place] = 1
    }
    return true
  }

  #climb(leaf: string, index: number, path: Int32Array): boolean {
    nodeOctets.write(leaf, 'latin1')
    let at = index
    let used = 0
    let level = 0
    for (let width = this.size; width > 1; width = (width + 1) >> 1) {
      const wasKnown = this.#known[level + at] === 1
      if (!this.#fits(level + at, node, 0)) return false
      const next = level + width
      const beside = at ^ 1
      if (beside < width) {
        const parent = next + (at >> 1)
        // Where both are known, so is what is above them.
        const isProven = wasKnown && this.#known[level + beside] === 1 && this.#known[parent] === 1
        if (!this.#fits(level + beside, path, used)) return false
        if (isProven) copy(this.#nodes, parent * HASH_WORDS, node, 0)
        else {
          copy(node, 0, pairWords, at & 1 ? HASH_WORDS : 0)
          copy(path, used, pairWords, at & 1 ? 0 : HASH_WORDS)
          nodeOctets.write(hash('sha256', pairOctets, 'binary'), 'latin1')
        }
        used += HASH_WORDS
      }
      level = next
      at >>= 1
    }
    return areEqual(this.#nodes, level * HASH_WORDS, node, 0)
  }

  /** Whether a hash is what is known of a place. Where nothing is, it becomes known with the rest of its proof. */
  #fits(place: number, words: Int32Array, start: number): boolean {
    if (this.#known[place] === 1) return areEqual(this.#nodes, place * HASH_WORDS, words, start)
    copy(words, start, found, additions * HASH_WORDS)
    places[additions++] = place
    return true
  }
}

/** What the proof at hand would add: so many places and their nodes, two a level. */
let additions = 0
const places: number[] = []
const found = new Int32Array(32 * HASH_WORDS)

function copy(from: Int32Array, start: number, to: Int32Array, at: number): void {
  for (let word = 0; word < HASH_WORDS; word++) to[at + word] = from[start + word] as number
}

function areEqual(some: Int32Array, start: number, others: Int32Array, at: number): boolean {
  let difference = 0
  for (let word = 0; word < HASH_WORDS; word++) {
    difference |= (some[start + word] as number) ^ (others[at + word] as number)
  }
  return difference === 0
}
