import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { inclusionPath, MerkleHasher, pathLength } from '../../../src/batch/merkle.ts'
import { HASH_WORDS, ProvenTree } from '../../../src/batch/proven-tree.ts'

const vectors = join(import.meta.dirname, '../../vectors/data/rfc6962-merkle/roots.json')
const hasher = new MerkleHasher()

/** RFC 9162, section 2.1.1, word for word. */
function rootOf(leaves: readonly Buffer[]): Buffer {
  const sha256 = (...parts: Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()
  if (leaves.length === 1) return sha256(Buffer.from([0]), leaves[0] as Buffer)
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return sha256(Buffer.from([1]), rootOf(leaves.slice(0, k)), rootOf(leaves.slice(k)))
}

function leavesOf(size: number): Buffer[] {
  return Array.from({ length: size }, (_, index) => Buffer.from(`leaf ${index}`))
}

function treeOf(leaves: readonly Buffer[]): { levels: string[][]; hashes: string[]; root: string } {
  const hashes = leaves.map((leaf) => hasher.leaf(leaf.toString('latin1')))
  const levels = hasher.levels(hashes)
  return { levels, hashes, root: levels.at(-1)?.[0] as string }
}

function isIncluded(tree: ProvenTree, leaf: string, index: number, path: readonly string[]): boolean {
  const octets = Uint8Array.from(Buffer.from(path.join(''), 'latin1'))
  const words = new Int32Array(octets.buffer)
  return tree.includes(leaf, index, words, words.length / HASH_WORDS)
}

describe('the Merkle tree', () => {
  it('has the roots of RFC 6962', () => {
    const { leafInputsHex, rootsHexBySize } = JSON.parse(readFileSync(vectors, 'utf8'))
    const leaves = leafInputsHex.map((hex: string) => Buffer.from(hex, 'hex'))
    const roots = leaves.map((_: Buffer, index: number) => treeOf(leaves.slice(0, index + 1)).root)
    expect(roots.map((root: string) => Buffer.from(root, 'latin1').toString('hex'))).toEqual(rootsHexBySize.slice(1))
  })

  it('proves every leaf of every size from 1 to 300, in any order', () => {
    const wrong: [size: number, index: number][] = []
    for (let size = 1; size <= 300; size++) {
      const leaves = leavesOf(size)
      const { levels, hashes, root } = treeOf(leaves)
      expect(root).toBe(rootOf(leaves).toString('latin1'))
      const cached = new ProvenTree(root, size)
      for (let step = 0; step < size; step++) {
        const index = (step * 7919) % size
        const path = inclusionPath(levels, index)
        const leaf = hashes[index] as string
        const proven = [new ProvenTree(root, size), cached].map((tree) => isIncluded(tree, leaf, index, path))
        if (path.length !== pathLength(index, size) || proven.includes(false)) wrong.push([size, index])
      }
    }
    expect(wrong).toEqual([])
  })

  it.each([2, 3, 5, 8, 33, 100])('refuses what is not in a tree of %i, with and without proven nodes', (size) => {
    const { levels, hashes, root } = treeOf(leavesOf(size))
    const cached = new ProvenTree(root, size)
    for (let index = 0; index < size; index++) {
      expect(isIncluded(cached, hashes[index] as string, index, inclusionPath(levels, index))).toBe(true)
    }
    for (const tree of [cached, new ProvenTree(root, size)]) {
      for (let index = 0; index < size; index++) {
        const leaf = hashes[index] as string
        const path = inclusionPath(levels, index)
        const other = (index + 1) % size
        expect(isIncluded(tree, leaf, other, inclusionPath(levels, other))).toBe(false)
        expect(isIncluded(tree, leaf, other, path)).toBe(false)
        expect(isIncluded(tree, leaf, index + size, path)).toBe(false)
        expect(isIncluded(tree, leaf, index, [...path, root])).toBe(false)
        expect(isIncluded(tree, leaf, index, path.slice(1))).toBe(false)
        expect(isIncluded(tree, hasher.leaf('foreign'), index, path)).toBe(false)
        for (const place of path.keys()) {
          const bent = path.with(place, hasher.leaf('bent'))
          expect(isIncluded(tree, leaf, index, bent)).toBe(false)
        }
      }
    }
  })

  it('stays clean when a proof fails', () => {
    const { levels, hashes, root } = treeOf(leavesOf(8))
    const tree = new ProvenTree(root, 8)
    const path = inclusionPath(levels, 3)
    expect(isIncluded(tree, hasher.leaf('foreign'), 3, path)).toBe(false)
    expect(isIncluded(tree, hashes[3] as string, 3, path.with(0, hasher.leaf('bent')))).toBe(false)
    for (const [index, leaf] of hashes.entries()) {
      expect(isIncluded(tree, leaf, index, inclusionPath(levels, index))).toBe(true)
    }
  })

  it('does not take a node for a leaf', () => {
    const { levels, root } = treeOf(leavesOf(4))
    const node = levels[1]?.[0] as string
    expect(isIncluded(new ProvenTree(root, 2), node, 0, [levels[1]?.[1] as string])).toBe(true)
    expect(isIncluded(new ProvenTree(root, 4), node, 0, [levels[1]?.[1] as string])).toBe(false)
  })
})
