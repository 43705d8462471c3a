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
