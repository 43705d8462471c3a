import { createPublicKey, hash, type JsonWebKey, type KeyObject } from 'node:crypto'
import { types } from 'node:util'
import type { SourcePosition } from '../errors.ts'
import type { Algorithm, KeyType } from './algorithms.ts'
import { checkJwk, hasPrivateMembers, parseJwk, symmetricKey } from './jwk.ts'
import { keyError } from './key-error.ts'
import { keyText } from './key-text.ts'
import { looksLikeOpenSsh, openSshBlob, parseOpenSshLine, SSH_WORDS } from './openssh-public.ts'
import { looksLikePem, onlyPemBlock } from './pem.ts'
import { containsPrivateKey } from './private-material.ts'
import { checkJwkStrength, checkStrength } from './strength.ts'

/** A public key that passed every check of its type and strength. */
export interface PublicKey {
  readonly keyObject: KeyObject
  readonly type: KeyType
  /** the RFC 7638 SHA-256 thumbprint, 43 characters of base64url */
  readonly keyId: string
  /** as `ssh-keygen -l` prints it: `SHA256:` and 43 characters of base64 */
  readonly fingerprint: string
  /** what the `alg` of the JWK it was read from pins it to; undefined when nothing did */
  readonly algorithm: Algorithm | undefined
}

/**
 * Reads one public key: SPKI PEM, PKCS#1 RSA PEM, a line of an OpenSSH `.pub` file (a comment may follow the key), a JWK
 * as an object or as its JSON text, or a public KeyObject.
 *
 * @param position where the key stands, for errors
 * @throws SetupError `key-private-in-public-place` for private key material, `key-type-unsupported`, `key-too-weak`,
 *   `key-malformed`
 */
export function readPublicKey(
  input: string | Uint8Array | KeyObject | JsonWebKey,
  position?: SourcePosition,
): PublicKey {
  if (types.isKeyObject(input)) return fromKeyObject(input, position)
  if (typeof input === 'string' || input instanceof Uint8Array) return fromText(input, position)
  if (typeof input === 'object' && input !== null) return fromJwk(input, position)
  throw keyError('key-malformed', 'a public key is a PEM, OpenSSH or JWK text, a JWK object or a KeyObject', position)
}

/**
 * The public half of a private key.
 *
 * @throws SetupError as {@link readPublicKey} does; `key-missing` when the key is not private
 */
export function publicKeyOf(privateKey: KeyObject): PublicKey {
  if (privateKey.type !== 'private') {
    throw keyError('key-missing', `a private key is needed here, and this one is ${privateKey.type}`, undefined)
  }
  return checkedPublicKey(detached(createPublicKey(privateKey), undefined), undefined, undefined)
}

/** The first two words of an OpenSSH public key line, such as `ssh-ed25519 AAAA…`; no comment, no line end. */
export function openSshPublicKey(key: PublicKey): string {
  return `${SSH_WORDS[key.type]} ${openSshBlob(key.type, publicJwk(key)).toString('base64')}`
}

/** The members that make up the public key (RFC 7518, RFC 8037), and no others. */
export function publicJwk(key: PublicKey): JsonWebKey {
  return key.keyObject.export({ format: 'jwk' })
}

function fromKeyObject(key: KeyObject, position: SourcePosition | undefined): PublicKey {
  if (key.type === 'private') throw privateInPublicPlace(position)
  if (key.type === 'secret') {
    throw keyError('key-type-unsupported', 'a secret key cannot be a public key; use createPublicKey()', position)
  }
  return checkedPublicKey(detached(key, position), undefined, position)
}

/**
 * The same key, sharing nothing with the KeyObject it was derived from. On Node.js 20 the JWK of a derived key can
 * deadlock the process for good when the other one is garbage-collected meanwhile.
 */
function detached(key: KeyObject, position: SourcePosition | undefined): KeyObject {
  try {
    return createPublicKey({ key: key.export({ type: 'spki', format: 'der' }), format: 'der', type: 'spki' })
  } catch {
    throw keyError('key-malformed', 'this key cannot be written as SPKI: it has no usable point', position)
  }
}

