import { isCoverableName, MAX_COVERED_HEADERS } from './covered-parts.ts'
import type { Algorithm } from './keys/algorithms.ts'
import { parseAddress } from './message.ts'
import type { RejectCode } from './reasons.ts'

/**
 * The wire format, version 1 (docs/spec.md): a compact JWS (RFC 7515) with a JWT claims set (RFC 7519). The only file
 * that knows the names of claims.
 */

export const TOKEN_TYPE = 'queueauth-v1+jwt'

/** The longest token, in characters. */
export const MAX_TOKEN_LENGTH = 8192

/** The longest destination, in characters. */
export const MAX_DESTINATION_LENGTH = 1024

export interface Claims {
  /** issuer: the producing service */
  readonly iss: string
  /** audience: the destination as the producer addressed it */
  readonly aud: string
  /** issued at, seconds since 1970 */
  readonly iat: number
  /** id of this token */
  readonly jti: string
  /** base64url SHA-256 of the body; null: no body */
  readonly bh: string | null
  /** base64url digest of the covered parts */
  readonly hh: string
  /** names of the covered headers, ascending */
  readonly hs?: readonly string[]
  /** do not start handling after this, seconds since 1970 */
  readonly exp?: number
}

export interface Token {
  /** as the token says; `EdDSA` and unknown names included */
  readonly alg: string
  readonly kid: string
  readonly claims: Claims
  /** the bytes that were signed */
  readonly signingInput: Buffer
  readonly signature: Buffer
}

/** Why a token header cannot be read. */
export interface TokenFault {
  readonly code: RejectCode
  readonly detail: string
}

const SERVICE = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$/
const DESTINATION = /^[a-z][a-z0-9-]*:[A-Za-z0-9._/%-]*$/
const TOKEN_ID = /^[A-Za-z0-9_-]{16,64}$/
/** 32 bytes in base64url: the last character carries four bits, so its low two are zero. */
const DIGEST = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/
const BASE64URL = /^[A-Za-z0-9_-]+$/
/** Printable ASCII without a backslash: no escapes, so no two texts mean the same. */
const STRICT_TEXT = /^[ -[\]-~]+$/

/** Whether a text can be the name of a service: 1 to 128 of `[A-Za-z0-9._/-]`, a letter or digit at both ends. */
export function isServiceName(text: string): boolean {
  return text.length <= 128 && SERVICE.test(text)
}

/** Whether a text can be a destination: an address as `address()` writes it, at most 1024 characters. */
export function isDestination(text: string): boolean {
  if (text.length > MAX_DESTINATION_LENGTH || !DESTINATION.test(text)) return false
  return !text.includes('%') || parseAddress(text.slice(0, text.indexOf(':')), text) !== undefined
}

/** The protected header, encoded once a key. */
export function encodeHeader(alg: Algorithm, kid: string): string {
  return Buffer.from(`{"alg":"${alg}","typ":"${TOKEN_TYPE}","kid":"${kid}"}`, 'latin1').toString('base64url')
}

/** The claims set, encoded. One template is faster than JSON.stringify; no value in it can need an escape. */
export function encodeClaims(claims: Claims): string {
  const bh = claims.bh === null ? 'null' : `"${claims.bh}"`
  const hs = claims.hs === undefined ? '' : `,"hs":["${claims.hs.join('","')}"]`
  const exp = claims.exp === undefined ? '' : `,"exp":${claims.exp}`
  const text = `{"iss":"${claims.iss}","aud":"${claims.aud}","iat":${claims.iat},"jti":"${claims.jti}","bh":${bh},"hh":"${claims.hh}"${hs}${exp}}`
  return Buffer.from(text, 'latin1').toString('base64url')
}

/**
 * Reads the value of the token header as a client gave it, through checks 1 and 2 of the order in docs/spec.md: exactly
 * one, string or bytes, its length; then strict syntax and closed sets. Nothing is verified yet.
 */
export function parseToken(header: unknown): Token | TokenFault {
  if (header === undefined) return fault('token-missing', 'the message has no header queueauth')
  if (Array.isArray(header) && header.length > 1) {
    return fault('token-duplicated', `the message has ${header.length} headers queueauth; one is allowed`)
  }
  if (typeof header !== 'string' && !(header instanceof Uint8Array)) {
    return fault('token-malformed', 'the header queueauth is neither a string nor bytes')
  }
  if (header.length > MAX_TOKEN_LENGTH) {
    return fault('token-oversize', `the token has ${header.length} characters; ${MAX_TOKEN_LENGTH} are allowed`)
  }
  return parseText(typeof header === 'string' ? header : Buffer.from(header).toString('latin1'))
}

