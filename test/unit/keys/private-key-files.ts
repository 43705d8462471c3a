import type { JsonWebKey, KeyObject } from 'node:crypto'
import type { KeyType } from '../../../src/keys/algorithms.ts'
import { openSshBlob, SSH_WORDS } from '../../../src/keys/openssh-public.ts'
import { sshMpint, sshString } from '../../../src/keys/ssh-wire.ts'

export interface OpenSshParts {
  cipher?: string
  kdfOptions?: string
  keys?: number
  publicBlob?: Buffer
  checks?: [number, number]
  word?: string
  fields?: Buffer
  padding?: Buffer
  after?: Buffer
}

/** An openssh-key-v1 of a key, with parts of it replaced. */
export function openSshPrivate(type: KeyType, key: KeyObject, parts: OpenSshParts = {}): string {
  const uint32 = (...numbers: number[]): Buffer =>
    Buffer.concat(numbers.map((n) => Buffer.from([n >>> 24, n >>> 16, n >>> 8, n])))
  const jwk = key.export({ format: 'jwk' })
  const word = parts.word ?? SSH_WORDS[type]
  const publicBlob = parts.publicBlob ?? openSshBlob(type, jwk)
  const body = Buffer.concat([
    uint32(...(parts.checks ?? [7, 7])),
    sshString(word),
    parts.fields ?? privateFields(type, jwk),
    sshString('comment'),
  ])
  const padding = parts.padding ?? Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(0, (8 - (body.length % 8)) % 8)
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    sshString(parts.cipher ?? 'none'),
    sshString(parts.cipher === undefined ? 'none' : 'bcrypt'),
    sshString(parts.kdfOptions ?? ''),
    uint32(parts.keys ?? 1),
    sshString(publicBlob),
    sshString(Buffer.concat([body, padding])),
    parts.after ?? Buffer.alloc(0),
  ])
  const base64 = file.toString('base64').replace(/.{70}/g, '$&\n')
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${base64}\n-----END OPENSSH PRIVATE KEY-----\n`
}

export function privateFields(type: KeyType, jwk: JsonWebKey): Buffer {
  const bytes = (member: string | undefined): Buffer => Buffer.from(member ?? '', 'base64url')
  const trimmed = (number: Buffer): Buffer => number.subarray(number.findIndex((octet) => octet !== 0))
  if (type === 'ed25519')
    return Buffer.concat([sshString(bytes(jwk.x)), sshString(Buffer.concat([bytes(jwk.d), bytes(jwk.x)]))])
  if (type === 'rsa')
    return Buffer.concat([jwk.n, jwk.e, jwk.d, jwk.qi, jwk.p, jwk.q].map((member) => sshMpint(trimmed(bytes(member)))))
  const point = Buffer.concat([Buffer.of(4), bytes(jwk.x), bytes(jwk.y)])
  return Buffer.concat([
    sshString(type === 'p256' ? 'nistp256' : 'nistp384'),
    sshString(point),
    sshMpint(trimmed(bytes(jwk.d))),
  ])
}
