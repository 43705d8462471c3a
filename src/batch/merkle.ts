import { hash } from 'node:crypto'

/**
 * The Merkle tree of RFC 9162, section 2.1: leaf hash H(0x00 || leaf), node hash H(0x01 || left || right), SHA-256. A
 * level is made by pairing neighbours; a last one without a neighbour moves up as it is. Leaves and hashes are latin1
 * strings, which cost a third of what buffers do.
 */
export class MerkleHasher {
  readonly #node = Buffer.alloc(65, 1)
  #leaf = Buffer.alloc(0)

  leaf(leaf: string): string {
    // Leaves are all of one length.
    if (this.#leaf.length !== leaf.length + 1) this.#leaf = Buffer.alloc(leaf.length + 1)
    this.#leaf.write(leaf, 1, 'latin1')
    return hash('sha256', this.#leaf, 'binary')
  }

  node(left: string, right: string): string {
    this.#node.write(left, 1, 'latin1')
    this.#node.write(right, 33, 'latin1')
    return hash('sha256', this.#node, 'binary')
  }

  /** Every level of the tree, leaves first, the root alone in the last. */
  levels(leaves: readonly string[]): string[][] {
    const levels = [[...leaves]]
    for (let level = levels[0] as string[]; level.length > 1; ) {
      const next: string[] = []
      for (let index = 0; index < level.length; index += 2) {
        const left = level[index] as string
        const right = level[index + 1]
        next.push(right === undefined ? left : this.node(left, right))
      }
      levels.push(next)
      level = next
    }
    return levels
  }
}

/** The siblings on the way from a leaf to the root. */
export function inclusionPath(levels: readonly (readonly string[])[], index: number): string[] {
  const path: string[] = []
  let at = index
  for (const level of levels.slice(0, -1)) {
    const sibling = level[at ^ 1]
    if (sibling !== undefined) path.push(sibling)
    at >>= 1
  }
  return path
}

/** How many siblings a leaf has on its way to the root of a tree of that size. */
export function pathLength(index: number, size: number): number {
  let length = 0
  let at = index
  for (let width = size; width > 1; width = (width + 1) >> 1) {
    if ((at ^ 1) < width) length++
    at >>= 1
  }
  return length
}

/** Octets of a hash, and characters of it as a latin1 string. */
const HASH = 32

/**
 * A root that is trusted, and the nodes already proven to be under it, so that the later leaves of a tree cost about one
 * hash. Nodes enter only with a whole proof, and every element of a path is compared, known or not.
 */
export class ProvenTree {
  readonly size: number
  readonly #hasher: MerkleHasher
  /** level after level, leaves first */
  readonly #nodes: (string | undefined)[]
  /** what the proof at hand would add: so many places and nodes */
  #additions = 0
  readonly #places: number[] = []
  readonly #found: string[] = []

  constructor(root: string, size: number, hasher: MerkleHasher) {
    this.size = size
    this.#hasher = hasher
    let count = 1
    for (let width = size; width > 1; width = (width + 1) >> 1) count += width
    this.#nodes = new Array<string | undefined>(count).fill(undefined)
    this.#nodes[count - 1] = root
  }

  /**
   * Whether the leaf stands at that place in the tree. The check of RFC 9162, section 2.1.3.2.
   *
   * @param path the siblings on the way to the root, one after the other
   */
  includes(leaf: string, index: number, path: Buffer): boolean {
    if (index >= this.size || path.length !== pathLength(index, this.size) * HASH) return false
    this.#additions = 0
    if (!this.#climb(leaf, index, path)) return false
    for (let at = 0; at < this.#additions; at++) this.#nodes[this.#places[at] as number] = this.#found[at]
    return true
  }

  #climb(leaf: string, index: number, path: Buffer): boolean {
    const siblings = path.toString('latin1')
    let node = leaf
    let at = index
    let used = 0
    let level = 0
    for (let width = this.size; width > 1; width = (width + 1) >> 1) {
      const known = this.#nodes[level + at]
      if (known === undefined) this.#add(level + at, node)
      else if (known !== node) return false
      const next = level + width
      const beside = at ^ 1
      if (beside < width) {
        const sibling = siblings.slice(used, used + HASH)
        const knownSibling = this.#nodes[level + beside]
        // Kept by itself: a slice would keep all of the path.
        if (knownSibling === undefined) this.#add(level + beside, path.toString('latin1', used, used + HASH))
        else if (knownSibling !== sibling) return false
        // Where both are known, so is what is above them.
        const parent = this.#nodes[next + (at >> 1)]
        const isProven = known !== undefined && knownSibling !== undefined && parent !== undefined
        used += HASH
        node = isProven ? parent : at & 1 ? this.#hasher.node(sibling, node) : this.#hasher.node(node, sibling)
      }
      level = next
      at >>= 1
    }
    return this.#nodes[level] === node
  }

  #add(place: number, node: string): void {
    this.#places[this.#additions] = place
    this.#found[this.#additions++] = node
  }
}
