import { randomFillSync } from 'node:crypto'
import { leafOf } from './leaf.ts'
import { MerkleHasher } from './merkle.ts'
import { PlaceWriter, SALT_BYTES } from './place.ts'
import type { DigestedMessage } from './prepared.ts'

/** Messages under one root. */
export class Batch {
  readonly size: number
  /** base64url */
  readonly root: string
  readonly #salts: string
  readonly #places: PlaceWriter

  constructor(messages: readonly DigestedMessage[]) {
    this.size = messages.length
    this.#salts = randomFillSync(Buffer.allocUnsafe(messages.length * SALT_BYTES)).toString('latin1')
    const hasher = new MerkleHasher()
    const leaves = messages.map(({ body, parts }, index) => hasher.leaf(leafOf(this.#salt(index), body, parts)))
    const levels = hasher.levels(leaves)
    this.root = Buffer.from(levels.at(-1)?.[0] as string, 'latin1').toString('base64url')
    this.#places = new PlaceWriter(levels)
  }

  /** What stands behind the token of a message. */
  place(index: number): string {
    return this.#places.write(index, this.#salt(index))
  }

  #salt(index: number): string {
    return this.#salts.slice(index * SALT_BYTES, (index + 1) * SALT_BYTES)
  }
}