function fromText(input: string | Uint8Array, position: SourcePosition | undefined): PublicKey {
  // createPublicKey() takes a private PEM, too, so labels are looked at before anything is parsed.
  if (containsPrivateKey(input)) throw isSymmetric(input) ? symmetricKey(position) : privateInPublicPlace(position)
  const text = keyText(input, position)
  if (looksLikePem(text)) return fromPem(text, position)
  if (text.startsWith('{')) return fromJwk(parseJwk(text, position), position)
  return fromOpenSsh(text, position)
}

function fromPem(text: string, position: SourcePosition | undefined): PublicKey {
  const block = onlyPemBlock(text, position)
  if (block.label === 'CERTIFICATE') {
    throw keyError(
      'key-type-unsupported',
      'this is a certificate; write its public key, `openssl x509 -pubkey -noout -in <file>`',
      position,
    )
  }
  if (block.label !== 'PUBLIC KEY' && block.label !== 'RSA PUBLIC KEY') {
    throw keyError('key-malformed', 'a public PEM file begins with -----BEGIN PUBLIC KEY-----', position)
  }
  return checkedPublicKey(imported(block.text, 'this PEM public key', position), undefined, position)
}

function fromJwk(input: JsonWebKey, position: SourcePosition | undefined): PublicKey {
  if (hasPrivateMembers(input) && input.kty !== 'oct') throw privateInPublicPlace(position)
  const { jwk, algorithm } = checkJwk(input, 'public', position)
  return checkedPublicKey(imported({ key: jwk, format: 'jwk' }, 'this JWK', position), algorithm, position)
}

function fromOpenSsh(text: string, position: SourcePosition | undefined): PublicKey {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const [line] = lines
  if (line === undefined) throw keyError('key-malformed', 'there is no key in it', position)
  if (text.startsWith('---- BEGIN SSH2 ')) {
    throw keyError('key-malformed', 'this is an RFC 4716 key; convert it with `ssh-keygen -i -f <file>`', position)
  }
  if (!looksLikeOpenSsh(line)) {
    throw keyError(
      'key-malformed',
      'this is no public key; write PEM, a JWK, or an OpenSSH line such as `ssh-ed25519 AAAA…` without options',
      position,
    )
  }
  if (lines.length > 1)
    throw keyError('key-malformed', `${lines.length} lines stand here; write one key alone`, position)
  const jwk = parseOpenSshLine(line, position)
  const keyObject = imported({ key: jwk, format: 'jwk' }, 'this OpenSSH key', position)
  return described(keyObject, checkJwkStrength(jwk, position), undefined)
}

function imported(
  input: Parameters<typeof createPublicKey>[0],
  what: string,
  position: SourcePosition | undefined,
): KeyObject {
  try {
    return createPublicKey(input)
  } catch {
    // OpenSSL's reason is left out: it is cryptic, and Node.js may quote members of the key.
    throw keyError('key-malformed', `${what} is damaged, or of a type that is not supported; copy it again`, position)
  }
}

function checkedPublicKey(
  keyObject: KeyObject,
  algorithm: Algorithm | undefined,
  position: SourcePosition | undefined,
): PublicKey {
  return described(keyObject, checkStrength(keyObject, position), algorithm)
}

function described(
  keyObject: KeyObject,
  { type, jwk }: ReturnType<typeof checkStrength>,
  algorithm: Algorithm | undefined,
): PublicKey {
  return Object.freeze({
    keyObject,
    type,
    keyId: hash('sha256', thumbprintInput(jwk), 'base64url'),
    fingerprint: `SHA256:${hash('sha256', openSshBlob(type, jwk), 'base64').replace(/=+$/, '')}`,
    algorithm,
  })
}

/** RFC 7638, section 3.2: the required members in lexicographic order, nothing between them. */
function thumbprintInput({ kty, crv, x, y, n, e }: JsonWebKey): string {
  if (kty === 'RSA') return JSON.stringify({ e, kty, n })
  return JSON.stringify(kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x })
}

/** A symmetric JWK gets the sentence about symmetric keys, which says more. */
function isSymmetric(input: string | Uint8Array): boolean {
  return /"kty"\s*:\s*"oct"/.test(Buffer.from(input).toString('latin1'))
}

function privateInPublicPlace(position: SourcePosition | undefined): Error {
  return keyError(
    'key-private-in-public-place',
    'THIS IS A PRIVATE KEY, and only public keys belong here: take it away, treat it as stolen if others could read it, ' +
      'and write the public half, which `queue-key-auth public-line <file>` prints',
    position,
  )
}
