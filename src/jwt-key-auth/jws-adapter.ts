import { jwtVerify, SignJWT } from 'jose'
import { acrossBuilds } from '../across-builds.ts'
import { fromBase64Url } from '../base64.ts'
import { SetupError } from '../errors.ts'
import type { Algorithm, KeyType } from '../keys/algorithms.ts'
import { readPrivateKey } from '../keys/private-key.ts'
import { publicKeyOf, readPublicKey } from '../keys/public-key.ts'
import { checkOptions, FLAG, type OptionRules, wholeNumber } from '../option-check.ts'
import type { JwtService } from './jwt-key-auth.ts'

export interface JwsAdapterOptions {
  /** how long a token made here is valid: whole seconds, at least 1; default 60 */
  readonly expiresInSeconds?: number
  /** how far two clocks may be apart, for `exp`, `nbf` and `iat`: whole seconds; default 60 */
  readonly clockSkewSeconds?: number
  /** take tokens that never expire, such as jwt-key-auth makes; default false */
  readonly acceptWithoutExpiry?: boolean
}

const RULES: OptionRules<JwsAdapterOptions> = {
  expiresInSeconds: wholeNumber(1, Number.MAX_SAFE_INTEGER),
  clockSkewSeconds: wholeNumber(0, Number.MAX_SAFE_INTEGER),
  acceptWithoutExpiry: FLAG,
}

/** Longer than any token with an RSA key of 8192 bits and a name of sensible length. */
const MAX_TOKEN_LENGTH = 8192

/** RSA is RS256 here and not PS256 as in a message's token, since that is the wire format of jwt-key-auth. */
const SIGNS_WITH: Readonly<Record<KeyType, Algorithm>> = {
  ed25519: 'Ed25519',
  p256: 'ES256',
  p384: 'ES384',
  rsa: 'RS256',
}

/** Closed, so that no `crit`, `b64` or `jwk` gets as far as the JOSE library. */
const HEADER_MEMBERS: ReadonlySet<string> = new Set(['alg', 'typ'])
/** Closed, so that no claim that restricts the token (`aud`) is overlooked. */
const CLAIMS: ReadonlySet<string> = new Set(['keyName', 'iat', 'exp', 'nbf'])

/**
 * Tokens as compact JWS (RFC 7515) with the claim `keyName`. The key decides the algorithm, never the token: RSA is
 * RS256, P-256 is ES256, P-384 is ES384, Ed25519 is `Ed25519` (RFC 9864) or, when verifying, the older name `EdDSA`. A
 * public RSA key that is a JWK with the `alg` PS256 verifies that alone.
 */
export class JwsAdapter implements JwtService {
  static {
    acrossBuilds(JwsAdapter, 'JwsAdapter')
  }

  readonly #expiresInSeconds: number
  readonly #clockSkewSeconds: number
  readonly #acceptWithoutExpiry: boolean

  /** @throws SetupError `option-invalid` */
  constructor(options: JwsAdapterOptions = {}) {
    const checked = checkOptions('new JwsAdapter', options, RULES)
    const { expiresInSeconds = 60, clockSkewSeconds = 60, acceptWithoutExpiry = false } = checked
    this.#expiresInSeconds = expiresInSeconds
    this.#clockSkewSeconds = clockSkewSeconds
    this.#acceptWithoutExpiry = acceptWithoutExpiry
  }

  /** @throws SetupError `key-*` for an unusable private key, `service-invalid` for a name that makes the token too long */
  async generate(keyName: string, privateKey: string | Uint8Array): Promise<string> {
    const key = readPrivateKey(privateKey)
    const alg = SIGNS_WITH[publicKeyOf(key).type]
    const iat = nowInSeconds()
    const exp = iat + this.#expiresInSeconds
    const token = await new SignJWT({ keyName, iat, exp }).setProtectedHeader({ alg }).sign(key)
    if (token.length > MAX_TOKEN_LENGTH) {
      throw new SetupError('service-invalid', `the service name is too long: at most ${MAX_TOKEN_LENGTH} bytes a token`)
    }
    return token
  }

  keyName(token: unknown): string | null {
    return parseToken(token)?.keyName ?? null
  }

  /** @throws SetupError `key-*` for an unusable public key */
  async verify(token: string, publicKey: string | Uint8Array): Promise<boolean> {
    const { keyObject, type, algorithm } = readPublicKey(publicKey)
    const claims = parseToken(token)
    if (claims === undefined) return false
    if (claims.exp === undefined && !this.#acceptWithoutExpiry) return false
    // jose does not mind a token from the future.
    if (claims.iat !== undefined && claims.iat > nowInSeconds() + this.#clockSkewSeconds) return false
    const algorithms: string[] = type === 'ed25519' ? ['Ed25519', 'EdDSA'] : [algorithm ?? SIGNS_WITH[type]]
    return jwtVerify(token, keyObject, { algorithms, clockTolerance: this.#clockSkewSeconds }).then(
      () => true,
      () => false,
    )
  }
}

interface Claims {
  readonly keyName: string
  readonly iat?: number
  readonly exp?: number
  readonly nbf?: number
}

/** The form of a token, before its signature is checked; undefined for anything else. */
function parseToken(token: unknown): Claims | undefined {
  if (typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH) return undefined
  const parts = token.split('.')
  // jose takes other spellings of base64url as well, so that one token would be many texts.
  const [header, payload, signature] = parts.map(fromBase64Url)
  if (parts.length !== 3 || header === undefined || payload === undefined || signature === undefined) return undefined
  const claims = parseJson(payload)
  return isHeader(parseJson(header)) && isClaims(claims) ? claims : undefined
}

function isHeader(value: unknown): boolean {
  if (!isObject(value) || !Object.keys(value).every((name) => HEADER_MEMBERS.has(name))) return false
  // Another `typ` is a token for another purpose, though the same key signed it.
  return value.typ === undefined || value.typ === 'JWT'
}

function isClaims(value: unknown): value is Claims {
  if (!isObject(value) || !Object.keys(value).every((name) => CLAIMS.has(name))) return false
  const { keyName, iat, exp, nbf } = value
  if (typeof keyName !== 'string' || keyName === '') return false
  return [iat, exp, nbf].every((time) => time === undefined || Number.isSafeInteger(time))
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function nowInSeconds(): number {
  return Math.floor(Date.now() / 1000)
}
