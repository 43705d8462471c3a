import { types } from 'node:util'
import { type Place, PlaceReader } from './batch/place.ts'
import { parseStrictObject, splitCompact } from './compact-jws.ts'
import { isCoverableName, MAX_COVERED_HEADERS } from './covered-parts.ts'
import type { Algorithm } from './keys/algorithms.ts'
import { parseAddress } from './message.ts'
import {
  CLAIMS_PART,
  describeDisguise,
  describeMembers,
  describePart,
  describeText,
  describeValue,
  fault,
  kindOf,
  malformed,
  type TokenFault,
} from './token-faults.ts'
import { DIGEST, HeaderReader } from './token-header.ts'

export type { TokenFault } from './token-faults.ts'

/**
 * The wire format, version 1 (docs/spec.md): a compact JWS (RFC 7515) with a JWT claims set (RFC 7519). The only file
 * that knows the names of claims.
 */

export const TOKEN_TYPE = 'queueauth-v1+jwt'
export const BATCH_TOKEN_TYPE = 'queueauth-batch-v1+jwt'

/** The longest token, in characters. */
export const MAX_TOKEN_LENGTH = 8192

/** The most messages of one batch. */
export const MAX_BATCH_SIZE = 1024

/** The longest destination, in characters. */
export const MAX_DESTINATION_LENGTH = 1024

/** What every token says. */
export interface CommonClaims {
  /** issuer: the producing service */
  readonly iss: string
  /** audience: the destination as the producer addressed it */
  readonly aud: string
  /** issued at, seconds since 1970 */
  readonly iat: number
  /** id of this token */
  readonly jti: string
  /** names of the covered headers, ascending */
  readonly hs?: readonly string[] | undefined
  /** do not start handling after this, seconds since 1970 */
  readonly exp?: number | undefined
}

/** What a token says of its one message. */
export interface MessageClaims {
  /** base64url SHA-256 of the body; null: no body */
  readonly bh: string | null
  /** base64url digest of the covered parts */
  readonly hh: string
}

/** What a token says of all the messages of a batch. */
export interface TreeClaims {
  /** base64url root of the Merkle tree over the messages */
  readonly mr: string
  /** how many messages there are, 1 to 1024 */
  readonly n: number
}

export interface Claims extends CommonClaims, MessageClaims {}

export interface BatchClaims extends CommonClaims, TreeClaims {}

/** A compact JWS, read and not verified. */
export interface SignedClaims<Of extends CommonClaims = CommonClaims> {
  readonly jws: string
  /** as the token says; `EdDSA` and unknown names included */
  readonly alg: string
  readonly kid: string
  readonly claims: Of
  /** what the token id stands for: in a batch the id has a place, and the tree says what stands there */
  readonly content: string
  /** the bytes that were signed */
  readonly signingInput: Buffer
  readonly signature: Buffer
}

/** The token of one message. */
export class SingleToken {
  readonly signed: SignedClaims<Claims>
  readonly place: undefined = undefined

  constructor(signed: SignedClaims<Claims>) {
    this.signed = signed
  }
}

/** The token of one message of a batch. */
export class BatchToken {
  /** what all messages of the batch share */
  readonly signed: SignedClaims<BatchClaims>
  readonly place: Place

  constructor(signed: SignedClaims<BatchClaims>, place: Place) {
    this.signed = signed
    this.place = place
  }
}

export type Token = SingleToken | BatchToken

const SERVICE = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$/
const DESTINATION = /^[a-z][a-z0-9-]*:[A-Za-z0-9._/%-]*$/
const TOKEN_ID = /^[A-Za-z0-9_-]{16,64}$/

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
export function encodeHeader(alg: Algorithm | 'EdDSA', kid: string, typ: string = TOKEN_TYPE): string {
  return Buffer.from(`{"alg":"${alg}","typ":"${typ}","kid":"${kid}"}`, 'latin1').toString('base64url')
}

