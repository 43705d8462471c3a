import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { AuthorizedKeys } from '../../src/authorized-keys/authorized-keys.ts'
import { ALGORITHMS, type Algorithm } from '../../src/keys/algorithms.ts'
import { generatePrivateKey } from '../../src/keys/generate.ts'
import { publicKeyOf } from '../../src/keys/public-key.ts'
import type { ReceivedMessage } from '../../src/message.ts'
import { DEFER_CODES, REJECT_CODES, type ReasonCode, SKIP_CODES } from '../../src/reasons.ts'
import type { Verifier, VerifierOptions } from '../../src/verifier.ts'
import { batchOf } from './batch/hand-made.ts'
import {
  ChangingKeys,
  judge,
  keysOf,
  lineOf,
  ManualClock,
  MESSAGE,
  NOW,
  receivedWith,
  tokenOf,
  verifierFor,
} from './helpers.ts'
import { privateKeyFor } from './keys/helpers.ts'

interface Case {
  readonly bad: ReceivedMessage
  /** the neighbour that passes; the good message unless told */
  readonly good?: ReceivedMessage
  readonly options?: Partial<VerifierOptions>
}

const GOOD = receivedWith(tokenOf())
const OTHER_KEY = generatePrivateKey()
const altered = (text: string): string => text.slice(0, -4) + (text.endsWith('AAAA') ? 'BBBB' : 'AAAA')
const window = (option: string): Partial<VerifierOptions> => ({ keys: keysOf(lineOf(`queues="orders",${option}`)) })
const revoking = (line: string): Partial<VerifierOptions> => ({
  keys: AuthorizedKeys.parse(`${lineOf()}\n${lineOf(undefined, 'ES256')}`, { revokedKeys: line }),
})

/** What only the replay store or the state of our side can say is provoked in guard.test.ts and below. */
const ELSEWHERE = ['duplicate', 'token-id-reused', 'in-progress', 'store-unavailable'] as const
type Elsewhere = (typeof ELSEWHERE)[number]

const REASONS: Readonly<Record<Exclude<ReasonCode, Elsewhere>, Case>> = {
  'token-missing': { bad: receivedWith(undefined) },
  'token-duplicated': { bad: receivedWith([tokenOf(), tokenOf()]) },
  'token-oversize': { bad: receivedWith('a'.repeat(8193)) },
  'token-malformed': { bad: receivedWith(`${tokenOf()}.`) },
  'version-unsupported': { bad: receivedWith(tokenOf({ header: { typ: 'queueauth-v2+jwt' } })) },
  'key-unknown': { bad: receivedWith(tokenOf({ key: OTHER_KEY })) },
  'key-revoked': {
    bad: GOOD,
    good: receivedWith(tokenOf({ algorithm: 'ES256' })),
    options: revoking(`kid:${publicKeyOf(privateKeyFor('Ed25519')).keyId}`),
  },
  'key-not-yet-valid': {
    bad: GOOD,
    good: receivedWith(tokenOf({ claims: { iat: NOW + 1 } })),
    options: window('valid-after="2026-01-01T00:00:01Z"'),
  },
  'key-expired': {
    bad: GOOD,
    good: receivedWith(tokenOf({ claims: { iat: NOW - 1 } })),
    options: window('valid-before="2026-01-01T00:00:00Z"'),
  },
  'alg-not-allowed': {
    bad: receivedWith(tokenOf({ algorithm: 'RS256' })),
    good: receivedWith(tokenOf({ algorithm: 'PS256', key: privateKeyFor('RS256') })),
    options: { keys: keysOf(lineOf(undefined, 'RS256')) },
  },
  'signature-invalid': { bad: receivedWith(altered(tokenOf())) },
  'service-mismatch': { bad: receivedWith(tokenOf({ claims: { iss: 'checkouts' } })) },
  'queue-not-authorized': { bad: { ...GOOD, queue: 'orders.' } },
  'destination-mismatch': { bad: { ...GOOD, deliveredBy: ['amqp:orders/order.deleted'] } },
  'body-mismatch': { bad: { ...GOOD, payload: Buffer.from('{"order":2}') } },
  'headers-mismatch': { bad: { ...GOOD, headers: { ...GOOD.headers, tenant: 'other' } } },
  'age-exceeded': { bad: receivedWith(tokenOf({ claims: { iat: NOW - 604_801 } })) },
  'issued-in-future': { bad: receivedWith(tokenOf({ claims: { iat: NOW + 61 } })) },
  'message-expired': {
    bad: receivedWith(tokenOf({ claims: { exp: NOW - 1 } })),
    good: receivedWith(tokenOf({ claims: { exp: NOW } })),
  },
  'proof-invalid': {
    bad: receivedWith(batchOf([MESSAGE, MESSAGE])[0], { payload: Buffer.from('{"order":2}') }),
    good: receivedWith(batchOf([MESSAGE, MESSAGE])[1]),
  },
  'keys-unavailable': {
    bad: receivedWith(tokenOf({ key: OTHER_KEY })),
    options: { keys: Object.assign(new ChangingKeys(keysOf(lineOf())), { stale: true }) },
  },
  'clock-unreliable': { bad: receivedWith(undefined), options: { acceptUnsignedUntil: new Date(NOW * 1000 + 1) } },
}

