/** What is longer is written as a whole. */
const MAX_BY_CHARACTER = 256

/**
 * Puts octets together. Short ASCII is written character by character, which is faster than asking a Buffer for each
 * piece. The room is kept from one use to the next, and grows.
 */
export class ByteWriter {
  #room = Buffer.allocUnsafeSlow(512)
  #length = 0

  clear(): void {
    this.#length = 0
  }

  /** How much was written since {@link clear}. */
  get length(): number {
    return this.#length
  }

  /** What was written since {@link clear}, until the next. */
  bytes(): Uint8Array {
    return this.#room.subarray(0, this.#length)
  }

  uint8(value: number): void {
    this.#reserve(1)
    this.#room[this.#length++] = value
  }

  /** Four octets, the most significant first. */
  uint32(value: number): void {
    this.#reserve(4)
    this.#put(this.#length, value)
    this.#length += 4
  }

  /** Leaves room for the length of what comes next, up to {@link end}. */
  begin(): number {
    this.#reserve(4)
    this.#length += 4
    return this.#length
  }

  /** @param start what {@link begin} gave */
  end(start: number): void {
    this.#put(start - 4, this.#length - start)
  }

  copy(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#room.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Text that is known to be ASCII. */
  ascii(text: string): void {
    this.text(text)
  }

  /** UTF-8. False, and nothing is written, where the text has a lone surrogate. */
  text(text: string): boolean {
    if (text.length > MAX_BY_CHARACTER) return this.#unicode(text)
    this.#reserve(text.length)
    const room = this.#room
    let at = this.#length
    for (let index = 0; index < text.length; index++) {
      const character = text.charCodeAt(index)
      if (character > 0x7f) return this.#unicode(text)
      room[at++] = character
    }
    this.#length = at
    return true
  }

  /** Octets as a text, one character each. */
  latin1(octets: string): void {
    this.#reserve(octets.length)
    this.#length += this.#room.write(octets, this.#length, 'latin1')
  }

  #unicode(text: string): boolean {
    if (!text.isWellFormed()) return false
    this.#reserve(text.length * 3)
    this.#length += this.#room.write(text, this.#length)
    return true
  }

  #put(at: number, value: number): void {
    const room = this.#room
    room[at] = value >>> 24
    room[at + 1] = value >>> 16
    room[at + 2] = value >>> 8
    room[at + 3] = value
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#room.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#room.length))
    this.#room.copy(larger, 0, 0, this.#length)
    this.#room = larger
  }
}
