/** Where a message stands in its batch, and how that is written behind the token: `<index>~<salt and path>`. */
export class Place {
  readonly index: number
  /** 16 random octets that keep a message's siblings from being guessed, as a latin1 string */
  readonly salt: string
  /** the siblings on the way to the root, eight words each, until the reader reads the next place */
  readonly path: Int32Array
  /** how many siblings there are: what follows in `path` means nothing */
  readonly siblings: number

  constructor(index: number, salt: string, path: Int32Array, siblings: number) {
    this.index = index
    this.salt = salt
    this.path = path
    this.siblings = siblings
  }
}

export const SALT_BYTES = 16
const HASH_BYTES = 32
const MAX_DIGITS = 4

/** Reads places into one room, which is cheaper than new buffers for each. */
export class PlaceReader {
  readonly #bytes: Buffer
  readonly #path: Int32Array

  /** @param most the characters of the longest text */
  constructor(most: number) {
    const hashes = Math.ceil((most * 3) / 4 / HASH_BYTES)
    this.#bytes = Buffer.alloc(SALT_BYTES + hashes * HASH_BYTES)
    this.#path = new Int32Array(this.#bytes.buffer, this.#bytes.byteOffset + SALT_BYTES)
  }

  /**
   * From a place in a text to its end. Undefined unless it is an index without leading zeros, and a salt and whole hashes
   * in canonical base64url.
   */
  read(text: string, start: number): Place | undefined {
    const tilde = text.indexOf('~', start)
    const index = decimal(text, start, tilde)
    if (index === undefined) return undefined
    const tail = text.slice(tilde + 1)
    const octets = this.#bytes.write(tail, 'base64url')
    const isCanonical = this.#bytes.toString('base64url', 0, octets) === tail
    if (!isCanonical || octets < SALT_BYTES || (octets - SALT_BYTES) % HASH_BYTES > 0) return undefined
    const salt = this.#bytes.toString('latin1', 0, SALT_BYTES)
    return new Place(index, salt, this.#path, (octets - SALT_BYTES) / HASH_BYTES)
  }
}

/** A number of a few digits without leading zeros. */
function decimal(text: string, start: number, end: number): number | undefined {
  const digits = end - start
  if (digits < 1 || digits > MAX_DIGITS) return undefined
  let number = 0
  for (let at = start; at < end; at++) {
    const digit = text.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return undefined
    number = 10 * number + digit
  }
  return digits > 1 && text[start] === '0' ? undefined : number
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