/** The claims set, encoded. One template is faster than JSON.stringify; no value in it can need an escape. */
export function encodeClaims(claims: CommonClaims, content: MessageClaims | TreeClaims): string {
  const { iss, aud, iat, jti } = claims
  const hs = claims.hs === undefined ? '' : `,"hs":["${claims.hs.join('","')}"]`
  const exp = claims.exp === undefined ? '' : `,"exp":${claims.exp}`
  const own =
    'mr' in content
      ? `"mr":"${content.mr}","n":${content.n}`
      : `"bh":${content.bh === null ? 'null' : `"${content.bh}"`},"hh":"${content.hh}"`
  const text = `{"iss":"${iss}","aud":"${aud}","iat":${iat},"jti":"${jti}",${own}${hs}${exp}}`
  return Buffer.from(text, 'latin1').toString('base64url')
}

/**
 * Reads the value of a token header as a client gave it, through checks 1 and 2 of the order in docs/spec.md: exactly one,
 * string or bytes, its length; then strict syntax and closed sets. Nothing is verified.
 */
export function parseToken(value: unknown): Token | TokenFault {
  return new TokenReader(() => undefined).read(value)
}

/** {@link parseToken} for many tokens: what they have in common is read once. */
export class TokenReader {
  readonly #headers = new HeaderReader([TOKEN_TYPE, BATCH_TOKEN_TYPE])
  readonly #known: KnownRoots
  readonly #places = new PlaceReader(MAX_TOKEN_LENGTH)

  /** @param known what was read before of the part that the messages of a batch share */
  constructor(known: KnownRoots) {
    this.#known = known
  }

  read(value: unknown): Token | TokenFault {
    if (value === undefined) return fault('token-missing', 'the message has no header queueauth')
    if (Array.isArray(value) && value.length > 1) {
      return fault('token-duplicated', `the message has ${value.length} headers queueauth; one is allowed`)
    }
    // Not `instanceof`: an object whose prototype is bytes would count as bytes, and every use of it would throw.
    if (typeof value !== 'string' && !types.isUint8Array(value)) {
      return fault('token-malformed', `the header queueauth is ${kindOf(value)}; it must be one text or its bytes`)
    }
    if (value.length > MAX_TOKEN_LENGTH) {
      return fault('token-oversize', `the token has ${value.length} characters; ${MAX_TOKEN_LENGTH} are allowed`)
    }
    const text = typeof value === 'string' ? value : latin1Of(value)
    const tilde = text.indexOf('~')
    return tilde < 0 ? this.#single(text) : this.#batch(text, tilde)
  }

  #single(text: string): SingleToken | TokenFault {
    const signed = this.#signed<Claims>(text, TOKEN_TYPE, checkClaims)
    return 'code' in signed ? signed : new SingleToken(signed)
  }

  /** `<JWS>~<place>` */
  #batch(text: string, tilde: number): BatchToken | TokenFault {
    const place = this.#places.read(text, tilde + 1)
    const jws = text.slice(0, tilde)
    if (place === undefined) {
      // What only happens to have a ~ in it is no token of a batch.
      const fault = describeDisguise(text) ?? (splitCompact(jws) === undefined ? describeText(jws) : undefined)
      return malformed(fault ?? 'its place in a batch is not an index and a path in canonical base64url')
    }
    const signed = this.#known(jws) ?? this.#signed<BatchClaims>(jws, BATCH_TOKEN_TYPE, checkBatchClaims)
    if ('code' in signed) return signed
    if (place.index >= signed.claims.n) return malformed('its index is not in the batch')
    return new BatchToken(signed, place)
  }

  #signed<Of extends CommonClaims>(
    text: string,
    typ: string,
    check: (claims: Record<string, unknown>) => string | undefined,
  ): SignedClaims<Of> | TokenFault {
    const parts = splitCompact(text)
    if (parts === undefined) return malformed(describeText(text))
    const header = this.#headers.read(parts.header, text)
    if ('code' in header) return header
    if (header.typ !== typ) return malformed(typFault(header.typ, typ))
    const claims = parseStrictObject(parts.payload)
    if (claims === undefined) {
      return malformed(describeDisguise(text) ?? describePart(CLAIMS_PART, parts.payload, CLAIM_NAMES))
    }
    const claimsFault = check(claims)
    if (claimsFault !== undefined) return malformed(claimsFault)
    return {
      jws: text,
      alg: header.alg,
      kid: header.kid,
      claims: claims as unknown as Of,
      content: contentOf(claims as unknown as Claims | BatchClaims),
      signingInput: parts.signingInput,
      signature: parts.signature,
    }
  }
}

