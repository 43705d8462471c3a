import { fromBase64Url } from '../base64.ts'

/** Where a message stands in its batch, and how that is written behind the token: `<index>~<salt and path>`. */
export interface Place {
  readonly index: number
  /** 16 random octets that keep a message's siblings from being guessed, as a latin1 string */
  readonly salt: string
  /** the siblings on the way to the root, 32 octets each */
  readonly path: Buffer
}

export const SALT_BYTES = 16
const HASH_BYTES = 32

const INDEX = /^(?:0|[1-9][0-9]{0,3})$/

/** Undefined unless it is an index without leading zeros, and a salt and whole hashes in canonical base64url. */
export function parsePlace(text: string): Place | undefined {
  const tilde = text.indexOf('~')
  const index = text.slice(0, tilde)
  const tail = fromBase64Url(text.slice(tilde + 1))
  if (tilde < 0 || !INDEX.test(index) || tail === undefined) return undefined
  if (tail.length < SALT_BYTES || (tail.length - SALT_BYTES) % HASH_BYTES > 0) return undefined
  return { index: Number(index), salt: tail.toString('latin1', 0, SALT_BYTES), path: tail.subarray(SALT_BYTES) }
}

/** As many hashes as fill whole groups of base64: 96 bytes make 128 characters. */
const HASHES_A_PIECE = 3

/**
 * Writes the places of a tree. A salt and one hash are 48 bytes and 64 characters of base64url, so what follows is written
 * on its own, once for all leaves that have it in common.
 */
export class PlaceWriter {
  readonly #levels: readonly (readonly string[])[]
  readonly #piece = Buffer.alloc(HASHES_A_PIECE * HASH_BYTES)
  /** what is above a node, by its level and then its index */
  readonly #above: string[][]

  /** @param levels every level of the tree, leaves first */
  constructor(levels: readonly (readonly string[])[]) {
    this.#levels = levels
    this.#above = levels.map(() => [])
  }

  write(index: number, salt: string): string {
    this.#piece.write(salt, 'latin1')
    return `${index}~${this.#write(SALT_BYTES, 1, 0, index)}`
  }

  /** The bytes that stand in the piece already, then the siblings of a node and of all above it. */
  #write(length: number, room: number, level: number, index: number): string {
    let end = length
    let left = room
    let height = level
    let at = index
    for (; left > 0 && height < this.#levels.length - 1; height++, at >>= 1) {
      const sibling = this.#levels[height]?.[at ^ 1]
      if (sibling === undefined) continue
      end += this.#piece.write(sibling, end, 'latin1')
      left--
    }
    const text = this.#piece.toString('base64url', 0, end)
    return left > 0 ? text : text + this.#writeAbove(height, at)
  }

  #writeAbove(level: number, index: number): string {
    const known = this.#above[level] as string[]
    const text = known[index] ?? this.#write(0, HASHES_A_PIECE, level, index)
    known[index] = text
    return text
  }
}
