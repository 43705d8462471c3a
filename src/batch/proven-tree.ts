import { hash } from 'node:crypto'
import { pathLength } from './merkle.ts'

/** A hash as words of four octets, which are compared and copied faster than a text, and are no work for the garbage collector. */
export const HASH_WORDS = 8
const HASH_OCTETS = 32

/** Two nodes a level, and a level more than there are. */
const MOST_ADDITIONS = 24

/** Room for the proof at hand. Trees share it. */
export class ProofRoom {
  /** the node at hand, on the way up */
  readonly node: Int32Array<ArrayBuffer> = new Int32Array(HASH_WORDS)
  readonly #nodeOctets = Buffer.from(this.node.buffer)
  /** 0x01 || left || right, what a node is the hash of, behind three octets that nobody reads: so its hashes are whole words */
  readonly #pair = new ArrayBuffer(4 + 2 * HASH_OCTETS)
  readonly #pairOctets = Buffer.from(this.#pair, 3)
  readonly #pairWords = new Int32Array(this.#pair, 4)
  /** the nodes that the proof would add, and their places */
  readonly added: Int32Array = new Int32Array(MOST_ADDITIONS * HASH_WORDS)
  readonly places: number[] = []
  additions = 0

  constructor() {
    this.#pairOctets[0] = 1
  }

  /** @param hash 32 latin1 characters */
  setNode(hash: string): void {
    this.#nodeOctets.write(hash, 'latin1')
  }

  /** Goes up from the node at hand. */
  join(sibling: Int32Array, start: number, isRight: boolean): void {
    copy(this.node, 0, this.#pairWords, isRight ? HASH_WORDS : 0)
    copy(sibling, start, this.#pairWords, isRight ? 0 : HASH_WORDS)
    this.setNode(hash('sha256', this.#pairOctets, 'binary'))
  }

  add(place: number, words: Int32Array, start: number): void {
    copy(words, start, this.added, this.additions * HASH_WORDS)
    this.places[this.additions++] = place
  }
}

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
  readonly #room: ProofRoom

  /** @param root 32 octets, each a latin1 character */
  constructor(root: string, size: number, room: ProofRoom = new ProofRoom()) {
    this.size = size
    this.#room = room
    let count = 1
    for (let width = size; width > 1; width = (width + 1) >> 1) count += width
    this.#nodes = new Int32Array(count * HASH_WORDS)
    this.#known = new Uint8Array(count)
    room.setNode(root)
    this.#nodes.set(room.node, (count - 1) * HASH_WORDS)
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
    const room = this.#room
    room.additions = 0
    if (!this.#climb(leaf, index, path)) return false
    for (let at = 0; at < room.additions; at++) {
      const place = room.places[at] as number
      copy(room.added, at * HASH_WORDS, this.#nodes, place * HASH_WORDS)
      this.#known[place] = 1
    }
    return true
  }

  #climb(leaf: string, index: number, path: Int32Array): boolean {
    const room = this.#room
    const { node } = room
    room.setNode(leaf)
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
        else room.join(path, used, (at & 1) === 1)
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
    this.#room.add(place, words, start)
    return true
  }
}

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
