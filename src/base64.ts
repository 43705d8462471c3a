/** The bytes of a canonical base64url text without padding (RFC 7515, section 2); undefined for any other text. */
export function fromBase64Url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

/** The bytes of a canonical base64 text with padding (RFC 4648, section 4); undefined for any other text. */
export function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const INVALID = 255
/** The six bits that a character of base64url stands for, by its code. */
const BITS = Uint8Array.from({ length: 128 }, (_, code) => {
  const bits = ALPHABET.indexOf(String.fromCharCode(code))
  return bits < 0 ? INVALID : bits
})

/**
 * Reads base64url from a place in a text to its end, if it is exactly what encoding its bytes gives: no padding, no stray
 * bits in the last character.
 *
 * Written out, because what Buffer uses (AVX-512, where there is any) slows an Ed25519 verification right after it by a
 * twentieth.
 *
 * @param bytes where they go; what stood there is overwritten even when it fails
 * @returns how many bytes; -1 for any other text, or one too long
 */
export function decodeBase64Url(text: string, start: number, bytes: Uint8Array): number {
  const rest = (text.length - start) % 4
  if (rest === 1 || ((text.length - start) * 3) >> 2 > bytes.length) return -1
  const whole = text.length - rest
  let end = 0
  let codes = 0
  let bits = 0
  let index = start
  for (; index < whole; index += 4) {
    const first = text.charCodeAt(index)
    const second = text.charCodeAt(index + 1)
    const third = text.charCodeAt(index + 2)
    const fourth = text.charCodeAt(index + 3)
    codes |= first | second | third | fourth
    const one = BITS[first & 127] as number
    const two = BITS[second & 127] as number
    const three = BITS[third & 127] as number
    const four = BITS[fourth & 127] as number
    bits |= one | two | three | four
    bytes[end++] = (one << 2) | (two >> 4)
    bytes[end++] = (two << 4) | (three >> 2)
    bytes[end++] = (three << 6) | four
  }
  if (rest > 0) {
    const first = text.charCodeAt(index)
    const second = text.charCodeAt(index + 1)
    const third = rest === 3 ? text.charCodeAt(index + 2) : A
    codes |= first | second | third
    const one = BITS[first & 127] as number
    const two = BITS[second & 127] as number
    const three = BITS[third & 127] as number
    bits |= one | two | three
    if (rest === 2 ? two & 15 : three & 3) return -1
    bytes[end++] = (one << 2) | (two >> 4)
    if (rest === 3) bytes[end++] = (two << 4) | (three >> 2)
  }
  // No character beyond ASCII, and none outside the alphabet: those stand for more than six bits.
  return codes > 127 || bits > 63 ? -1 : end
}

/** Stands for six zeros. */
const A = 65
