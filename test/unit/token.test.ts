import { describe, expect, it } from 'vitest'
import { publicKeyOf } from '../../src/keys/public-key.ts'
import { signData } from '../../src/keys/signatures.ts'
import { type Claims, encodeClaims, encodeHeader, isDestination, isServiceName } from '../../src/token.ts'
import { claimsOf, judge, keysOf, lineOf, NOW, receivedWith, tokenOf, verifierFor } from './helpers.ts'
import { privateKeyFor } from './keys/helpers.ts'

const verifier = verifierFor()
const judged = (token: unknown): string => judge(verifier, receivedWith(token))
const header = { alg: 'Ed25519', typ: 'queueauth-v1+jwt', kid: publicKeyOf(privateKeyFor('Ed25519')).keyId }
const headerText = JSON.stringify(header)
const claimsText = JSON.stringify(claimsOf())

describe('the header of a message that holds the token', () => {
  it.each([null, '', 0, false, true, {}, [], ['x'], [tokenOf()], new Date(0), 'a.b', '...', '.'])(
    '%j is malformed',
    (value) => {
      expect(judged(value)).toBe('token-malformed')
    },
  )

  it('is malformed when it only has bytes for a prototype, and as bytes as good as the text', () => {
    expect(judged(Object.create(Buffer.from(tokenOf())))).toBe('token-malformed')
    expect(judged(Buffer.from(tokenOf()))).toBe('authorized')
  })

  it('is a string or its bytes', () => {
    expect(judged(tokenOf())).toBe('authorized')
    expect(judged(Buffer.from(tokenOf()))).toBe('authorized')
    expect(judged(new Uint8Array(Buffer.from(tokenOf())))).toBe('authorized')
  })

  it('is there once, whatever the copies say', () => {
    expect(judged([tokenOf(), tokenOf()])).toBe('token-duplicated')
    expect(judged([Buffer.from(tokenOf()), null])).toBe('token-duplicated')
  })

  it('is refused by its length before anything else is looked at', () => {
    const huge = 10 * 1024 * 1024
    expect(judged('.'.repeat(huge))).toBe('token-oversize')
    expect(judged(Buffer.alloc(huge, '['))).toBe('token-oversize')
    // Not even its length is out of bounds before the array is: nothing of a second value is read.
    expect(judged(['.'.repeat(huge), 'x'])).toBe('token-duplicated')
    expect(judged(`${tokenOf()}${'.'.repeat(8193 - tokenOf().length)}`)).toBe('token-oversize')
    expect(judged(`${tokenOf()}${'.'.repeat(8192 - tokenOf().length)}`)).toBe('token-malformed')
  })

  it('JSON as deep as a token can hold is malformed', () => {
    const nested = [`{"a":${'['.repeat(2500)}${']'.repeat(2500)}}`, `${'{"a":'.repeat(900)}1${'}'.repeat(900)}`]
    for (const text of [...nested, '['.repeat(5000)]) {
      expect(judged(tokenOf({ header: text, claims: '{}' }))).toBe('token-malformed')
      expect(judged(tokenOf({ claims: text }))).toBe('token-malformed')
    }
  })
})

