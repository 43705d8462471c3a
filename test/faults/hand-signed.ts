import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

/** Tokens written by hand from docs/spec.md, with no help from the library, so that each can be wrong in one place. */

/** An Ed25519 key with the names others know it by. */
export interface HandKey {
  readonly privateKey: KeyObject
  /** RFC 7638 */
  readonly kid: string
  /** `ssh-ed25519 AAAA…` */
  readonly line: string
}

export function handKey(): HandKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const x = publicKey.export({ format: 'jwk' }).x as string
  const kid = sha256(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`)
  const wire = Buffer.concat([withLength('ssh-ed25519'), withLength(Buffer.from(x, 'base64url'))])
  return { privateKey, kid, line: `ssh-ed25519 ${wire.toString('base64')}` }
}

/** What the token is for. Every header is a text. */
export interface HandMessage {
  readonly destination: string
  readonly body: Buffer
  readonly properties: {
    readonly type?: string
    readonly contentType?: string
    readonly messageId?: string
  }
  readonly headers: Readonly<Record<string, string>>
}

export interface Wrong {
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
}

/** A token of `checkout`, right but for what `wrong` puts over its members. */
export function handSign(key: HandKey, message: HandMessage, { header, claims }: Wrong = {}): string {
  const { type, contentType, messageId } = message.properties
  const names = Object.keys(message.headers).sort()
  const parts = [
    part('@key', undefined),
    part('@type', type),
    part('@content-type', contentType),
    part('@content-encoding', undefined),
    part('@reply-to', undefined),
    part('@correlation-id', undefined),
    part('@message-id', messageId),
    part('@app-id', undefined),
    ...names.map((name) => part(name, message.headers[name])),
  ]
  const protectedHeader = { alg: 'Ed25519', typ: 'queueauth-v1+jwt', kid: key.kid, ...header }
  const payload = {
    iss: 'checkout',
    aud: message.destination,
    iat: Math.floor(Date.now() / 1000),
    jti: randomBytes(16).toString('base64url'),
    bh: sha256(message.body),
    hh: sha256(Buffer.concat([Buffer.from('queueauth-v1/parts\0'), uint32(parts.length), ...parts])),
    ...(names.length > 0 && { hs: names }),
    ...claims,
  }
  const input = `${encode(protectedHeader)}.${encode(payload)}`
  return `${input}.${sign(null, Buffer.from(input), key.privateKey).toString('base64url')}`
}

function part(name: string, value: string | undefined): Buffer {
  if (value === undefined) return Buffer.concat([withLength(name), Buffer.of(0)])
  return Buffer.concat([
    withLength(name),
    Buffer.of(1),
    withLength(Buffer.concat([Buffer.from('b'), withLength(value)])),
  ])
}

function withLength(bytes: string | Buffer): Buffer {
  const buffer = Buffer.from(bytes as string)
  return Buffer.concat([uint32(buffer.length), buffer])
}

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}

function sha256(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('base64url')
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