describe('every reason code', () => {
  it.each(Object.entries(REASONS))('%s, and its neighbour passes', (code, { bad, good = GOOD, options }) => {
    const clock = new ManualClock()
    const verifier = verifierFor({ clock, ...options })
    expect(judge(verifier, good)).toBe('authorized')
    if (code === 'clock-unreliable') {
      expect(judge(verifier, bad)).toBe('unsigned')
      clock.jump(-61)
    }
    expect(judge(verifier, bad)).toBe(code)
  })

  it('is in one table or another', () => {
    const known = [...Object.keys(REASONS), ...ELSEWHERE]
    expect(known.toSorted()).toEqual([...REJECT_CODES, ...DEFER_CODES, ...SKIP_CODES].toSorted())
  })
})

describe('the order of the checks: a message wrong in two ways gets the earlier code', () => {
  /** Every fault at its place in the order; each is laid over the ones after it. */
  const wrongClaims = { claims: { iss: 'checkouts', iat: NOW - 700_000, aud: 'amqp:other/key' } }
  const steps: readonly (readonly [ReasonCode, ReceivedMessage])[] = [
    ['token-duplicated', receivedWith([1, 2], { payload: null })],
    ['token-oversize', receivedWith('.'.repeat(9000), { payload: null })],
    ['version-unsupported', receivedWith(tokenOf({ header: { typ: 'queueauth-v9', alg: 'none' }, claims: '{' }))],
    ['token-malformed', receivedWith(tokenOf({ key: OTHER_KEY, claims: { nbf: 1 } }))],
    ['key-unknown', receivedWith(altered(tokenOf({ key: OTHER_KEY, header: { alg: 'none' } })))],
    ['alg-not-allowed', receivedWith(altered(tokenOf({ header: { alg: 'none' } })))],
    ['signature-invalid', receivedWith(altered(tokenOf(wrongClaims)), { queue: 'other' })],
    ['service-mismatch', receivedWith(tokenOf(wrongClaims), { queue: 'other' })],
    ['queue-not-authorized', receivedWith(tokenOf({ claims: { iat: 1, aud: 'amqp:a/b' } }), { queue: 'other' })],
    ['key-not-yet-valid', receivedWith(tokenOf({ claims: { iat: NOW - 700_000, aud: 'amqp:a/b' } }))],
    ['destination-mismatch', receivedWith(tokenOf({ claims: { iat: NOW + 100, aud: 'amqp:a/b' } }))],
    ['issued-in-future', receivedWith(tokenOf({ claims: { iat: NOW + 100, exp: 1 } }), { payload: null })],
    ['message-expired', receivedWith(tokenOf({ claims: { exp: 1 } }), { payload: null })],
    ['body-mismatch', receivedWith(tokenOf(), { payload: null, headers: {} })],
    ['headers-mismatch', receivedWith(tokenOf(), { headers: {} })],
  ]
  const options = window('valid-after="2025-12-31T00:00:00Z"')

  it.each(steps)('%s', (code, received) => {
    expect(judge(verifierFor(options), received)).toBe(code)
  })

  it('a revoked key is refused before its signature and algorithm are looked at', () => {
    const verifier = verifierFor(revoking(publicKeyOf(privateKeyFor('Ed25519')).fingerprint))
    expect(judge(verifier, receivedWith(altered(tokenOf({ header: { alg: 'HS256' } }))))).toBe('key-revoked')
  })
})