/** One character an octet, without a copy of the bytes. */
function latin1Of(bytes: Uint8Array): string {
  return (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)).toString('latin1')
}

function contentOf(claims: Claims | BatchClaims): string {
  return 'mr' in claims ? `${claims.aud} ${claims.mr}` : `${claims.aud} ${claims.bh} ${claims.hh}`
}

/** Finds the shared part of a batch's tokens by its text. */
export type KnownRoots = (jws: string) => SignedClaims<BatchClaims> | undefined

/** Tells a parsed token from a fault. */
export function isFault(result: Token | TokenFault): result is TokenFault {
  return 'code' in result
}

/** The token is of the other kind, or of none of ours. */
function typFault(typ: string, needed: string): string {
  if (typ === BATCH_TOKEN_TYPE)
    return 'it is the token of a batch without a place in it: what stands behind the first ~ is missing'
  if (typ === TOKEN_TYPE) return 'it is the token of one message with a place in a batch behind it'
  return `its typ is not ${needed}; another library may use the header queueauth`
}

const COMMON_NAMES = ['iss', 'aud', 'iat', 'jti'] as const
const SINGLE_NAMES = [...COMMON_NAMES, 'bh', 'hh'] as const
const BATCH_NAMES = [...COMMON_NAMES, 'mr', 'n'] as const
const OPTIONAL_NAMES = ['hs', 'exp'] as const
const CLAIM_NAMES: readonly string[] = [...SINGLE_NAMES, 'mr', 'n', ...OPTIONAL_NAMES]

const A_DIGEST = 'a SHA-256 digest, 43 characters of base64url'
const A_TIME = 'a time in whole seconds since 1970'

/** What is wrong with a claims set, or undefined. */
function checkClaims(claims: Record<string, unknown>): string | undefined {
  const { bh, hh } = claims
  const fault = checkCommonClaims(claims, SINGLE_NAMES)
  if (fault !== undefined) return fault
  if (bh !== null && !isDigest(bh)) return describeValue('bh', bh, `${A_DIGEST}, or null`)
  if (!isDigest(hh)) return describeValue('hh', hh, A_DIGEST)
  return undefined
}

function checkBatchClaims(claims: Record<string, unknown>): string | undefined {
  const { mr, n } = claims
  const fault = checkCommonClaims(claims, BATCH_NAMES)
  if (fault !== undefined) return fault
  if (!isDigest(mr)) return describeValue('mr', mr, A_DIGEST)
  if (!isTime(n) || (n as number) < 1 || (n as number) > MAX_BATCH_SIZE) {
    return describeValue('n', n, `a whole number from 1 to ${MAX_BATCH_SIZE}`)
  }
  return undefined
}

/** Both kinds have four claims in common and two of their own, and the same optional ones. */
function checkCommonClaims(claims: Record<string, unknown>, required: readonly string[]): string | undefined {
  const { iss, aud, iat, jti, hs, exp } = claims
  // JSON has no undefined: whatever is absent here is not counted there either.
  const count = required.length + (hs === undefined ? 0 : 1) + (exp === undefined ? 0 : 1)
  if (Object.keys(claims).length !== count) {
    return describeMembers('claim', claims, required, OPTIONAL_NAMES) ?? 'a claim is missing or unknown'
  }
  if (typeof iss !== 'string' || !isServiceName(iss)) {
    return describeValue('iss', iss, 'the name of a service, 1 to 128 of [A-Za-z0-9._/-]')
  }
  if (typeof aud !== 'string' || !isDestination(aud)) {
    return describeValue('aud', aud, 'one text, an address such as amqp:<exchange>/<routing key>, percent-encoded')
  }
  if (!isTime(iat)) return describeValue('iat', iat, A_TIME)
  if (typeof jti !== 'string' || !TOKEN_ID.test(jti)) {
    return describeValue('jti', jti, 'a text of 16 to 64 characters of base64url')
  }
  if (hs !== undefined && !isNameList(hs)) {
    return describeValue('hs', hs, `a list of 1 to ${MAX_COVERED_HEADERS} header names, ascending`)
  }
  if (exp !== undefined && !isTime(exp)) return describeValue('exp', exp, A_TIME)
  return undefined
}

function isDigest(value: unknown): boolean {
  return typeof value === 'string' && DIGEST.test(value)
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
