import { createHmac, generateKeyPairSync, type KeyObject, type SigningOptions, sign, verify } from 'node:crypto'

/** Tokens made and checked by hand with node:crypto, as an implementation that shares no code with this one. */

export interface Pair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
  readonly publicPem: string
  readonly privatePem: string
}

function pair({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }): Pair {
  return {
    publicKey,
    privateKey,
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }) as string,
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  }
}

export const ed25519 = (): Pair => pair(generateKeyPairSync('ed25519'))
export const p256 = (): Pair => pair(generateKeyPairSync('ec', { namedCurve: 'P-256' }))
export const p384 = (): Pair => pair(generateKeyPairSync('ec', { namedCurve: 'P-384' }))
export const rsa = (modulusLength = 2048): Pair => pair(generateKeyPairSync('rsa', { modulusLength }))

export function encode(value: unknown): string {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  return bytes.toString('base64url')
}

const PSS: SigningOptions = { padding: 6, saltLength: 32 }
const P1363: SigningOptions = { dsaEncoding: 'ieee-p1363' }

/** How each algorithm of RFC 7518 and RFC 9864 signs, for any key that node:crypto can make it work with. */
const WAYS: Readonly<Record<string, readonly [digest: string | null, options: SigningOptions]>> = {
  RS256: ['sha256', {}],
  RS384: ['sha384', {}],
  RS512: ['sha512', {}],
  PS256: ['sha256', PSS],
  ES256: ['sha256', P1363],
  ES384: ['sha384', P1363],
  ES512: ['sha512', P1363],
  Ed25519: [null, {}],
  EdDSA: [null, {}],
}

export const ALGORITHMS: readonly string[] = [...Object.keys(WAYS), 'HS256', 'none']

/** Signed by hand; `header` and `claims` may be text or bytes that are no JSON. */
export function tokenByHand(alg: string, key: Pair, claims: unknown, header: unknown = { alg }): string {
  const input = `${encode(header)}.${encode(claims)}`
  return `${input}.${signatureByHand(alg, key, input).toString('base64url')}`
}

function signatureByHand(alg: string, key: Pair, input: string): Buffer {
  if (alg === 'none') return Buffer.alloc(0)
  if (alg === 'HS256') return createHmac('sha256', key.publicPem).update(input).digest()
  const [digest, options] = WAYS[alg] ?? ['sha256', {}]
  const ofEdwards = key.privateKey.asymmetricKeyType === 'ed25519'
  const ofRsa = key.privateKey.asymmetricKeyType === 'rsa'
  if (ofEdwards) return sign(null, Buffer.from(input), key.privateKey)
  const way = ofRsa ? { ...(options.padding === undefined ? {} : PSS) } : P1363
  return sign(digest ?? 'sha256', Buffer.from(input), { key: key.privateKey, ...way })
}

/** What a receiver of the old library's tokens does: RS256 whatever the header says. */
export function verifiedByHand(token: string, publicKey: KeyObject): { header: unknown; claims: unknown } | undefined {
  const [header = '', claims = '', signature = ''] = token.split('.')
  if (!verify('sha256', Buffer.from(`${header}.${claims}`), publicKey, Buffer.from(signature, 'base64url'))) return
  const parse = (part: string): unknown => JSON.parse(Buffer.from(part, 'base64url').toString())
  return { header: parse(header), claims: parse(claims) }
}

export const now = (): number => Math.floor(Date.now() / 1000)
