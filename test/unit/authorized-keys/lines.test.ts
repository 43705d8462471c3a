import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AuthorizedKeys } from '../../../src/authorized-keys/authorized-keys.ts'
import { SetupError } from '../../../src/errors.ts'
import { testKey, weakRsaLine } from './keys.ts'

const ed = testKey()
const other = testKey()
const rsa = testKey('PS256')
const p256 = testKey('ES256')
const p384 = testKey('ES384')
const edBase64 = ed.line.split(' ')[1] ?? ''

function linesOf(text: string, key = ed) {
  return AuthorizedKeys.parse(text).snapshot?.keys.get(key.publicKey.keyId)?.lines ?? []
}

function errorOf(text: string, file = 'keys'): SetupError {
  try {
    AuthorizedKeys.parse(text, { file })
  } catch (error) {
    if (error instanceof SetupError) return error
    throw error
  }
  throw new Error('no error')
}

describe('an authorized_keys text', () => {
  it('says who may send where, with which key', () => {
    const text = [
      '# service      options                                            key',
      `checkout       queues="orders.*,invoices"                         ${ed.line} 2026q3`,
      `checkout       queues="orders.*",valid-after="2026-12-01T00:00Z"  ${other.line} 2026q4`,
      '',
      `legacy-erp\tqueues="erp.in",alg="RS256"\t${rsa.line}\tlegacy system, größer als "alt" 🐘\r`,
      `  reporting,etl  valid-before="2027-01-01",queues="**,!payments.**"  ${p256.line}  `,
      `a/b.c-d_e  queues="erp.in"  ${p384.line}`,
      ' \t # an indented comment',
      `other  queues="x"  ${ed.line}`,
    ].join('\n')
    const keys = AuthorizedKeys.parse(text, { file: 'keys' })
    const lines = [ed, other, rsa, p256, p384].map((key) => keys.snapshot?.keys.get(key.publicKey.keyId)?.lines)
    const common = { validAfter: undefined, validBefore: undefined }
    const plain = lines.map((list) => list?.map((line) => ({ ...line, queues: line.queues.patterns })))
    expect(plain).toEqual([
      [
        {
          ...common,
          services: ['checkout'],
          queues: ['orders.*', 'invoices'],
          algorithm: 'Ed25519',
          position: { file: 'keys', line: 2, column: 1 },
        },
        {
          ...common,
          services: ['other'],
          queues: ['x'],
          algorithm: 'Ed25519',
          position: { file: 'keys', line: 9, column: 1 },
        },
      ],
      [
        {
          ...common,
          services: ['checkout'],
          queues: ['orders.*'],
          algorithm: 'Ed25519',
          validAfter: Date.UTC(2026, 11, 1) / 1000,
          position: { file: 'keys', line: 3, column: 1 },
        },
      ],
      [
        {
          ...common,
          services: ['legacy-erp'],
          queues: ['erp.in'],
          algorithm: 'RS256',
          position: { file: 'keys', line: 5, column: 1 },
        },
      ],
      [
        {
          ...common,
          services: ['reporting', 'etl'],
          queues: ['**', '!payments.**'],
          algorithm: 'ES256',
          validBefore: Date.UTC(2027, 0, 1) / 1000,
          position: { file: 'keys', line: 6, column: 3 },
        },
      ],
      [
        {
          ...common,
          services: ['a/b.c-d_e'],
          queues: ['erp.in'],
          algorithm: 'ES384',
          position: { file: 'keys', line: 7, column: 1 },
        },
      ],
    ])
    expect(keys.snapshot?.keys.get(ed.publicKey.keyId)).toMatchObject({
      fingerprint: ed.publicKey.fingerprint,
      type: 'ed25519',
    })
    expect(Object.isFrozen(keys.snapshot)).toBe(true)
    expect(keys.refresh).toBeUndefined()
  })

  it('may have no line at all, and then allows nobody', () => {
    for (const text of ['', '\n', '# nobody\r\n', '\n\n  \t\n#']) {
      expect(AuthorizedKeys.parse(text).snapshot?.keys.size).toBe(0)
    }
  })

  it('uses PS256 for an RSA key unless it is told otherwise', () => {
    expect(linesOf(`a queues="q" ${rsa.line}`, rsa)[0]?.algorithm).toBe('PS256')
    expect(linesOf(`a queues="q",alg="PS256" ${rsa.line}`, rsa)[0]?.algorithm).toBe('PS256')
  })

  it.each([
    ['2026-12-01T00:00Z', '2026-12-01T00:00:00Z'],
    ['2026-12-01T23:59:59Z', '2026-12-01T23:59:59Z'],
    ['2026-12-01', '2026-12-01T00:00:00Z'],
    ['2028-02-29', '2028-02-29T00:00:00Z'],
    ['1969-12-31', '1969-12-31T00:00:00Z'],
    ['0050-01-01', '0050-01-01T00:00:00Z'],
  ])('reads the timestamp %s', (text, expected) => {
    expect(linesOf(`a queues="q",valid-after="${text}" ${ed.line}`)[0]?.validAfter).toBe(Date.parse(expected) / 1000)
  })

  it.each([
    ...[
      '2026-02-29',
      '2026-13-01',
      '2026-00-10',
      '2026-04-31',
      '2026-12-01T24:00Z',
      '2026-12-01T23:60Z',
      '2026-12-31T23:59:60Z',
    ],
    ...[
      '2026-12-01T00:00',
      '2026-12-01T00:00:00.5Z',
      '2026-12-01T00:00+01:00',
      '2026-12-01t00:00z',
      '2026-12-01 00:00Z',
    ],
    ...['20261201', '2026-12-1', '26-12-01', '', ' 2026-12-01', 'tomorrow', '+2026-12-01', '٢٠٢٦-12-01'],
  ])('refuses the timestamp "%s"', (text) => {
    for (const name of ['valid-after', 'valid-before']) {
      expect(errorOf(`a queues="q",${name}="${text}" ${ed.line}`).code).toBe('authorized-keys-invalid')
    }
  })

  // the column of the fault is marked by ⟨⟩, which are taken out
  it.each([
    ['no service', `⟨⟩${ed.line}`],
    ['no service, a comment that would do for one', `⟨⟩${ed.line} checkout`],
    ['options of OpenSSH', `⟨⟩no-pty,command="/bin/true x" ${ed.line} me@host`],
    ['a flag of OpenSSH', `  ⟨⟩restrict ${ed.line}`],
    ['options but no service', `⟨⟩queues="orders.*" ${ed.line}`],
    ['no options', `checkout ⟨⟩${ed.line}`],
    ['a service alone', '⟨⟩checkout'],
    ['no key', 'checkout queues="q"⟨⟩  '],
    ['a key type alone', 'checkout queues="q" ⟨⟩ssh-ed25519'],
    ['a space in the options', `checkout queues="q", ⟨⟩alg="Ed25519" ${ed.line}`],
    ['two spaces in the options', `checkout queues="q",⟨⟩ alg="Ed25519", valid-after="2026-01-01" ${ed.line}`],
    ['a space in the services', `a, ⟨⟩b queues="q" ${ed.line}`],
    ['a service that begins with a dash', `⟨⟩-a queues="q" ${ed.line}`],
    ['a service that ends with a dot', `a,⟨⟩b. queues="q" ${ed.line}`],
    ['an empty service', `a,⟨⟩ queues="q" ${ed.line}`],
    ['an e-mail address', `⟨⟩me@example.com queues="q" ${ed.line}`],
    ['a service of 129 characters', `b,⟨⟩${'a'.repeat(129)} queues="q" ${ed.line}`],
    ['65 services', `⟨⟩${Array(65).fill('a').join(',')} queues="q" ${ed.line}`],
    ['no queues', `a ⟨⟩alg="Ed25519" ${ed.line}`],
    ['empty queues', `a queues="⟨⟩" ${ed.line}`],
    ['a bad pattern', `a queues="ok,⟨⟩a***" ${ed.line}`],
    ['a space within quotes', `a queues="ok,⟨⟩a b" ${ed.line}`],
    ['vetoes alone', `a queues="⟨⟩!a" ${ed.line}`],
    ['an unknown option', `a queues="q",⟨⟩namespaces="git" ${ed.line}`],
    ['an option in capitals', `a ⟨⟩Queues="q" ${ed.line}`],
    ['an option with an underscore', `a queues="q",⟨⟩valid_after="2026-01-01" ${ed.line}`],
    ['a prototype name', `a queues="q",⟨⟩__proto__="q" ${ed.line}`],
    ['a doubled option', `a queues="q",⟨⟩queues="r" ${ed.line}`],
    ['an unquoted value', `a ⟨⟩queues=q ${ed.line}`],
    ['an option without a value', `a ⟨⟩queues ${ed.line}`],
    ['a quote that is not closed', `a ⟨⟩queues="q ${ed.line}`],
    ['a quote within a value', `a queues="q"⟨⟩q" ${ed.line}`],
    ['a comma too many', `a queues="q",⟨⟩ ${ed.line}`],
    ['a doubled comma', `a queues="q",⟨⟩,alg="Ed25519" ${ed.line}`],
    ['a bad timestamp', `a queues="q",valid-after="⟨⟩2026-02-30" ${ed.line}`],
    ['an empty window', `a queues="q",valid-before="2026-01-01",valid-after="⟨⟩2026-01-01" ${ed.line}`],
    ['a window the wrong way round', `a valid-after="⟨⟩2026-01-02",queues="q",valid-before="2026-01-01" ${ed.line}`],
    ['an unknown algorithm', `a queues="q",alg="⟨⟩none" ${ed.line}`],
    ['an algorithm of another key type', `a queues="q",alg="⟨⟩RS256" ${ed.line}`],
    ['an algorithm of another curve', `a queues="q",alg="⟨⟩ES256" ${p384.line}`],
    ['an unknown key type', `a queues="q" ⟨⟩ed25519 ${edBase64}`],
    ['a key type in capitals', `a queues="q" ⟨⟩SSH-ED25519 ${edBase64}`],
    ['a no-break space', `a⟨⟩\u00a0queues="q" ${ed.line}`],
    ['a letter outside ASCII in the service', `caf⟨⟩é queues="q" ${ed.line}`],
    ['a letter outside ASCII in the queues', `a queues="gr⟨⟩öße" ${ed.line}`],
    ['a NUL', `a queues="q" ${ed.line} comm⟨⟩\0ent`],
    ['an escape sequence in a comment', `# ⟨⟩\x1b[31m`],
    ['a lone carriage return', `a queues="q" ${ed.line}⟨⟩\rb queues="q" ${ed.line}`],
    ['JSON', `⟨⟩{"kty":"OKP","crv":"Ed25519","x":"x"}`],
    ['public PEM', `⟨⟩-----BEGIN PUBLIC KEY-----`],
    ['a line of more than 32 Ki characters', `⟨⟩# ${'x'.repeat(32 * 1024)}`],
  ])('is refused as a whole for %s', (_, marked) => {
    const column = marked.indexOf('⟨⟩') + 1
    const error = errorOf(`# first\nok queues="q" ${other.line}\n${marked.replace('⟨⟩', '')}\n`)
    expect({ code: error.code, position: error.position }).toEqual({
      code: 'authorized-keys-invalid',
      position: { file: 'keys', line: 3, column },
    })
    expect(error.message.startsWith(`keys:3:${column}: `)).toBe(true)
    expect(error.message).not.toContain(edBase64.slice(25, 40))
  })

  it.each([
    ['key-type-unsupported', `a queues="q" ⟨⟩ssh-dss AAAAB3NzaC1kc3M=`],
    ['key-type-unsupported', `a queues="q" ⟨⟩ecdsa-sha2-nistp521 AAAA`],
    ['key-type-unsupported', `a queues="q" ⟨⟩sk-ssh-ed25519@openssh.com AAAA`],
    ['key-type-unsupported', `a queues="q" ⟨⟩ssh-ed25519-cert-v01@openssh.com AAAA`],
    ['key-malformed', `a queues="q" ssh-ed25519 ⟨⟩AAAA`],
    ['key-malformed', `a queues="q" ssh-ed25519 ⟨⟩${edBase64.slice(0, -4)} comment`],
    ['key-malformed', `a queues="q" ssh-ed25519 ⟨⟩${edBase64}=`],
    ['key-malformed', `a queues="q" ssh-rsa ⟨⟩${edBase64}`],
    ['key-malformed', `a queues="q" ssh-ed25519 ⟨⟩#comment`],
    ['key-too-weak', `a queues="q" ${weakRsaLine().replace(' ', ' ⟨⟩')}`],
    ['key-private-in-public-place', `⟨⟩${ed.privatePem}`],
    ['key-private-in-public-place', `⟨⟩a queues="q" -----BEGIN OPENSSH PRIVATE KEY-----`],
    ['key-private-in-public-place', `⟨⟩b3BlbnNzaC1rZXktdjEAAAAABG5vbmU`],
    ['key-private-in-public-place', `⟨⟩{"kty":"OKP","crv":"Ed25519","x":"x","d":"y"}`],
  ] as const)('is refused as a whole with %s, %#', (code, marked) => {
    const column = marked.split('\n')[0]?.indexOf('⟨⟩') ?? 0
    const error = errorOf(`ok queues="q" ${other.line}\n${marked.replace('⟨⟩', '')}`)
    expect({ code: error.code, position: error.position }).toEqual({
      code,
      position: { file: 'keys', line: 2, column: column + 1 },
    })
    expect(error.message).not.toContain(edBase64.slice(25, 40))
    expect(error.message).not.toContain(ed.privatePem.split('\n')[1]?.slice(0, 12))
  })

  it('is refused for a byte order mark, and for being too long', () => {
    expect(errorOf('\uFEFF# x').position).toEqual({ file: 'keys', line: 1, column: 1 })
    expect(errorOf('# x\n'.repeat(2 * 1024 * 1024 + 1))).toMatchObject({
      code: 'authorized-keys-invalid',
      position: { file: 'keys' },
    })
  })

  it('finds a private JWK over several lines', () => {
    expect(errorOf('{\n  "kty": "OKP",\n  "d": "x"\n}')).toMatchObject({
      code: 'key-private-in-public-place',
      position: { line: 1 },
    })
  })

  it('accepts what is just within the limits', () => {
    const services = Array.from({ length: 64 }, (_, index) => `s${index}`).join(',')
    expect(linesOf(`${services} queues="q" ${ed.line}`)[0]?.services).toHaveLength(64)
    expect(linesOf(`${'a'.repeat(128)} queues="q" ${ed.line}`)).toHaveLength(1)
    const line = `a queues="q" ${ed.line} `
    expect(linesOf(`${line}${'c'.repeat(32 * 1024 - line.length)}`)).toHaveLength(1)
    const queues = Array(64).fill('q'.repeat(255)).join(',')
    expect(linesOf(`a queues="${queues}" ${ed.line}`)[0]?.queues.patterns).toHaveLength(64)
  })

  it('shows a line without a service as it should be, with the comment for a service where it will do', () => {
    const shown = (line: string) => errorOf(line).message.split('write ')[1]
    expect(shown(`${ed.line} checkout`)).toBe('checkout queues="…" ssh-ed25519 …')
    expect(shown(`${ed.line} deploy@host`)).toBe('my-service queues="…" ssh-ed25519 …')
    expect(shown(`queues="orders.*" ${rsa.line} erp`)).toBe('erp queues="orders.*" ssh-rsa …')
    expect(shown(`billing ${ed.line}`)).toBe('billing queues="…" ssh-ed25519 …')
  })

  it('takes 10,000 lines', () => {
    const text = Array.from(
      { length: 10_000 },
      (_, index) => `service-${index} queues="queue-${index}.*,x" ${ed.line} ${index}`,
    )
    const keys = AuthorizedKeys.parse(text.join('\n'))
    expect(keys.snapshot?.keys.get(ed.publicKey.keyId)?.lines).toHaveLength(10_000)
    expect(keys.can('service-9999', 'queue-9999.a')).toBe(true)
    expect(keys.can('service-9999', 'queue-9998.a')).toBe(false)
  })
})