describe('the members of header and claims', () => {
  const shuffled = (members: Record<string, unknown>, seed: number): Record<string, unknown> => {
    const names = Object.keys(members)
    return Object.fromEntries(
      names.map((_, at) => names[(at * 5 + seed) % names.length] as string).map((name) => [name, members[name]]),
    )
  }

  it.each([0, 1, 2, 3, 4, 5, 6])('may stand in any order: %i', (seed) => {
    const claims = JSON.stringify(shuffled({ ...claimsOf() }, seed))
    const inOrder = JSON.stringify({ kid: header.kid, alg: header.alg, typ: header.typ })
    expect(judged(tokenOf({ claims, header: seed % 2 === 0 ? inOrder : headerText }))).toBe('authorized')
  })

  it.each(['jwk', 'jku', 'x5u', 'x5c', 'x5t#S256', 'crit', 'b64', 'zip', 'cty', 'nonce', '__proto__'])(
    'no header member %s',
    (name) => {
      const text = headerText.replace('}', `,${JSON.stringify(name)}:["b64"]}`)
      expect(judged(tokenOf({ header: text }))).toBe('token-malformed')
    },
  )

  it.each(['alg', 'typ', 'kid'])('header member %s must be there, a string, and not another name', (name) => {
    for (const value of [undefined, null, 1, '', [], {}]) {
      expect(judged(tokenOf({ header: { [name]: value } }))).toBe('token-malformed')
    }
    expect(judged(tokenOf({ header: { [name]: undefined, [name.toUpperCase()]: 'x' } }))).toBe('token-malformed')
  })

  it.each(['JWT', 'queueauth-V1+jwt', 'application/queueauth-v1+jwt', 'queueauth-batch-v1+jwt', 'queueauth-', '1'])(
    'typ %s is malformed',
    (typ) => {
      expect(judged(tokenOf({ header: { typ } }))).toBe('token-malformed')
    },
  )

  it.each(['queueauth-v2+jwt', 'queueauth-v1', 'queueauth-v1+JWT', 'queueauth-v10+jwt'])(
    'typ %s is another version',
    (typ) => {
      expect(judged(tokenOf({ header: { typ } }))).toBe('version-unsupported')
      expect(judged(tokenOf({ header: { typ, crit: ['new'], new: 1 }, claims: '{}' }))).toBe('version-unsupported')
    },
  )

  const wrong: Readonly<Record<string, readonly unknown[]>> = {
    iss: [undefined, null, '', 1, '-a', 'a-', 'a b', 'é', 'a'.repeat(129), 'a\n', ['checkout']],
    aud: [
      undefined,
      null,
      '',
      'orders',
      'AMQP:x',
      'amqp:a b',
      'amqp:%2',
      'amqp:%2f',
      'amqp:%41',
      'amqp:%FF',
      `amqp:${'a'.repeat(1020)}`,
      ['amqp:a'],
    ],
    iat: [undefined, null, '1', 1.5, -1, 2 ** 53],
    jti: [undefined, null, '', 'A'.repeat(15), 'A'.repeat(65), `${'A'.repeat(21)}+`, 1],
    bh: [undefined, '', 'A'.repeat(42), 'A'.repeat(44), `${'A'.repeat(42)}B`, 0, false],
    hh: [undefined, null, '', 'A'.repeat(42), `${'A'.repeat(42)}B`],
    hs: [
      null,
      [],
      'tenant',
      ['b', 'a'],
      ['a', 'a'],
      [''],
      [1],
      [null],
      ['queueauth'],
      ['QUEUEAUTH-x'],
      ['__proto__'],
      ['constructor'],
      ['é'],
      ['a'.repeat(129)],
      Array.from({ length: 33 }, (_, n) => `h${n + 10}`),
      { 0: 'a' },
    ],
    exp: [null, '1', 1.5, -1, 2 ** 53],
    nbf: [NOW],
    realm: ['x'],
    toString: ['x'],
  }

  it.each(Object.entries(wrong))('claim %s', (name, values) => {
    for (const value of values) {
      expect([value, judged(tokenOf({ claims: { [name]: value } }))]).toEqual([value, 'token-malformed'])
    }
  })

  it('an absent hs is not an empty one, and covers nothing', () => {
    const message = { destination: 'amqp:orders/order.created', payload: null }
    const token = tokenOf({ message })
    const received = receivedWith(token, { payload: null, properties: {}, headers: {} })
    expect(judge(verifier, received)).toBe('authorized')
    expect(judge(verifier, { ...received, payload: Buffer.alloc(0) })).toBe('body-mismatch')
  })
})

describe('strict text', () => {
  it.each([
    ['a member twice', headerText.replace('{', '{"alg":"none",')],
    ['the same member twice', headerText.replace('}', ',"alg":"Ed25519"}')],
    ['space', headerText.replace(':', ': ')],
    ['a space before', ` ${headerText}`],
    ['a line end', `${headerText}\n`],
    ['a byte order mark', `\ufeff${headerText}`],
    ['an escape of an ordinary letter', headerText.replace('Ed25519', '\\u0045d25519')],
    ['an escaped slash', headerText.replace('+jwt', '\\/jwt')],
    ['a comment', `${headerText}//`],
    ['a trailing comma', headerText.replace('}', ',}')],
    ['an array', `[${headerText}]`],
    ['a string', JSON.stringify('a')],
    ['null', 'null'],
    ['nothing but braces', '{}'],
    ['no JSON', '{'],
    ['UTF-8', headerText.replace('Ed25519', 'Ed25519é')],
    ['NUL', headerText.replace('Ed25519', 'Ed25519\0')],
  ])('header: %s', (_, text) => {
    expect(judged(tokenOf({ header: text }))).toBe('token-malformed')
  })

  it.each([
    ['a claim twice', claimsText.replace('{', '{"iss":"etl",')],
    ['a claim twice, the same', claimsText.replace('}', ',"iss":"checkout"}')],
    ['a fraction of nothing', claimsText.replace(`${NOW}`, `${NOW}.0`)],
    ['an exponent', claimsText.replace(`${NOW}`, '1767225600e0')],
    ['an exponent as JSON writes it', claimsText.replace(`${NOW}`, '1e+21')],
    ['minus zero', claimsText.replace(`${NOW}`, '-0')],
    ['a leading zero', claimsText.replace(`${NOW}`, `0${NOW}`)],
    ['a plus sign', claimsText.replace(`${NOW}`, `+${NOW}`)],
    ['beyond safe integers', claimsText.replace(`${NOW}`, '9007199254740993')],
    ['an escaped name', claimsText.replace('iss', '\\u0069ss')],
    ['__proto__ with the rest in it', `{"__proto__":${claimsText}}`],
  ])('claims: %s', (_, text) => {
    expect(text).not.toBe(claimsText)
    expect(judged(tokenOf({ claims: text }))).toBe('token-malformed')
  })
})

