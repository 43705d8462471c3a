/** Strict reading of a compact JWS (RFC 7515): what has two spellings is refused. */

const BASE64URL = /^[A-Za-z0-9_-]+$/
/** Printable ASCII without a backslash: no escapes, so no two texts mean the same. */
const STRICT_TEXT = /^[ -[\]-~]+$/

/** The parts of a compact JWS (RFC 7515, section 7.1), decoded. */
export interface CompactParts {
  readonly header: Buffer
  readonly payload: Buffer
  readonly signature: Buffer
  /** the bytes that were signed */
  readonly signingInput: Buffer
}

/** Splits a compact JWS; undefined unless it is three parts of canonical base64url, none of them empty. */
export function splitCompact(text: string): CompactParts | undefined {
  const firstDot = text.indexOf('.')
  const secondDot = text.indexOf('.', firstDot + 1)
  if (firstDot < 0 || secondDot < 0) return undefined
  const header = decodeBase64url(text.slice(0, firstDot))
  const payload = decodeBase64url(text.slice(firstDot + 1, secondDot))
  const signature = decodeBase64url(text.slice(secondDot + 1))
  if (header === undefined || payload === undefined || signature === undefined) return undefined
  return { header, payload, signature, signingInput: Buffer.from(text.slice(0, secondDot), 'latin1') }
}

/** base64url that is exactly what encoding its bytes gives: no padding, no stray bits in the last character. */
export function decodeBase64url(part: string): Buffer | undefined {
  return BASE64URL.test(part) && hasNoStrayBits(part) ? Buffer.from(part, 'base64url') : undefined
}

/** The last character of an incomplete group carries two or four bits of data, and zeros. */
function hasNoStrayBits(part: string): boolean {
  const last = part.charAt(part.length - 1)
  switch (part.length % 4) {
    case 0:
      return true
    case 2:
      return 'AQgw'.includes(last)
    case 3:
      return 'AEIMQUYcgkosw048'.includes(last)
    default:
      return false
  }
}

/**
 * A JSON object whose text is exactly what JSON.stringify makes of it. That leaves no room for duplicate names, white
 * space, a byte order mark, other forms of a number, or escapes.
 */
export function parseStrictObject(bytes: Buffer): Record<string, unknown> | undefined {
  const text = bytes.toString('latin1')
  if (!STRICT_TEXT.test(text)) return undefined
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    return JSON.stringify(value) === text ? (value as Record<string, unknown>) : undefined
  } catch {
    // No JSON, or nested so deep that writing it again exhausts the stack.
    return undefined
  }
}
