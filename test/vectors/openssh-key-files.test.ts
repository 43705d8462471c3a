import { readdirSync, readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { readPrivateKey } from '../../src/keys/private-key.ts'
import { openSshPublicKey, publicKeyOf, readPublicKey } from '../../src/keys/public-key.ts'
import { codeOf, setupErrorOf, VECTORS } from '../unit/keys/helpers.ts'

const FOLDER = `${VECTORS}/openssh/sshkey`
const text = (name: string): string => readFileSync(`${FOLDER}/${name}`, 'utf8')

/** Files whose names say nothing of what must come of them: a code, or the file with the fingerprint. */
const EXPECTED: Readonly<Record<string, string>> = {
  ecdsa_1: 'ecdsa_1.fp',
  'ecdsa_1.pub': 'ecdsa_1.fp',
  ecdsa_1_pw: 'ecdsa_1.fp',
  'ecdsa_1-cert.pub': 'key-type-unsupported',
  ecdsa_2: 'key-type-unsupported', // P-521
  'ecdsa_2.pub': 'key-type-unsupported',
  ecdsa_n: 'ecdsa_1.fp',
  ecdsa_n_pw: 'key-encrypted', // encrypted openssh-key-v1: refused with advice, passphrase or not
  ed25519_1: 'ed25519_1.fp',
  'ed25519_1.pub': 'ed25519_1.fp',
  ed25519_1_pw: 'key-encrypted',
  'ed25519_1-cert.pub': 'key-type-unsupported',
  ed25519_2: 'ed25519_2.fp',
  'ed25519_2.pub': 'ed25519_2.fp',
  rsa_1: 'key-too-weak', // 1024 bits
  'rsa_1.pub': 'key-too-weak',
  rsa_1_pw: 'key-too-weak',
  'rsa_1-cert.pub': 'key-type-unsupported',
  rsa_1_sha1: 'key-too-weak',
  'rsa_1_sha1.pub': 'key-too-weak',
  'rsa_1_sha1-cert.pub': 'key-type-unsupported',
  rsa_1_sha512: 'key-too-weak',
  'rsa_1_sha512.pub': 'key-too-weak',
  'rsa_1_sha512-cert.pub': 'key-type-unsupported',
  rsa_2: 'rsa_2.fp',
  'rsa_2.pub': 'rsa_2.fp',
  rsa_n: 'key-too-weak',
  rsa_n_pw: 'key-encrypted',
}

describe('the key files of the OpenSSH project', () => {
  it('are all in the table', () => {
    const files = readdirSync(FOLDER).filter((name) => !/\.(fp|bb)$|\.param\.|^pw$/.test(name))
    expect(files.sort()).toEqual(Object.keys(EXPECTED).sort())
  })

  it.each(Object.entries(EXPECTED))('%s: %s', (name, expected) => {
    const read = (): string =>
      name.endsWith('.pub')
        ? readPublicKey(text(name)).fingerprint
        : publicKeyOf(readPrivateKey(text(name), { passphrase: text('pw').trim() })).fingerprint
    if (expected.endsWith('.fp')) expect(read()).toBe(text(expected).trim())
    else expect(codeOf(read)).toBe(expected)
  })

  it.each(['ecdsa_1_pw', 'rsa_1_pw'])('%s needs its passphrase', (name) => {
    expect(codeOf(() => readPrivateKey(text(name)))).toBe('key-encrypted')
    expect(codeOf(() => readPrivateKey(text(name), { passphrase: 'wrong' }))).toBe('key-encrypted')
  })

  it.each(['ecdsa_1', 'ed25519_1', 'ed25519_2', 'rsa_2'])('%s.pub is written as it was read', (name) => {
    const line = text(`${name}.pub`).trim()
    expect(openSshPublicKey(readPublicKey(line))).toBe(line.split(' ', 2).join(' '))
  })

  it('are refused, when private, as public keys', () => {
    for (const name of Object.keys(EXPECTED).filter((each) => !each.endsWith('.pub'))) {
      expect(
        codeOf(() => readPublicKey(text(name))),
        name,
      ).toBe('key-private-in-public-place')
    }
  })

  it('errors name the file and the line, and hold nothing of the key', () => {
    for (const name of Object.keys(EXPECTED).filter((each) => EXPECTED[each]?.startsWith('key-'))) {
      const position = { file: name, line: 7 }
      const error = setupErrorOf(() =>
        name.endsWith('.pub') ? readPublicKey(text(name), position) : readPrivateKey(text(name), { position }),
      )
      expect(error?.message).toContain(`${name}:7: `)
      expect(error?.position).toEqual(position)
      const words = text(name)
        .split(/\s+/)
        .filter((word) => word.length > 25)
      expect(words.filter((word) => inspect(error).includes(word))).toEqual([])
    }
  })
})
