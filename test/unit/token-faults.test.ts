import { describe, expect, it } from 'vitest'
import { publicKeyOf } from '../../src/keys/public-key.ts'
import { Signer } from '../../src/signer.ts'
import { claimsOf, MESSAGE, NOW, receivedWith, rejectionOf, tokenOf, verifierFor } from './helpers.ts'
import { privateKeyFor } from './keys/helpers.ts'

/** What is told of a token that is refused for how it is written: the offence and its place, and nothing of the token. */

const verifier = verifierFor()
const token = tokenOf()
const header = { alg: 'Ed25519', typ: 'queueauth-v1+jwt', kid: publicKeyOf(privateKeyFor('Ed25519')).keyId }
const headerText = JSON.stringify(header)
const claimsText = JSON.stringify(claimsOf())

function detailOf(given: unknown): string {
  const rejection = rejectionOf(() => verifier.verify(receivedWith(given)))
  expect(rejection?.code).toBe('token-malformed')
  const detail = rejection?.detail ?? ''
  expect(detail).toMatch(/^[ -~]{1,400}$/)
  // No piece of the token: neither as it is nor decoded.
  for (const text of pieces(given)) expect(detail).not.toContain(text)
  return detail
}

function pieces(given: unknown): string[] {
  const texts =
    typeof given === 'string'
      ? [given, ...given.split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1'))]
      : []
  return texts.flatMap((text) => [...text.matchAll(/[A-Za-z0-9_-]{16,}/g)].map(([piece]) => piece.slice(0, 16)))
}

describe('what another library writes', () => {
  const position = (text: string, needle: string): string => `character ${text.indexOf(needle) + 1}`
  const escapedTyp = headerText.replace('+', '\\u002B')
  const escapedSlash = claimsText.replace('amqp:orders/', 'amqp:orders\\/')
  const spaced = claimsText.replace('"aud":', '"aud": ')
  const spacedHeader = headerText.replace('"typ":', '"typ": ')
  const fraction = claimsText.replace(`${NOW}`, `${NOW}.5`)
  const zeroFraction = claimsText.replace(`${NOW}`, `${NOW}.0`)
  const exponent = claimsText.replace(`${NOW}`, '1.7672256e9')

  it.each<[string, { header?: string; claims?: string | Record<string, unknown> }, readonly string[]]>([
    ['aud as a list', { claims: { aud: ['amqp:orders/order.created'] } }, ['aud', 'list']],
    ['an extra nbf', { claims: { nbf: NOW } }, ['nbf']],
    ['an extra sub', { claims: { sub: 'x' } }, ['sub']],
    ['an extra claim of its own', { claims: { 'made-up': 1 } }, ['8th of 8', 'unknown']],
    ['\\u002B in typ', { header: escapedTyp }, ['header', 'typ', 'escape', position(escapedTyp, '\\')]],
    ['\\/ in aud', { claims: escapedSlash }, ['claims', 'aud', 'escape', position(escapedSlash, '\\')]],
    [
      'a space after a colon',
      { claims: spaced },
      ['claims', 'aud', 'white space', position(spaced, ': ').replace(/\d+/, (n) => `${Number(n) + 1}`)],
    ],
    ['a space in the header', { header: spacedHeader }, ['header', 'typ', 'white space']],
    [
      'pretty-printed claims',
      { claims: JSON.stringify(claimsOf(), null, 2) },
      ['claims', 'white space', 'character 2'],
    ],
    ['a fractional iat', { claims: fraction }, ['iat', 'fraction']],
    ['a fraction of nothing', { claims: zeroFraction }, ['iat', 'number', position(zeroFraction, '.0')]],
    ['an exponent', { claims: exponent }, ['iat', 'number']],
    ['iat as a text', { claims: { iat: `${NOW}` } }, ['iat', 'text']],
    ['exp as null', { claims: { exp: null } }, ['exp', 'null']],
    ['iss missing', { claims: { iss: undefined } }, ['iss', 'missing']],
    ['hh missing', { claims: { hh: undefined } }, ['hh', 'missing']],
    ['another name for aud', { claims: { aud: undefined, audience: 'x' } }, ['aud', 'missing']],
    ['hs empty', { claims: { hs: [] } }, ['hs', 'list']],
    ['a claim twice', { claims: claimsText.replace('{', '{"iss":"etl",') }, ['iss', 'twice']],
    ['UTF-8', { claims: claimsText.replace('checkout', 'ch\u00e9ckout') }, ['iss', 'ASCII', 'character']],
    ['a byte order mark', { claims: `\ufeff${claimsText}` }, ['claims', 'byte order mark']],
    ['a line end', { claims: `${claimsText}\n` }, ['claims', 'white space', `character ${claimsText.length + 1}`]],
    ['no JSON', { claims: '{' }, ['claims', 'JSON']],
    ['a list', { claims: '[]' }, ['claims', 'a list']],
    ['jku', { header: headerText.replace('}', ',"jku":"x"}') }, ['header member jku']],
    ['kid missing', { header: '{"alg":"Ed25519","typ":"queueauth-v1+jwt"}' }, ['kid', 'missing']],
    ['typ JWT', { header: headerText.replace('queueauth-v1+jwt', 'JWT') }, ['typ', 'another library']],
    ['alg as a number', { header: headerText.replace('"Ed25519"', '1') }, ['alg', 'number']],
    ['kid of another kind', { header: headerText.replace(header.kid, 'key-1') }, ['kid', 'thumbprint']],
    ['a kid twice', { header: headerText.replace('{', '{"kid":"x",') }, ['kid', 'twice']],
  ])('%s', (_, draft, words) => {
    const detail = detailOf(tokenOf(draft))
    for (const word of words) expect(detail).toContain(word)
  })

  it.each<[string, string, readonly string[]]>([
    ['padding', `${token}=`, ['signature', 'padding', `character ${(token.split('.')[2]?.length as number) + 1}`]],
    ['plain base64', token.replace(/\.([^.]{9})./, '.$1+'), ['claims', 'plain base64', 'character 10']],
    ['white space within', token.replace('.', ' .'), ['header', 'white space', `character ${token.indexOf('.') + 1}`]],
    ['two parts', token.split('.').slice(0, 2).join('.'), ['2 parts']],
    ['no signature', `${token.split('.').slice(0, 2).join('.')}.`, ['signature', 'empty']],
    ['five parts', `${token}.x.y`, ['five parts', 'JWE']],
    ['a part cut off', token.slice(0, -1), ['signature', 'cut off']],
    ['stray bits', `${token.slice(0, -1)}${token.endsWith('B') ? 'C' : 'B'}`, ['signature', 'stray bits']],
    ['nothing', '', ['empty']],
    ['two joined by a comma', `${token}, ${token}`, ['comma']],
    ['JSON', JSON.stringify({ payload: 'x' }), ['JSON']],
    [
      'a batch token without its place',
      Signer.generate('a').signBatch([MESSAGE, MESSAGE])[0]?.split('~')[0] as string,
      ['batch', 'place'],
    ],
    ['a place behind a single token', `${token}~0~${'A'.repeat(22)}`, ['one message', 'place']],
  ])('%s', (_, given, words) => {
    const detail = detailOf(given)
    for (const word of words) expect(detail).toContain(word)
  })

  it.each<[string, unknown, string]>([
    ['a number', 1, 'number'],
    ['a table', { type: 'Buffer', data: [1] }, 'table'],
    ['null', null, 'null'],
    ['a list of one', [token], 'list'],
    ['a boolean', true, 'boolean'],
  ])('%s in place of a text', (_, given, word) => {
    expect(detailOf(given)).toContain(word)
  })
})

describe('what a relay makes of a token', () => {
  const signer = Signer.generate('checkout')
  const [batched = ''] = signer.signBatch([MESSAGE, MESSAGE])
  const wrapped: [string, (text: string) => string, string][] = [
    ['a JSON text', (text) => JSON.stringify(text), 'quotes'],
    ['single quotes', (text) => `'${text}'`, 'quotes'],
    ['bytes of Python', (text) => `b'${text}'`, 'Python'],
    ['base64', (text) => Buffer.from(text).toString('base64'), 'base64 once more'],
    ['base64url', (text) => Buffer.from(text).toString('base64url'), 'base64 once more'],
    ['base64 in lines', (text) => Buffer.from(text).toString('base64').replace(/.{76}/g, '$&\r\n'), 'base64 once more'],
    ['a JSON text in base64', (text) => Buffer.from(JSON.stringify(text)).toString('base64'), 'base64 once more'],
    ['base64 in a JSON text', (text) => JSON.stringify(Buffer.from(text).toString('base64')), 'base64 once more'],
    ['a line end', (text) => `${text}\n`, 'line end'],
    ['a line end of Windows', (text) => `${text}\r\n`, 'line end'],
    ['a space before', (text) => ` ${text}`, 'white space'],
    ['a tab behind', (text) => `${text}\t`, 'white space'],
    ['hexadecimal', (text) => Buffer.from(text).toString('hex'), 'hexadecimal'],
    ['upper-case hexadecimal', (text) => `0x${Buffer.from(text).toString('hex').toUpperCase()}`, 'hexadecimal'],
    [
      'URL-encoding',
      (text) => text.replace(/[.~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`),
      'URL-encoded',
    ],
    ['URL-encoding of a JSON text', (text) => encodeURIComponent(JSON.stringify(text)), 'URL-encoded'],
    ['Bearer', (text) => `Bearer ${text}`, 'Bearer'],
    ['bearer:', (text) => `bearer: ${text}`, 'Bearer'],
    ['UTF-16', (text) => Buffer.from(text, 'utf16le').toString('latin1'), 'UTF-16'],
    ['UTF-16, big-endian', (text) => Buffer.from(text, 'utf16le').swap16().toString('latin1'), 'UTF-16'],
    ['UTF-16 with its mark', (text) => Buffer.from(`\ufeff${text}`, 'utf16le').toString('latin1'), 'UTF-16'],
    ['a length before it', (text) => `\0\0\u0001\u0020${text}`, 'length'],
    ['the id of a schema', (text) => `\0\0\0\0\u0007\u00c2\u0004${text}`, 'schema'],
    ['what Java writes before a text', (text) => `\u00ac\u00ed\0\u0005t\u0001\u0047${text}`, 'length'],
    ['NULs behind it', (text) => `${text}\0\0`, 'behind it'],
    ['printed quotes', (text) => `\u201c${text}\u201d`, 'quotes as they are printed'],
    ['printed quotes as octets', (text) => `\u00e2\u0080\u009c${text}\u00e2\u0080\u009d`, 'quotes as they are printed'],
    ['a byte order mark', (text) => `\ufeff${text}`, 'byte order mark'],
    ['a list of one', (text) => `["${text}"]`, 'list of one'],
  ]

  it.each(['\u001f\u008b\u0008~\u00e0', 'a~b', 'a.b~0~AAAA', '~'])(
    '%j is not taken for the token of a batch',
    (text) => {
      expect(detailOf(text)).not.toContain('batch')
    },
  )

  it.each(wrapped)('%s is refused, and told', (_, wrap, word) => {
    for (const text of [token, batched]) {
      expect(detailOf(wrap(text))).toContain(word)
      const bytes = Buffer.from(wrap(text), 'latin1')
      if (wrap(text).charCodeAt(0) < 256) expect(detailOf(bytes)).toContain(word)
    }
  })

  it('garbage looks like nothing of the kind, and costs no more than a walk over it', () => {
    for (const text of [
      '%',
      '"',
      'Bearer x',
      'A'.repeat(8192),
      '%41'.repeat(2700),
      '\0'.repeat(8192),
      '['.repeat(8192),
      '"'.repeat(8192),
      '\\'.repeat(8192),
      'a.b.c',
    ]) {
      expect(detailOf(text)).not.toContain('looks like a token')
    }
  })
})

describe('a key that nobody knows', () => {
  it('gets no word of the token into the detail, since nothing of it is verified', () => {
    const rejection = rejectionOf(() =>
      verifier.verify(receivedWith(tokenOf({ algorithm: 'ES256', claims: { iss: 'call-0800-evil' } }))),
    )
    expect(rejection?.code).toBe('key-unknown')
    expect(rejection?.message).not.toContain('evil')
  })
})