describe('base64url', () => {
  const token = tokenOf()
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

  it.each([0, 1, 2])('part %i has one spelling: no other tail, padding, white space or alphabet', (index) => {
    const parts = token.split('.')
    const part = parts[index] as string
    const spellings = [
      ...['=', '==', '===', ' ', '\n', '\r\n', '\t', '\0', '*', '+', '/', '%3D', 'é', '\u2028'].flatMap((extra) => [
        part + extra,
        extra + part,
        part.slice(0, 9) + extra + part.slice(9),
      ]),
      ...[...ALPHABET].map((last) => part.slice(0, -1) + last).filter((spelling) => spelling !== part),
      `${part}A`,
      '',
    ]
    for (const spelling of spellings) {
      const changed = parts.with(index, spelling).join('.')
      expect([changed, judged(changed)]).toEqual([
        changed,
        expect.stringMatching(/^(token-malformed|signature-invalid)$/),
      ])
    }
    // A tail with other bits in it decodes to the very same bytes, and is refused for its spelling.
    const sameBytes = spellings.filter((spelling) =>
      Buffer.from(spelling, 'base64url').equals(Buffer.from(part, 'base64url')),
    )
    expect(sameBytes.length).toBeGreaterThan(0)
    for (const spelling of sameBytes) expect(judged(parts.with(index, spelling).join('.'))).toBe('token-malformed')
  })

  it('three parts, no more and no fewer', () => {
    for (const text of [
      `${token}.`,
      `.${token}`,
      token.replace('.', '..'),
      token.split('.').slice(0, 2).join('.'),
      `${token}.${token}`,
    ]) {
      expect(judged(text)).toBe('token-malformed')
    }
  })
})

describe('what the signer writes', () => {
  it('is the text that JSON.stringify would write', () => {
    const claims = { ...claimsOf(), exp: NOW + 5 } as unknown as Claims
    expect(Buffer.from(encodeClaims(claims, claims), 'base64url').toString()).toBe(JSON.stringify(claims))
    expect(Buffer.from(encodeHeader('Ed25519', header.kid), 'base64url').toString()).toBe(headerText)
    const { hs: _, ...bare } = { ...claims, bh: null }
    expect(Buffer.from(encodeClaims(bare, bare), 'base64url').toString()).toBe(JSON.stringify(bare))
  })

  it('the signature covers the text as it stands', () => {
    const theirs = claimsOf() as unknown as Claims
    const text = `${encodeHeader('Ed25519', header.kid)}.${encodeClaims(theirs, theirs)}`
    const signature = signData('Ed25519', privateKeyFor('Ed25519'), Buffer.from(text))
    expect(
      judge(verifierFor({ keys: keysOf(lineOf()) }), receivedWith(`${text}.${signature.toString('base64url')}`)),
    ).toBe('authorized')
  })
})

describe('names', () => {
  it.each(['a', 'A9', 'team/checkout', 'a.b_c-d', '0'.repeat(128)])('%s is a service', (name) => {
    expect(isServiceName(name)).toBe(true)
  })

  it.each(['', '.a', 'a/', 'a b', 'a,b', 'a*', 'ä', 'a\n', '0'.repeat(129)])('%j is none', (name) => {
    expect(isServiceName(name)).toBe(false)
  })

  it.each(['amqp:/', 'amqp:/queue', 'amqp:a%2Fb/c', 'kafka:topic', 'redis:%7Ba%7D%3Ab', 'x-y1:%C3%A9'])(
    '%s is a destination',
    (text) => {
      expect(isDestination(text)).toBe(true)
    },
  )

  it.each([
    '',
    'a',
    ':a',
    'Amqp:a',
    '1a:b',
    'amqp:a:b',
    'amqp:a b',
    'amqp:é',
    'amqp:%2f',
    'amqp:%61',
    'amqp:%C3',
    'amqp:%',
    'amqp:a%2',
    'amqp:a*',
    'amqp:%ED%A0%80',
  ])('%j is none', (text) => {
    expect(isDestination(text)).toBe(false)
  })
})
