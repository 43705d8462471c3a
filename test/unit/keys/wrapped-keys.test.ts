import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { AuthorizedKeys } from '../../../src/authorized-keys/authorized-keys.ts'
import { containsPrivateKey, readPrivateKey } from '../../../src/keys/private-key.ts'
import { openSshPublicKey, publicKeyOf, readPublicKey } from '../../../src/keys/public-key.ts'
import { codeOf, privateKeyFor, setupErrorOf } from './helpers.ts'
import { openSshPrivate } from './private-key-files.ts'

const pem = (key: KeyObject, type: 'pkcs8' | 'sec1' | 'pkcs1' = 'pkcs8'): string =>
  key.export({ type: type as 'pkcs8', format: 'pem' }).toString()
const ed25519 = privateKeyFor('Ed25519')
const rsa = privateKeyFor('PS256')
const p256 = privateKeyFor('ES256')

const KEYS: readonly (readonly [string, string, KeyObject])[] = [
  ['PKCS#8 Ed25519', pem(ed25519), ed25519],
  ['PKCS#8 RSA', pem(rsa), rsa],
  ['PKCS#1 RSA', pem(rsa, 'pkcs1'), rsa],
  ['SEC1 P-256', pem(p256, 'sec1'), p256],
  ['openssh-key-v1 Ed25519', openSshPrivate('ed25519', ed25519), ed25519],
  ['JWK', JSON.stringify(ed25519.export({ format: 'jwk' })), ed25519],
  ['JWK over several lines', JSON.stringify(ed25519.export({ format: 'jwk' }), null, 2), ed25519],
]

/** What environment variables, secret stores, YAML and editors make of a key. */
const WRAPPERS: readonly (readonly [string, (text: string) => string | Buffer])[] = [
  ['\\n in place of line breaks', (text) => text.replaceAll('\n', '\\n')],
  ['\\\\n in place of line breaks', (text) => text.replaceAll('\n', '\\\\n')],
  ['\\r\\n written out', (text) => text.replaceAll('\n', '\\r\\n')],
  ['CRLF', (text) => text.replaceAll('\n', '\r\n')],
  ['CR alone', (text) => text.replaceAll('\n', '\r')],
  ['double quotes around it', (text) => `"${text}"`],
  ['single quotes around it', (text) => `'${text}'\n`],
  ['backticks around it', (text) => `\`${text}\``],
  ['a JSON string', (text) => JSON.stringify(text)],
  ['a JSON string in a JSON string', (text) => JSON.stringify(JSON.stringify(text))],
  ['quotes and \\n', (text) => `"${text.replaceAll('\n', '\\n')}"`],
  ['base64', (text) => Buffer.from(text).toString('base64')],
  ['base64 in lines', (text) => Buffer.from(text).toString('base64').replace(/.{76}/g, '$&\n')],
  ['base64url', (text) => Buffer.from(text).toString('base64url')],
  ['base64 twice', (text) => Buffer.from(Buffer.from(text).toString('base64')).toString('base64')],
  ['base64 of \\n', (text) => Buffer.from(text.replaceAll('\n', '\\n')).toString('base64')],
  ['no line break at the end', (text) => text.trimEnd()],
  ['indentation', (text) => text.replace(/^/gm, '    ')],
  ['tabs before and spaces behind', (text) => text.replace(/^/gm, '\t').replace(/$/gm, '  ')],
  ['blank lines between', (text) => text.replaceAll('\n', '\n\n')],
  ['spaces in place of line breaks', (text) => text.replaceAll('\n', ' ')],
  ['white space around it', (text) => `\n\n  ${text}\n\n`],
  ['a byte order mark', (text) => `\uFEFF${text}`],
  ['a byte order mark in UTF-8', (text) => Buffer.from(`\uFEFF${text}`)],
  ['UTF-16 as PowerShell writes it', (text) => Buffer.from(`\uFEFF${text}`, 'utf16le')],
  ['UTF-16, the other way round', (text) => Buffer.from(`\uFEFF${text}`, 'utf16le').swap16()],
]

/** Of a JWK, line breaks written out as two characters are outside its strings, where JSON has no backslash. */
const isSensible = (form: string, wrapper: string): boolean =>
  !(form.startsWith('JWK over') && /\\n|written out/.test(wrapper))

