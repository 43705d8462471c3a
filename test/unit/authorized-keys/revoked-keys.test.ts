import { describe, expect, it } from 'vitest'
import { AuthorizedKeys } from '../../../src/authorized-keys/authorized-keys.ts'
import { parseRevokedKeys } from '../../../src/authorized-keys/revoked-keys.ts'
import { SetupError } from '../../../src/errors.ts'
import { testKey, weakRsaLine } from './keys.ts'

const leaked = testKey()
const good = testKey('ES256')
const base64 = leaked.line.split(' ')[1] ?? ''
const { fingerprint, keyId } = leaked.publicKey

describe('a revoked_keys text', () => {
  it.each([
    ['a public key line', leaked.line],
    ['a public key line with a comment', `# found on a laptop\n\n  ${leaked.line} größer\r\n`],
    ['the fingerprint', fingerprint],
    ['the fingerprint with a comment', `${fingerprint}\tcheckout 2026q3`],
    ['the key id', `kid:${keyId} checkout`],
  ])('revokes by %s, and only the key that is named', (_, revokedKeys) => {
    const lines = `checkout queues="q" ${leaked.line}\nbilling queues="q" ${good.line}`
    const keys = AuthorizedKeys.parse(lines, { revokedKeys })
    expect(keys.snapshot?.isRevoked(leaked.publicKey)).toBe(true)
    expect(keys.snapshot?.isRevoked(good.publicKey)).toBe(false)
    expect([keys.can('checkout', 'q'), keys.can('billing', 'q')]).toEqual([false, true])
    expect(keys.snapshot?.keys.has(keyId)).toBe(true)
  })

  it('computes the fingerprint of every kind of key as the key itself does', () => {
    for (const algorithm of ['Ed25519', 'ES256', 'ES384', 'PS256'] as const) {
      const key = testKey(algorithm)
      expect([...parseRevokedKeys(key.line, 'revoked_keys')]).toEqual([key.publicKey.fingerprint])
    }
  })

  it('revokes a key that is too weak to be allowed', () => {
    expect([...parseRevokedKeys(weakRsaLine(), 'revoked_keys')]).toEqual([expect.stringMatching(/^SHA256:.{43}$/)])
  })

  it.each([
    ['authorized-keys-invalid', 1, 'a fingerprint with padding', `${fingerprint}=`],
    ['authorized-keys-invalid', 1, 'a fingerprint that is too short', fingerprint.slice(0, -1)],
    ['authorized-keys-invalid', 1, 'a fingerprint in base64url', `SHA256:${'-'.repeat(42)}A`],
    ['authorized-keys-invalid', 1, 'a fingerprint no digest has', `SHA256:${'A'.repeat(42)}B`],
    [
      'authorized-keys-invalid',
      1,
      'a fingerprint of another hash',
      'MD5:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff',
    ],
    ['authorized-keys-invalid', 1, 'the output of ssh-keygen -l', `256 ${fingerprint} me@host (ED25519)`],
    ['authorized-keys-invalid', 1, 'a bare key id', keyId],
    ['authorized-keys-invalid', 3, 'a key id that is too long', `  kid:${keyId}A`],
    ['authorized-keys-invalid', 1, 'a key id in base64', `kid:${'+'.repeat(42)}A`],
    ['authorized-keys-invalid', 1, 'an authorized_keys line', `checkout queues="q" ${leaked.line}`],
    ['authorized-keys-invalid', 5, 'a letter outside ASCII', `kid:é${keyId}`],
    ['authorized-keys-invalid', 3, 'a NUL', '# \0'],
    ['key-malformed', 1, 'a damaged key', `ssh-ed25519 ${base64.slice(0, -4)}`],
    ['key-malformed', 1, 'a key type alone', 'ssh-ed25519'],
    ['key-malformed', 1, 'a key of another type than it says', `ssh-rsa ${base64}`],
    ['key-type-unsupported', 1, 'a key of a type that is not supported', 'ssh-dss AAAA'],
    ['key-private-in-public-place', 1, 'a private key', leaked.privatePem],
  ])('is refused with %s at column %i for %s', (code, column, _, text) => {
    let error: unknown
    try {
      AuthorizedKeys.parse('', { revokedKeys: `${fingerprint}\n${text}`, revokedKeysFile: 'gone' })
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(SetupError)
    expect(error).toMatchObject({ code, position: { file: 'gone', line: 2, column } })
  })

  it('gives every line that is right to whoever only notes the errors', () => {
    const errors: SetupError[] = []
    const text = `\uFEFF${fingerprint}\nSHA256:x\n\0\nkid:${keyId}\nwhat\n${good.line}`
    expect(parseRevokedKeys(text, 'gone', (error) => errors.push(error))).toEqual(
      new Set([fingerprint, `kid:${keyId}`, good.publicKey.fingerprint]),
    )
    expect(errors.map((error) => error.position?.line)).toEqual([1, 2, 3, 5])
  })
})
