import { createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { types } from 'node:util'
import type { SourcePosition } from '../errors.ts'
import { defaultAlgorithm } from './algorithms.ts'
import { checkJwk, parseJwk } from './jwk.ts'
import { keyError, SUPPORTED } from './key-error.ts'
import { keyText } from './key-text.ts'
import { parseOpenSshPrivateKey } from './openssh-private.ts'
import { looksLikePem, onlyPemBlock, type PemBlock } from './pem.ts'
import { containsPrivateKey } from './private-material.ts'
import { signData, verifyData } from './signatures.ts'
import { checkStrength } from './strength.ts'

export { containsPrivateKey }

export interface ReadPrivateKeyOptions {
  /** opens encrypted PEM; a key that is not encrypted needs none, and ignores it */
  readonly passphrase?: string | Uint8Array | undefined
  /** where the key stands, for errors */
  readonly position?: SourcePosition | undefined
}

/**
 * Reads one private key: PKCS#8 PEM, encrypted or not, PKCS#1 and SEC1 PEM, unencrypted openssh-key-v1, a JWK as an object
 * or as its JSON text, or a private KeyObject. The key must sign something that its own public half verifies.
 *
 * @throws SetupError `key-encrypted` when a passphrase is missing or wrong, `key-missing` for a public key,
 *   `key-type-unsupported`, `key-too-weak`, `key-malformed`
 */
export function readPrivateKey(
  input: string | Uint8Array | KeyObject | JsonWebKey,
  options: ReadPrivateKeyOptions = {},
): KeyObject {
  const { position } = options
  if (types.isKeyObject(input)) return fromKeyObject(input, position)
  if (typeof input === 'string' || input instanceof Uint8Array) return fromText(input, options)
  if (typeof input === 'object' && input !== null) return fromJwk(input, position)
  throw keyError('key-malformed', 'a private key is a PEM, OpenSSH or JWK text, a JWK object or a KeyObject', position)
}

function fromKeyObject(key: KeyObject, position: SourcePosition | undefined): KeyObject {
  if (key.type === 'secret') {
    throw keyError('key-type-unsupported', `a secret key cannot sign as a service; ${SUPPORTED}`, position)
  }
  if (key.type === 'public') throw publicNotPrivate(position)
  return checkedPrivateKey(key, undefined, position)
}

function fromText(input: string | Uint8Array, options: ReadPrivateKeyOptions): KeyObject {
  const { position } = options
  const text = keyText(input, position)
  if (text.startsWith('{')) return fromJwk(parseJwk(text, position), position)
  if (looksLikePem(text)) return fromPem(onlyPemBlock(text, position), options)
  if (text.startsWith('PuTTY-User-Key-File-')) {
    throw keyError('key-type-unsupported', 'convert this PuTTY key: `puttygen <file> -O private-openssh-new`', position)
  }
  if (containsPrivateKey(text)) {
    throw keyError('key-malformed', 'this private key lacks its BEGIN and END lines; copy the whole file', position)
  }
  if (/^(ssh|ecdsa)-/.test(text)) throw publicNotPrivate(position)
  if (/^M[A-Za-z0-9+/\s]{40,}={0,2}$/.test(text)) {
    const advice =
      'this is what stands between the BEGIN and END lines of a key, without these lines; copy the whole file'
    throw keyError('key-malformed', advice, position)
  }
  if (/[\u2010-\u2015\u2212][-\u2010-\u2015\u2212 ]*BEGIN /.test(text)) {
    throw keyError('key-malformed', 'a text program has changed the dashes around BEGIN; copy the key again', position)
  }
  throw keyError('key-malformed', 'this is no private key; give PEM, a JWK or what ssh-keygen writes', position)
}

function fromPem(block: PemBlock, options: ReadPrivateKeyOptions): KeyObject {
  const { position } = options
  switch (block.label) {
    case 'OPENSSH PRIVATE KEY':
      return fromCheckedJwk(parseOpenSshPrivateKey(block.text, position), 'this OpenSSH key', position)
    case 'ENCRYPTED PRIVATE KEY':
      return fromEncryptedPem(block, options)
    case 'PRIVATE KEY':
    case 'RSA PRIVATE KEY':
    case 'EC PRIVATE KEY':
      if (block.text.includes('Proc-Type: 4,ENCRYPTED')) return fromEncryptedPem(block, options)
      return checkedPrivateKey(imported(block.text, 'this PEM private key', position), undefined, position)
    case 'PUBLIC KEY':
    case 'RSA PUBLIC KEY':
    case 'CERTIFICATE':
      throw publicNotPrivate(position)
    default:
      throw keyError('key-type-unsupported', `a PEM block of this label is not supported; ${SUPPORTED}`, position)
  }
}

function fromEncryptedPem(block: PemBlock, { passphrase, position }: ReadPrivateKeyOptions): KeyObject {
  if (passphrase === undefined) {
    throw keyError('key-encrypted', 'this private key is encrypted; give the option `passphrase`', position)
  }
  let key: KeyObject
  try {
    key = createPrivateKey({
      key: block.text,
      format: 'pem',
      passphrase: typeof passphrase === 'string' ? passphrase : Buffer.from(passphrase),
    })
  } catch {
    throw keyError('key-encrypted', 'the passphrase does not open this private key, or the key is damaged', position)
  }
  return checkedPrivateKey(key, undefined, position)
}

function fromJwk(input: JsonWebKey, position: SourcePosition | undefined): KeyObject {
  if (input.kty !== 'oct' && input.kty !== undefined && input.d === undefined) throw publicNotPrivate(position)
  return fromCheckedJwk(checkJwk(input, 'private', position).jwk, 'this JWK', position)
}

function fromCheckedJwk(jwk: JsonWebKey, what: string, position: SourcePosition | undefined): KeyObject {
  return checkedPrivateKey(imported({ key: jwk, format: 'jwk' }, what, position), jwk, position)
}

function imported(
  input: Parameters<typeof createPrivateKey>[0],
  what: string,
  position: SourcePosition | undefined,
): KeyObject {
  try {
    return createPrivateKey(input)
  } catch {
    // OpenSSL's reason is left out: it is cryptic, and Node.js may quote members of the key.
    throw keyError('key-malformed', `${what} is damaged, or of a type that is not supported; copy it again`, position)
  }
}

/** `stated` is the JWK that the key was made from: Node.js ignores the public half of an Ed25519 one. */
function checkedPrivateKey(
  key: KeyObject,
  stated: JsonWebKey | undefined,
  position: SourcePosition | undefined,
): KeyObject {
  const publicKey = createPublicKey(key)
  const { type, jwk } = checkStrength(publicKey, position)
  const halvesDiffer = stated?.kty === 'OKP' && stated.x !== jwk.x
  if (halvesDiffer || !signsWhatVerifies(key, publicKey, defaultAlgorithm(type))) {
    throw keyError('key-malformed', 'the public and private halves of this key do not belong together', position)
  }
  return key
}

function signsWhatVerifies(
  key: KeyObject,
  publicKey: KeyObject,
  algorithm: ReturnType<typeof defaultAlgorithm>,
): boolean {
  const data = Buffer.from('self-test')
  try {
    return verifyData(algorithm, publicKey, data, signData(algorithm, key, data))
  } catch {
    return false
  }
}

function publicNotPrivate(position: SourcePosition | undefined): Error {
  return keyError('key-missing', 'this is a public key; the private one is needed here', position)
}