describe.each(KEYS)('%s', (form, text, key) => {
  it.each(WRAPPERS.filter(([wrapper]) => isSensible(form, wrapper)))('is read with %s', (_, wrap) => {
    const wrapped = wrap(text)
    expect(readPrivateKey(wrapped).equals(key)).toBe(true)
    // What is read as a private key is refused where a public one belongs.
    expect(containsPrivateKey(wrapped)).toBe(true)
    expect(codeOf(() => readPublicKey(wrapped))).toBe('key-private-in-public-place')
  })
})

describe('a public key', () => {
  const spki = createPublicKey(ed25519).export({ type: 'spki', format: 'pem' }).toString()
  it.each(WRAPPERS)('is read with %s', (_, wrap) => {
    expect(readPublicKey(wrap(spki)).keyId).toBe(publicKeyOf(ed25519).keyId)
  })

  it('of OpenSSH in quotes', () => {
    const line = openSshPublicKey(publicKeyOf(ed25519))
    for (const text of [`"${line} me"`, `'${line}'`, JSON.stringify(`${line}\n`)]) {
      expect(readPublicKey(text).keyId).toBe(publicKeyOf(ed25519).keyId)
    }
  })
})

it('encrypted keys, of the old form too', () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const secret = { cipher: 'aes-256-cbc', passphrase: 'secret' } as const
  const encrypted = privateKey.export({ type: 'pkcs8', format: 'pem', ...secret }).toString()
  const old = privateKey.export({ type: 'pkcs1', format: 'pem', ...secret }).toString()
  for (const text of [encrypted, old]) {
    for (const wrapped of [
      text.replaceAll('\n', '\\n'),
      `"${text}"`,
      text.replace(/^/gm, '  '),
      text.replaceAll('\n', '\r\n'),
      Buffer.from(text).toString('base64'),
    ]) {
      expect(readPrivateKey(wrapped, { passphrase: 'secret' }).equals(privateKey)).toBe(true)
      expect(codeOf(() => readPrivateKey(wrapped))).toBe('key-encrypted')
    }
  }
})

describe('what cannot be undone is told, and nothing of the key', () => {
  const text = pem(ed25519)
  const [begin = '', body = '', end = ''] = text.split('\n')
  it.each<[string, string | Buffer, string]>([
    ['a character that no PEM has', [begin, `${body.slice(0, 20)}*${body.slice(21)}`, end].join('\n'), 'U+002A'],
    ['a line cut short', [begin, body.slice(0, 30), end].join('\n'), '30 characters'],
    ['no END line', [begin, body].join('\n'), 'no END line'],
    ['another END line', [begin, body, '-----END PUBLIC KEY-----'].join('\n'), 'END line'],
    ['nothing between', [begin, end].join('\n'), 'nothing between'],
    ['only what stands between', body, 'between the BEGIN and END lines'],
    ['dashes of a text program', text.replaceAll('-----', '\u2014\u2014-'), 'dashes'],
    ['two keys', text + text, '2 blocks'],
    ['DER', ed25519.export({ type: 'pkcs8', format: 'der' }), 'DER'],
    ['base64 that goes on behind its end', [begin, `${body.slice(0, 62)}==AA==`, end].join('\n'), 'after its end'],
  ])('%s', (_, input, words) => {
    const error = setupErrorOf(() => readPrivateKey(input))
    expect(error?.code).toBe('key-malformed')
    expect(error?.message).toContain(words)
    expect(error?.message).not.toContain(body.slice(0, 12))
    expect(error?.message).not.toContain(body.slice(-12))
  })
})

it('lines of a key directory whose line breaks are written out are refused: a revocation would be a comment', () => {
  const line = `checkout queues="q" ${openSshPublicKey(publicKeyOf(ed25519))}`
  const fingerprint = publicKeyOf(p256).fingerprint
  const parse = (text: string, revokedKeys = ''): string | undefined =>
    codeOf(() => AuthorizedKeys.parse(text, { revokedKeys }))
  expect(parse(`${line} CORP\\nancy`)).toBeUndefined()
  expect(parse(`${line} me\\nbilling queues="q" ssh-ed25519 AAAA`)).toBe('authorized-keys-invalid')
  expect(parse(line, `${fingerprint} lost\\n${publicKeyOf(rsa).fingerprint}`)).toBe('authorized-keys-invalid')
  expect(parse(line, `${fingerprint} lost\\nkid:x`)).toBe('authorized-keys-invalid')
})