describe('lines', () => {
  it.each<[string, readonly string[], ReasonCode | 'authorized']>([
    [
      'service of one, queue of the other',
      [lineOf('queues="other"'), lineOf('queues="orders"', 'Ed25519', 'etl')],
      'queue-not-authorized',
    ],
    [
      'the one that got furthest, last',
      [lineOf('queues="**"', 'Ed25519', 'etl'), lineOf('queues="a"'), lineOf('queues="**",valid-before="2025-01-01"')],
      'key-expired',
    ],
    [
      'the one that got furthest, first',
      [lineOf('queues="**",valid-after="2027-01-01"'), lineOf('queues="a"'), lineOf('queues="**"', 'Ed25519', 'etl')],
      'key-not-yet-valid',
    ],
    [
      'one that allows it all, after others',
      [lineOf('queues="a"'), lineOf('queues="**"', 'Ed25519', 'etl'), lineOf('queues="ord*"')],
      'authorized',
    ],
    [
      'the first of those that got equally far',
      [lineOf('queues="**",valid-after="2027-01-01"'), lineOf('queues="**",valid-before="2025-01-01"')],
      'key-not-yet-valid',
    ],
    ['several services on a line', [lineOf('queues="orders"', 'Ed25519', 'etl,checkout')], 'authorized'],
    ['a veto', [lineOf('queues="**,!orders"')], 'queue-not-authorized'],
  ])('%s', (_, lines, expected) => {
    expect(judge(verifierFor({ keys: keysOf(...lines) }), GOOD)).toBe(expected)
  })

  it('an algorithm that only another line of the key allows', () => {
    const key = privateKeyFor('RS256')
    const lines = [lineOf('queues="orders"', 'RS256'), lineOf('queues="other",alg="RS256"', 'RS256')]
    const verifier = verifierFor({ keys: keysOf(...lines) })
    const signed = (algorithm: Algorithm): ReceivedMessage => receivedWith(tokenOf({ algorithm, key }))
    expect(judge(verifier, signed('PS256'))).toBe('authorized')
    expect(judge(verifier, signed('RS256'))).toBe('alg-not-allowed')
    expect(judge(verifier, { ...signed('RS256'), queue: 'other' })).toBe('authorized')
  })

  it('of several services, each signs as itself, with its own key, for its own queue', () => {
    const algorithms = { checkout: 'Ed25519', etl: 'ES256', erp: 'ES384' } as const
    const services = Object.keys(algorithms) as (keyof typeof algorithms)[]
    const verifier = verifierFor({
      keys: keysOf(...services.map((iss) => lineOf(`queues="${iss}"`, algorithms[iss], iss))),
    })
    for (const signs of services) {
      for (const iss of services) {
        for (const queue of services) {
          const token = tokenOf({ algorithm: algorithms[signs], claims: { iss } })
          const expected = iss !== signs ? 'service-mismatch' : queue !== signs ? 'queue-not-authorized' : 'authorized'
          expect([signs, iss, queue, judge(verifier, receivedWith(token, { queue }))]).toEqual([
            signs,
            iss,
            queue,
            expected,
          ])
        }
      }
    }
  })

  it('who signs as somebody else gets no service into the verdict; who signs for another queue does', () => {
    const verifier = verifierFor()
    expect(verifier.check(receivedWith(tokenOf({ claims: { iss: 'etl' } })))).not.toHaveProperty('service')
    expect(verifier.check({ ...GOOD, queue: 'other' })).toMatchObject({ service: 'checkout' })
    expect(verifier.check(receivedWith(altered(tokenOf())))).not.toHaveProperty('fingerprint')
  })
})

