import { decodeBase64Url } from './base64.ts'

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
  const signature = decode(text.slice(secondDot + 1))
  if (signature === undefined) return undefined
  return {
    header: text.slice(0, firstDot),
    payload: text.slice(firstDot + 1, secondDot),
    signature,
    signingInput: Buffer.from(text.slice(0, secondDot), 'latin1'),
  }
}

/** Like everything in a token, not empty. */
function decode(part: string): Buffer | undefined {
  const bytes = Buffer.allocUnsafe((part.length * 3) >> 2)
  return part !== '' && decodeBase64Url(part, 0, bytes) === bytes.length ? bytes : undefined
}

/**
 * A JSON object in canonical base64url whose text is exactly what JSON.stringify makes of it. That leaves no room for
 * duplicate names, white space, a byte order mark, other forms of a number, or escapes.
 */
export function parseStrictObject(part: string): Record<string, unknown> | undefined {
  const text = decode(part)?.toString('latin1')
  if (text === undefined || !STRICT_TEXT.test(text)) return undefined
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    return JSON.stringify(value) === text ? (value as Record<string, unknown>) : undefined
  } catch {
    // No JSON, or nested so deep that writing it again exhausts the stack.
    return undefined
  }
}
