import type { JsonWebKey } from 'node:crypto'
import { fromBase64 } from '../base64.ts'
import type { SourcePosition } from '../errors.ts'
import type { KeyType } from './algorithms.ts'
import { keyError } from './key-error.ts'
import { ed25519Jwk, openSshBlob, readEcdsaFields, refuseUnsupportedWord, SSH_WORDS } from './openssh-public.ts'
import { SshReader } from './ssh-wire.ts'

const MAGIC = 'openssh-key-v1\0'

/** The start of every key of this format in base64, wherever it is found. */
export const MAGIC_BASE64 = 'b3BlbnNzaC1rZXktdjEA'

/**
 * The private JWK of an unencrypted openssh-key-v1 file (OpenSSH, PROTOCOL.key). Node.js cannot read the format, and
 * ssh-keygen converts Ed25519 keys to no other.
 */
export function parseOpenSshPrivateKey(pem: string, position: SourcePosition | undefined): JsonWebKey {
  const base64 = pem.replace(/-----[^-]*-----/g, '').replace(/\s+/g, '')
  const file = new SshReader(fromBase64(base64) ?? Buffer.alloc(0), position)
  file.magic(MAGIC)
  const cipher = file.string().toString('latin1')
  const kdf = file.string().toString('latin1')
  const kdfOptions = file.string()
  if (cipher !== 'none' || kdf !== 'none') {
    throw keyError(
      'key-encrypted',
      'an encrypted OpenSSH key cannot be read; on a copy of it run `ssh-keygen -p -N "" -f <copy>` and use the copy, ' +
        'or make an encrypted PKCS#8 key with `openssl genpkey -algorithm ed25519 -aes256`',
      position,
    )
  }
  if (kdfOptions.length !== 0) throw file.malformed('it has options for a passphrase and none')
  if (file.uint32() !== 1) throw file.malformed('it does not hold exactly one key')
  const publicBlob = file.string()
  const section = file.string()
  file.end()
  if (section.length % 8 !== 0) throw file.malformed('its padding is wrong')

  const reader = new SshReader(section, position)
  const check = reader.uint32()
  if (reader.uint32() !== check) throw reader.malformed('its check numbers differ')
  const word = reader.string().toString('latin1')
  refuseUnsupportedWord(word, position)
  const jwk = readPrivateFields(reader, word, position)
  reader.string()
  if (reader.rest().some((octet, index) => octet !== ((index + 1) & 0xff)))
    throw reader.malformed('its padding is wrong')
  const type = (Object.keys(SSH_WORDS) as KeyType[]).find((each) => SSH_WORDS[each] === word) as KeyType
  if (!openSshBlob(type, jwk).equals(publicBlob)) throw reader.malformed('its public and private halves differ')
  return jwk
}

function readPrivateFields(reader: SshReader, word: string, position: SourcePosition | undefined): JsonWebKey {
  if (word === SSH_WORDS.rsa) return readRsaFields(reader)
  if (word === SSH_WORDS.ed25519) {
    const jwk = ed25519Jwk(reader.string(), reader)
    const seedAndPublic = reader.string()
    const x = seedAndPublic.subarray(32).toString('base64url')
    if (seedAndPublic.length !== 64 || x !== jwk.x) throw reader.malformed('its public and private halves differ')
    return { ...jwk, d: seedAndPublic.subarray(0, 32).toString('base64url') }
  }
  const jwk = readEcdsaFields(reader, word, position)
  const size = Buffer.from(jwk.x ?? '', 'base64url').length
  const d = reader.mpint()
  if (d.length > size) throw reader.malformed('its private number is too long')
  return { ...jwk, d: Buffer.concat([Buffer.alloc(size - d.length), d]).toString('base64url') }
}

function readRsaFields(reader: SshReader): JsonWebKey {
  const [n, e, d, qi, p, q] = [
    reader.mpint(),
    reader.mpint(),
    reader.mpint(),
    reader.mpint(),
    reader.mpint(),
    reader.mpint(),
  ]
  const [dNumber, pNumber, qNumber] = [integer(d), integer(p), integer(q)]
  if (pNumber < 3n || qNumber < 3n) throw reader.malformed('its prime factors are none')
  return {
    kty: 'RSA',
    n: n.toString('base64url'),
    e: e.toString('base64url'),
    d: d.toString('base64url'),
    p: p.toString('base64url'),
    q: q.toString('base64url'),
    dp: octets(dNumber % (pNumber - 1n)).toString('base64url'),
    dq: octets(dNumber % (qNumber - 1n)).toString('base64url'),
    qi: qi.toString('base64url'),
  }
}

function integer(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}

function octets(number: bigint): Buffer {
  const hex = number.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
}