/** Tells a parsed token from a fault. */
export function isFault(result: Token | TokenFault): result is TokenFault {
  return 'code' in result
}

function parseText(text: string): Token | TokenFault {
  const parts = splitCompact(text)
  if (parts === undefined) return malformed('it is not three parts of canonical base64url joined by dots')
  const header = parseStrictObject(parts.header)
  if (header === undefined) return malformed('its header is not strict JSON')
  const headerFault = checkHeader(header)
  if (headerFault !== undefined) return headerFault
  const claims = parseStrictObject(parts.payload)
  if (claims === undefined) return malformed('its claims are not strict JSON')
  const claimsFault = checkClaims(claims)
  if (claimsFault !== undefined) return malformed(claimsFault)
  return {
    alg: header.alg as string,
    kid: header.kid as string,
    claims: claims as unknown as Claims,
    signingInput: parts.signingInput,
    signature: parts.signature,
  }
}

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
  const header = decode(text.slice(0, firstDot))
  const payload = decode(text.slice(firstDot + 1, secondDot))
  const signature = decode(text.slice(secondDot + 1))
  if (header === undefined || payload === undefined || signature === undefined) return undefined
  return { header, payload, signature, signingInput: Buffer.from(text.slice(0, secondDot), 'latin1') }
}

/** base64url that is exactly what encoding its bytes gives: no padding, no stray bits in the last character. */
function decode(part: string): Buffer | undefined {
  if (!BASE64URL.test(part)) return undefined
  const bytes = Buffer.from(part, 'base64url')
  return bytes.toString('base64url') === part ? bytes : undefined
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

function checkHeader(header: Record<string, unknown>): TokenFault | undefined {
  const { alg, typ, kid } = header
  if (typeof typ === 'string' && typ !== TOKEN_TYPE && typ.startsWith('queueauth-v')) {
    return fault('version-unsupported', 'the token is of a version this verifier does not know; update queue-key-auth')
  }
  if (Object.keys(header).length !== 3) return malformed('its header does not have exactly alg, typ and kid')
  if (typ !== TOKEN_TYPE) return malformed(`its typ is not ${TOKEN_TYPE}`)
  if (typeof alg !== 'string' || alg === '') return malformed('its alg is not a string')
  if (typeof kid !== 'string' || !DIGEST.test(kid)) return malformed('its kid is not a SHA-256 thumbprint')
  return undefined
}

/** What is wrong with a claims set, or undefined. */
function checkClaims(claims: Record<string, unknown>): string | undefined {
  const { iss, aud, iat, jti, bh, hh, hs, exp } = claims
  const expected = 6 + Number(hs !== undefined) + Number(exp !== undefined)
  if (Object.keys(claims).length !== expected) return 'a claim is missing or unknown'
  if (typeof iss !== 'string' || !isServiceName(iss)) return 'iss is not a service name'
  if (typeof aud !== 'string' || !isDestination(aud)) return 'aud is not a destination'
  if (!isTime(iat)) return 'iat is not a time in whole seconds'
  if (typeof jti !== 'string' || !TOKEN_ID.test(jti)) return 'jti is not 16 to 64 characters of base64url'
  if (bh !== null && !(typeof bh === 'string' && DIGEST.test(bh))) return 'bh is neither a digest nor null'
  if (typeof hh !== 'string' || !DIGEST.test(hh)) return 'hh is not a digest'
  if (hs !== undefined && !isNameList(hs)) return 'hs is not an ascending list of 1 to 32 header names'
  if (exp !== undefined && !isTime(exp)) return 'exp is not a time in whole seconds'
  return undefined
}

function isTime(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isNameList(value: unknown): boolean {
  if (!Array.isArray(value) || value.length < 1 || value.length > MAX_COVERED_HEADERS) return false
  return value.every(
    (name, index) => typeof name === 'string' && isCoverableName(name) && (index === 0 || value[index - 1] < name),
  )
}

function malformed(detail: string): TokenFault {
  return fault('token-malformed', `the token cannot be read: ${detail}`)
}

function fault(code: RejectCode, detail: string): TokenFault {
  return { code, detail }
}
