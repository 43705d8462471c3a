import type { JsonWebKey } from 'node:crypto'
import { fromBase64 } from '../base64.ts'
import type { SourcePosition } from '../errors.ts'
import type { KeyType } from './algorithms.ts'
import { keyError, SUPPORTED } from './key-error.ts'
import { SshReader, sshMpint, sshString } from './ssh-wire.ts'

/** The first word of an OpenSSH public key line, by key type (RFC 4253, RFC 5656, RFC 8709). */
export const SSH_WORDS: Readonly<Record<KeyType, string>> = {
  ed25519: 'ssh-ed25519',
  p256: 'ecdsa-sha2-nistp256',
  p384: 'ecdsa-sha2-nistp384',
  rsa: 'ssh-rsa',
}

const CURVES = [
  { crv: 'P-256', word: SSH_WORDS.p256, name: 'nistp256', size: 32 },
  { crv: 'P-384', word: SSH_WORDS.p384, name: 'nistp384', size: 48 },
] as const

/** Whether a text starts like an OpenSSH public key line, of a type that is supported or not. */
export function looksLikeOpenSsh(text: string): boolean {
  return /^(sk-)?(ssh|ecdsa|rsa)-[a-z0-9@.-]+([ \t]|$)/.test(text)
}

/** The JWK of an OpenSSH public key line; a comment may follow the key. */
export function parseOpenSshLine(line: string, position: SourcePosition | undefined): JsonWebKey {
  const [word, base64] = line.split(/[ \t]+/) as [string, string | undefined]
  refuseUnsupportedWord(word, position)
  const blob = base64 === undefined ? undefined : fromBase64(base64)
  if (blob === undefined || blob.length === 0) {
    throw keyError(
      'key-malformed',
      `what follows ${word} is not base64; copy the whole line of the .pub file`,
      position,
    )
  }
  return parseOpenSshBlob(blob, word, position)
}

/** The JWK of an OpenSSH public key in wire form, which must be of the type that `word` says. */
export function parseOpenSshBlob(blob: Uint8Array, word: string, position: SourcePosition | undefined): JsonWebKey {
  const reader = new SshReader(blob, position)
  if (reader.string().toString('latin1') !== word) throw reader.malformed(`it is not of the type ${word}`)
  const jwk = readPublicFields(reader, word, position)
  reader.end()
  return jwk
}

/** Reads what follows the type in a public key: RFC 8709 section 4, RFC 5656 section 3.1, RFC 4253 section 6.6. */
function readPublicFields(reader: SshReader, word: string, position: SourcePosition | undefined): JsonWebKey {
  if (word === SSH_WORDS.ed25519) return ed25519Jwk(reader.string(), reader)
  if (word === SSH_WORDS.rsa) {
    const e = reader.mpint()
    const n = reader.mpint()
    return { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') }
  }
  return readEcdsaFields(reader, word, position)
}

export function ed25519Jwk(x: Uint8Array, reader: SshReader): JsonWebKey {
  if (x.length !== 32) throw reader.malformed('an Ed25519 key has 32 octets')
  return { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(x).toString('base64url') }
}

/** Reads the name of the curve and the point. */
export function readEcdsaFields(reader: SshReader, word: string, position: SourcePosition | undefined): JsonWebKey {
  const curve = CURVES.find((each) => each.word === word)
  if (curve === undefined) throw unsupportedWord(position)
  if (reader.string().toString('latin1') !== curve.name) throw reader.malformed(`its curve is not ${curve.name}`)
  const point = reader.string()
  if (point.length !== 1 + 2 * curve.size || point[0] !== 4) throw reader.malformed('its point is not uncompressed')
  const x = point.subarray(1, 1 + curve.size)
  const y = point.subarray(1 + curve.size)
  return { kty: 'EC', crv: curve.crv, x: x.toString('base64url'), y: y.toString('base64url') }
}

/** The wire form of a key that a public JWK holds. */
export function openSshBlob(type: KeyType, jwk: JsonWebKey): Buffer {
  const octets = (member: string | undefined): Buffer => Buffer.from(member ?? '', 'base64url')
  const word = sshString(SSH_WORDS[type])
  if (type === 'ed25519') return Buffer.concat([word, sshString(octets(jwk.x))])
  if (type === 'rsa') return Buffer.concat([word, sshMpint(octets(jwk.e)), sshMpint(octets(jwk.n))])
  const name = type === 'p256' ? 'nistp256' : 'nistp384'
  return Buffer.concat([word, sshString(name), sshString(Buffer.concat([Buffer.of(4), octets(jwk.x), octets(jwk.y)]))])
}

export function refuseUnsupportedWord(word: string, position: SourcePosition | undefined): void {
  if (Object.values(SSH_WORDS).includes(word)) return
  if (word.includes('-cert-v')) {
    throw keyError(
      'key-type-unsupported',
      'this is an OpenSSH certificate; write the plain public key, the .pub file without -cert in its name',
      position,
    )
  }
  if (word.startsWith('sk-')) {
    throw keyError(
      'key-type-unsupported',
      'a key on a security key (sk-…) needs a touch for every signature; use ssh-keygen -t ed25519',
      position,
    )
  }
  if (word.startsWith('rsa-sha2-')) {
    throw keyError('key-type-unsupported', 'rsa-sha2-* names a signature, not a key; write ssh-rsa', position)
  }
  throw unsupportedWord(position)
}

function unsupportedWord(position: SourcePosition | undefined): Error {
  return keyError('key-type-unsupported', `an OpenSSH key of this type is not supported; ${SUPPORTED}`, position)
}