describe('any text whatever', () => {
  const valid = [
    '# keys',
    `checkout,billing queues="orders.*,!orders.x",valid-after="2026-12-01T00:00Z",valid-before="2027-01-01" ${ed.line} q4`,
    `erp queues="erp.in",alg="RS256" ${rsa.line}`,
    `etl queues="**" ${p256.line}`,
  ].join('\n')

  /** Why a text is refused, as either file; anything thrown but a SetupError passes through and fails the test. */
  function errorsOf(text: string): SetupError[] {
    return [() => AuthorizedKeys.parse(text), () => AuthorizedKeys.parse('', { revokedKeys: text })].flatMap(
      (parse) => {
        try {
          parse()
          return []
        } catch (error) {
          if (error instanceof SetupError) return [error]
          throw error
        }
      },
    )
  }

  it('is read or refused with a SetupError', () => {
    const words = fc.constantFrom(
      'checkout',
      'queues="',
      '"',
      ',',
      '=',
      ' ',
      '\t',
      '\n',
      '\r',
      '#',
      '!',
      '*',
      ed.line,
      'ssh-rsa',
      'SHA256:',
      'kid:',
      '\0',
      '\uFEFF',
      '\ud800',
      '{',
      '-----BEGIN',
    )
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(words, { maxLength: 30 }).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(text, (any) => void errorsOf(any)),
      { numRuns: 2000 },
    )
  })

  it('that was valid before it was changed somewhere is read, or refused with the place', () => {
    const edit = fc.record({
      at: fc.nat(valid.length),
      remove: fc.nat(3),
      insert: fc.string({ unit: 'binary', maxLength: 2 }),
    })
    expect(AuthorizedKeys.parse(valid).snapshot?.keys.size).toBe(3)
    fc.assert(
      fc.property(edit, ({ at, remove, insert }) => {
        const text = valid.slice(0, at) + insert + valid.slice(at + remove)
        const lengths = text.split('\n').map((line) => line.length)
        for (const { position } of errorsOf(text)) {
          expect(position?.file).toMatch(/^(authorized|revoked)_keys$/)
          expect(position?.column).toBeGreaterThan(0)
          expect(position?.column).toBeLessThanOrEqual((lengths[(position?.line ?? 0) - 1] ?? -1) + 1)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('that was rendered from lines is read as those lines', () => {
    const keys = [ed, other, rsa, p256, p384]
    const word = fc.stringMatching(/^[a-z][a-z0-9._/-]{0,10}[a-z0-9]$/)
    const time = fc.integer({ min: -62_135_596_800, max: 253_402_300_799 })
    const blank = fc.stringMatching(/^[ \t]{1,3}$/)
    const line = fc.record({
      key: fc.constantFrom(...keys),
      services: fc.array(word, { minLength: 1, maxLength: 4 }),
      queues: fc.array(fc.stringMatching(/^!?[a-z.:/?]{1,8}$/), { maxLength: 4 }).map((list) => [...list, 'last.*']),
      window: fc.uniqueArray(time, { minLength: 2, maxLength: 2 }).map((pair) => pair.sort((a, b) => a - b)),
      bounds: fc.constantFrom('', 'after', 'before', 'both'),
      blank,
      tail: fc.constantFrom('', ' ', ' comment', '\t# "x', ' ü\r', '\r', '\n', '\n#\n\n'),
    })
    const iso = (seconds: number) => new Date(seconds * 1000).toISOString().replace('.000', '')
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
        const expected = new Map<string, unknown[]>()
        const text = lines.map(({ key, services, queues, window, bounds, blank: gap, tail }) => {
          const [after = 0, before = 0] = window
          const validAfter = bounds === 'after' || bounds === 'both' ? after : undefined
          const validBefore = bounds === 'before' || bounds === 'both' ? before : undefined
          const { keyId } = key.publicKey
          expected.set(keyId, [...(expected.get(keyId) ?? []), { services, queues, validAfter, validBefore }])
          const options = [
            ...(validBefore === undefined ? [] : [`valid-before="${iso(validBefore)}"`]),
            `queues="${queues.join(',')}"`,
            ...(validAfter === undefined ? [] : [`valid-after="${iso(validAfter)}"`]),
          ]
          return `${services.join(',')}${gap}${options.join(',')}${gap}${key.line.replace(' ', gap)}${tail}`
        })
        const { keys: found } = AuthorizedKeys.parse(text.join('\n')).snapshot ?? { keys: new Map() }
        const actual = [...found.entries()].map(([keyId, { lines: read }]) => [
          keyId,
          read.map(({ services, queues, validAfter, validBefore }: (typeof read)[number]) => ({
            services,
            queues: queues.patterns,
            validAfter,
            validBefore,
          })),
        ])
        expect(new Map(actual as [string, unknown[]][])).toEqual(expected)
      }),
      { numRuns: 300 },
    )
  })
})
