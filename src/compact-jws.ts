/** Strict reading of a compact JWS (RFC 7515): what has two spellings is refused. */

/** Printable ASCII without a backslash: no escapes, so no two texts mean the same. */
const STRICT_TEXT = /^[ -[\]-~]+$/

/** The parts of a compact JWS (RFC 7515, section 7.1); header and payload are still in base64url. */
export interface CompactParts {
  readonly header: string
  readonly payload: string
  readonly signature: Buffer
  /** the bytes that were signed */
  readonly signingInput: Buffer
}

/** Splits a compact JWS; undefined unless it is three parts, the last of them canonical base64url. */
export function splitCompact(text: string): CompactParts | undefined {
  const firstDot = text.indexOf('.')
  const secondDot = text.indexOf('.', firstDot + 1)
  if (firstDot < 0 || secondDot < 0) return undefined
  const signature = decodeBase64url(text.slice(secondDot + 1))
  if (signature === undefined) return undefined
  return {
    header: text.slice(0, firstDot),
    payload: text.slice(firstDot + 1, secondDot),
    signature,
    signingInput: Buffer.from(text.slice(0, secondDot), 'latin1'),
  }
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const INVALID = 255
/** The six bits that a character of base64url stands for, by its code. */
const BITS = Uint8Array.from({ length: 128 }, (_, code) => {
  const bits = ALPHABET.indexOf(String.fromCharCode(code))
  return bits < 0 ? INVALID : bits
})

/**
 * base64url that is exactly what encoding its bytes gives: no padding, no stray bits in the last character, not empty.
 *
 * Written out, because what Buffer uses (AVX-512, where there is any) slows an Ed25519 verification right after it by a
 * twentieth.
 */
function decodeBase64url(part: string): Buffer | undefined {
  const rest = part.length % 4
  if (part === '' || rest === 1) return undefined
  const bytes = Buffer.allocUnsafe((part.length * 3) >> 2)
  let end = 0
  let codes = 0
  let bits = 0
  let group = 0
  for (let index = 0; index < part.length; index++) {
    const code = part.charCodeAt(index)
    const sextet = BITS[code & 127] as number
    codes |= code
    bits |= sextet
    group = (group << 6) | sextet
    if ((index & 3) < 3) continue
    bytes[end++] = group >> 16
    bytes[end++] = group >> 8
    bytes[end++] = group
  }
  // No character beyond ASCII, and none outside the alphabet: those stand for more than six bits.
  if (codes > 127 || bits > 63) return undefined
  if (rest === 2) {
    if (group & 15) return undefined
    bytes[end] = group >> 4
  } else if (rest === 3) {
    if (group & 3) return undefined
    bytes[end++] = group >> 10
    bytes[end] = group >> 2
  }
  return bytes
}

/** Shorter texts cannot nest deep enough to be dear. */
const SHORT_TEXT = 1024

/** No member of any version nests deeper than a few levels. */
const MAX_NESTING = 16

/** JSON of some thousand levels takes a hundred times as long to write again as any other of its length. */
function isShallow(text: string): boolean {
  if (text.length <= SHORT_TEXT) return true
  let depth = 0
  let inString = false
  for (let index = 0; index < text.length; index++) {
    const character = text.charCodeAt(index)
    // No backslash is there, so every quote begins or ends a string.
    if (character === QUOTE) inString = !inString
    else if (inString) continue
    else if (character === OPEN_LIST || character === OPEN_OBJECT) {
      if (++depth > MAX_NESTING) return false
    } else if (character === CLOSE_LIST || character === CLOSE_OBJECT) depth--
  }
  return true
}

const [QUOTE, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x22, 0x5b, 0x5d, 0x7b, 0x7d]

/**
 * A JSON object in canonical base64url whose text is exactly what JSON.stringify makes of it. That leaves no room for
 * duplicate names, white space, a byte order mark, other forms of a number, or escapes. What is longer than 1024 characters
 * nests at most 16 levels.
 */
export function parseStrictObject(part: string): Record<string, unknown> | undefined {
  const text = decodeBase64url(part)?.toString('latin1')
  if (text === undefined || !STRICT_TEXT.test(text) || !isShallow(text)) return undefined
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    return JSON.stringify(value) === text ? (value as Record<string, unknown>) : undefined
  } catch {
    // No JSON.
    return undefined
  }
}