describe('algorithms', () => {
  const keyed = ['Ed25519', 'ES256', 'ES384', 'PS256', 'RS256'] as const
  const claimed = [...ALGORITHMS, 'EdDSA', 'none', 'HS256', 'RS512', 'ES256K', 'constructor', '__proto__']
  const fitting: Readonly<Record<Algorithm, readonly string[]>> = {
    Ed25519: ['Ed25519', 'EdDSA'],
    ES256: ['ES256'],
    ES384: ['ES384'],
    PS256: ['PS256'],
    RS256: ['RS256'],
  }

  it.each(keyed)('%s: of every name in the header its own alone passes', (algorithm) => {
    const pinned = algorithm === 'RS256' ? 'queues="orders",alg="RS256"' : undefined
    const verifier = verifierFor({ keys: keysOf(lineOf(pinned, algorithm)) })
    const passed = claimed.filter((alg) => {
      const code = judge(verifier, receivedWith(tokenOf({ algorithm, header: { alg } })))
      if (code !== 'authorized') expect([alg, code]).toEqual([alg, 'alg-not-allowed'])
      return code === 'authorized'
    })
    expect(passed).toEqual(fitting[algorithm])
  })

  it.each(keyed)('%s: an HMAC keyed with the public key, and no signature at all, are nothing', (algorithm) => {
    const key = privateKeyFor(algorithm)
    const spki = publicKeyOf(key).keyObject.export({ format: 'pem', type: 'spki' })
    const verifier = verifierFor({ keys: keysOf(lineOf(undefined, algorithm)) })
    for (const alg of ['HS256', 'none', algorithm]) {
      const input = tokenOf({ algorithm, key, header: { alg } }).split('.').slice(0, 2).join('.')
      const mac = createHmac('sha256', spki).update(input).digest('base64url')
      expect(judge(verifier, receivedWith(`${input}.${mac}`))).not.toBe('authorized')
      expect(judge(verifier, receivedWith(`${input}.`))).toBe('token-malformed')
    }
  })
})

describe('key ids', () => {
  const nul = String.fromCharCode(0)
  it.each([
    '../../../../etc/passwd',
    "' OR 1=1 --",
    '__proto__',
    'constructor',
    `${'A'.repeat(42)}${nul}`,
    'B'.repeat(43),
    '',
    null,
    7,
    ['A'.repeat(43)],
    { toString: 'A' },
  ])('%j is malformed', (kid) => {
    expect(judge(verifierFor(), receivedWith(tokenOf({ header: { kid } })))).toBe('token-malformed')
  })

  it('1 MB of it is oversize', () => {
    expect(judge(verifierFor(), receivedWith(tokenOf({ header: { kid: 'A'.repeat(1 << 20) } })))).toBe('token-oversize')
  })

  it('100,000 unknown ones leave nothing behind', () => {
    const verifier = verifierFor()
    const token = tokenOf({ key: OTHER_KEY })
    const [, claims, signature] = token.split('.')
    for (let n = 0; n < 100_000; n++) {
      const kid = `${n.toString().padStart(42, 'x')}A`
      const header = Buffer.from(`{"alg":"Ed25519","typ":"queueauth-v1+jwt","kid":"${kid}"}`).toString('base64url')
      if (judgeCode(verifier, `${header}.${claims}.${signature}`) !== 'key-unknown') expect.unreachable(kid)
    }
    expect(judge(verifier, GOOD)).toBe('authorized')
  })

  function judgeCode(verifier: Verifier, token: string): string {
    const result = verifier.check(receivedWith(token))
    return 'code' in result ? result.code : 'authorized'
  }
})
