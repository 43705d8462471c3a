import { hash } from 'node:crypto'

/**
 * The Merkle tree of RFC 9162, section 2.1: leaf hash H(0x00 || leaf), node hash H(0x01 || left || right), SHA-256. A
 * level is made by pairing neighbours; a last one without a neighbour moves up as it is. Hashes are 32-character latin1
 * strings, which cost a third of what buffers do.
 */
export class MerkleHasher {
  readonly #node = Buffer.alloc(65, 1)

  leaf(leaf: Uint8Array): string {
    const input = Buffer.allocUnsafe(leaf.length + 1)
    input[0] = 0
    input.set(leaf, 1)
    return hash('sha256', input, 'binary')
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

/** More levels than a tree of 1024 leaves has, and more nodes than a level. */
const LEVEL = 2048

/**
 * A root that is trusted, and the nodes already proven to be under it, so that the later leaves of a tree cost about one
 * hash. Nodes enter only with a whole proof, and every element of a path is compared, known or not.
 */
export class ProvenTree {
  readonly size: number
  readonly #hasher: MerkleHasher
  readonly #nodes = new Map<number, string>()

  constructor(root: string, size: number, hasher: MerkleHasher) {
    this.size = size
    this.#hasher = hasher
    let levels = 0
    for (let width = size; width > 1; width = (width + 1) >> 1) levels++
    this.#nodes.set(levels * LEVEL, root)
  }

  /** Whether the leaf stands at that place in the tree. The check of RFC 9162, section 2.1.3.2. */
  includes(leaf: string, index: number, path: readonly string[]): boolean {
    if (index >= this.size || path.length !== pathLength(index, this.size)) return false
    const proven: [number, string][] = []
    let node = leaf
    let at = index
    let used = 0
    for (let level = 0, width = this.size; ; level++, width = (width + 1) >> 1) {
      const known = this.#nodes.get(level * LEVEL + at)
      if (known !== undefined && known !== node) return false
      if (width === 1) break
      if (known === undefined) proven.push([level * LEVEL + at, node])
      const beside = at ^ 1
      if (beside < width) {
        const sibling = path[used++] as string
        const place = level * LEVEL + beside
        const knownSibling = this.#nodes.get(place)
        if (knownSibling === undefined) proven.push([place, sibling])
        else if (knownSibling !== sibling) return false
        // Where both are known, so is what is above them.
        const parent = this.#nodes.get((level + 1) * LEVEL + (at >> 1))
        const isProven = known !== undefined && knownSibling !== undefined && parent !== undefined
        node = isProven ? parent : at & 1 ? this.#hasher.node(sibling, node) : this.#hasher.node(node, sibling)
      }
      at >>= 1
    }
    for (const [place, value] of proven) this.#nodes.set(place, value)
    return true
  }
}
