import type { SourcePosition } from '../errors.ts'
import { keyError } from './key-error.ts'

/**
 * Reads the data types of RFC 4251, section 5, strictly: nothing may run past the end, be left over, or be written in a
 * longer way than needed.
 */
export class SshReader {
  readonly #bytes: Buffer
  readonly #position: SourcePosition | undefined
  #at = 0

  constructor(bytes: Uint8Array, position: SourcePosition | undefined) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#position = position
  }

  uint32(): number {
    return this.#take(4).readUInt32BE()
  }

  string(): Buffer {
    return this.#take(this.uint32())
  }

  /** A positive integer, big-endian, without the zero octet that keeps it positive. */
  mpint(): Buffer {
    const octets = this.string()
    const [first, second] = octets
    if (first === undefined || first >= 0x80) throw this.malformed('a number in it is not positive')
    if (first !== 0) return octets
    if (second === undefined || second < 0x80) throw this.malformed('a number in it has needless zeros')
    return octets.subarray(1)
  }

  magic(text: string): void {
    if (this.#bytes.length < text.length || this.#take(text.length).toString('latin1') !== text) {
      throw this.malformed('it does not begin as such keys do')
    }
  }

  rest(): Buffer {
    return this.#take(this.#bytes.length - this.#at)
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw this.malformed('something follows its end')
  }

  malformed(what: string): Error {
    return keyError(
      'key-malformed',
      `this OpenSSH key is damaged (${what}); copy it again from its file`,
      this.#position,
    )
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw this.malformed('it ends too early')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
}

export function sshString(value: string | Uint8Array): Buffer {
  const octets = Buffer.from(value)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(octets.length)
  return Buffer.concat([length, octets])
}

/** An mpint from a positive big-endian integer without leading zeros. */
export function sshMpint(value: Uint8Array): Buffer {
  return sshString((value[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), value]) : value)
}
