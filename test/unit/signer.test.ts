import { hash, type KeyObject } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ALGORITHMS, type Algorithm } from '../../src/keys/algorithms.ts'
import type { HeaderValue, Message, ReceivedMessage } from '../../src/message.ts'
import { Signer, type SignerOptions } from '../../src/signer.ts'
import { MAX_TOKEN_LENGTH } from '../../src/token.ts'
import { Verifier } from '../../src/verifier.ts'
import { judge, keysOf, MESSAGE } from './helpers.ts'
import { codeOf, privateKeyFor, setupErrorOf } from './keys/helpers.ts'

const signerFor = (algorithm: Algorithm, options: Partial<SignerOptions> = {}): Signer =>
  Signer.fromKey(privateKeyFor(algorithm), {
    service: 'checkout',
    ...(algorithm === 'RS256' && { algorithm }),
    ...options,
  })
const signer = signerFor('Ed25519')
const claimsIn = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as Record<string, unknown>
const signHeaders = (headers: Record<string, HeaderValue>, by = signer): string => by.sign({ ...MESSAGE, headers })

function received(message: Message, token: string, overrides: Partial<ReceivedMessage> = {}): ReceivedMessage {
  const { destination, payload, properties = {}, headers = {} } = message
  return { queue: 'orders', deliveredBy: [destination], token, payload, properties, headers, ...overrides }
}

describe('signer and verifier', () => {
  it.each(ALGORITHMS)('%s: what one signs the other accepts, through the line the signer prints', (algorithm) => {
    const own = signerFor(algorithm)
    const verifier = new Verifier({ keys: keysOf(own.authorizedKeysLine('orders,**')) })
    const sender = verifier.verify(received(MESSAGE, own.sign(MESSAGE))).sender
    expect(sender).toMatchObject({
      service: 'checkout',
      keyId: own.keyId,
      fingerprint: own.fingerprint,
      destination: MESSAGE.destination,
    })
    expect(own.algorithm).toBe(algorithm)
    expect(sender.issuedAt.getTime() % 1000).toBe(0)
  })

  it('agree about any headers, properties and bodies', () => {
    const verifier = new Verifier({ keys: keysOf(signer.authorizedKeysLine('**')) })
    const text = fc.string({ unit: 'binary', maxLength: 8 }).filter((value) => value.isWellFormed())
    const leaf = fc.oneof(
      text,
      fc.uint8Array({ maxLength: 8 }),
      fc.boolean(),
      fc.constant(null),
      fc.maxSafeInteger(),
      fc.constant(undefined),
    )
    const value = fc.oneof(
      leaf,
      fc.array(text, { maxLength: 3 }),
      fc.dictionary(text, leaf, { maxKeys: 3 }),
    ) as fc.Arbitrary<HeaderValue>
    const headers = fc.dictionary(fc.stringMatching(/^h[!#-[\]-~]{0,9}$/), value, { maxKeys: 6 })
    const properties = fc.record({ key: text, type: text, replyTo: fc.uint8Array(), appId: text }, { requiredKeys: [] })
    fc.assert(
      fc.property(headers, properties, fc.option(fc.uint8Array({ maxLength: 64 })), (table, props, payload) => {
        const message: Message = { destination: 'kafka:orders', payload, properties: props, headers: table }
        expect(judge(verifier, received(message, signer.sign(message)))).toBe('authorized')
      }),
    )
  })

  it('a covered header that was absent cannot be added, nor a property', () => {
    const verifier = new Verifier({ keys: keysOf(signer.authorizedKeysLine('**')) })
    const token = signer.sign(MESSAGE)
    for (const name of ['key', 'contentType', 'contentEncoding', 'replyTo', 'correlationId', 'appId']) {
      const properties = { ...MESSAGE.properties, [name]: '' }
      expect([name, judge(verifier, received(MESSAGE, token, { properties }))]).toEqual([name, 'headers-mismatch'])
    }
    const { tenant: _, ...rest } = MESSAGE.headers as Record<string, HeaderValue>
    expect(judge(verifier, received(MESSAGE, token, { headers: rest }))).toBe('headers-mismatch')
    expect(judge(verifier, received(MESSAGE, token, { headers: { ...rest, Tenant: 'acme' } }))).toBe('headers-mismatch')
    const unsigned = { ...MESSAGE.headers, traceparent: '00-', priority: 1 }
    expect(verifier.verify(received(MESSAGE, token, { headers: unsigned })).coveredHeaders).toEqual([
      'tenant',
      'x-attempt',
    ])
    for (const name of ['queueauth-reason', 'queueauth', 'QueueAuth-X']) {
      expect(judge(verifier, received(MESSAGE, token, { headers: { ...MESSAGE.headers, [name]: 'x' } }))).toBe(
        'headers-mismatch',
      )
    }
  })
})

describe('sign', () => {
  it('leaves deeply frozen input as it is, and reads no token that is there already', () => {
    const frozen: Message = deepFreeze({
      destination: 'amqp:orders/x',
      payload: null,
      properties: { type: 'a' },
      headers: { list: ['a', { b: 1 }], table: { z: [1] }, queueauth: 'an old token', none: undefined },
    })
    const before = JSON.stringify(frozen)
    expect(claimsIn(signer.sign(frozen)).hs).toEqual(['list', 'table'])
    expect(JSON.stringify(frozen)).toBe(before)
  })

  it('gives every message an id of its own, 22 characters', () => {
    const ids = new Set(Array.from({ length: 1000 }, () => claimsIn(signer.sign(MESSAGE)).jti as string))
    expect(ids.size).toBe(1000)
    expect([...ids].every((id) => /^[A-Za-z0-9_-]{22}$/.test(id))).toBe(true)
  })

  it('writes claims that say what was sent', () => {
    const before = Math.floor(Date.now() / 1000)
    const claims = claimsIn(signerFor('Ed25519', { expiresInSeconds: 30 }).sign(MESSAGE))
    expect(Object.keys(claims)).toEqual(['iss', 'aud', 'iat', 'jti', 'bh', 'hh', 'hs', 'exp'])
    expect(claims).toMatchObject({ iss: 'checkout', aud: MESSAGE.destination, hs: ['tenant', 'x-attempt'] })
    expect(claims.bh).toBe(hash('sha256', MESSAGE.payload as Uint8Array, 'base64url'))
    expect(claims.iat).toBeGreaterThanOrEqual(before)
    expect(claims.exp).toBe((claims.iat as number) + 30)
    const bare = claimsIn(signer.sign({ destination: 'kafka:t', payload: null, headers: { traceparent: 'x' } }))
    expect(bare.bh).toBeNull()
    expect(bare).not.toHaveProperty('hs')
    expect(bare).not.toHaveProperty('exp')
  })

  it('covers every header but tracing, copies, the broker\u2019s own and what was asked', () => {
    const unsigned = [
      'traceparent',
      'baggage',
      'x-b3-traceid',
      'CC',
      'BCC',
      'x-death',
      'x-first-death-queue',
      'x-opt-to',
      'x-delay',
      'x-mine-1',
      'mine',
    ]
    const covered = ['Traceparent', 'b33', 'cc', 'mine-too', 'x-deaths', 'x-mine']
    const own = signerFor('Ed25519', { unsignedHeaders: ['x-mine-*', 'mine'] })
    const table = Object.fromEntries([...unsigned, ...covered].map((name) => [name, 'x']))
    expect(claimsIn(signHeaders(table, own)).hs).toEqual(covered.toSorted())
  })

  it.each([
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '',
    'a b',
    'a"b',
    'a\\b',
    'é',
    'a\n',
    'a'.repeat(129),
  ])('header name %j is refused and named', (name) => {
    const table = Object.assign(Object.create(null), { [name]: 'x' }) as Record<string, HeaderValue>
    if (name === '__proto__') Object.defineProperty(table, name, { value: 'x', enumerable: true })
    expect(Object.keys(table)).toEqual([name])
    expect(codeOf(() => signHeaders(table))).toBe('header-unsupported')
  })

  it.each(['queueauth-reason', 'QueueAuth', 'queueauth-'])(
    'header name %s is reserved, also where it is listed as unsigned',
    (name) => {
      expect(codeOf(() => signHeaders({ [name]: 'x' }))).toBe('header-reserved')
      expect(
        codeOf(() => signHeaders({ [name]: 'x' }, signerFor('Ed25519', { unsignedHeaders: ['queueauth*', 'Queue*'] }))),
      ).toBe('header-reserved')
      expect(codeOf(() => signHeaders({ [name]: undefined }))).toBeUndefined()
    },
  )

  it('covers 32 headers and refuses 33; the longest of everything still fits into a token', () => {
    const table = (count: number, length: number): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`${n + 10}`.padEnd(length, 'x'), 'v']))
    expect(claimsIn(signHeaders(table(32, 2))).hs).toHaveLength(32)
    expect(codeOf(() => signHeaders(table(33, 2)))).toBe('header-unsupported')
    expect(signHeaders(table(32, 128)).length).toBeLessThanOrEqual(MAX_TOKEN_LENGTH)
    const long: Message = { destination: `amqp:${'a'.repeat(1019)}`, payload: null, headers: table(32, 128) }
    const longest = signerFor('RS256', { service: 'a'.repeat(128), expiresInSeconds: 1 })
    expect(longest.sign(long).length).toBeLessThanOrEqual(MAX_TOKEN_LENGTH)
  })

  it('names the header whose value it cannot sign, and does not show the value', () => {
    const error = setupErrorOf(() => signHeaders({ 'x-when': { at: new Date('2001-02-03') } as never }))
    expect(error?.code).toBe('header-unsupported')
    expect(error?.message).toContain('x-when')
    expect(error?.message).not.toContain('2001')
  })

  it.each(['', 'orders', 'amqp:a b', 'amqp:%2f', `amqp:${'a'.repeat(1020)}`])(
    'destination %j is refused',
    (destination) => {
      expect(codeOf(() => signer.sign({ ...MESSAGE, destination }))).toBe('destination-invalid')
    },
  )
})

describe('setting up', () => {
  it.each<[string, Partial<SignerOptions>, string]>([
    ['a service that is no name', { service: 'check out' }, 'service-invalid'],
    ['no service', { service: undefined as never }, 'service-invalid'],
    ['no time to expire', { expiresInSeconds: 0 }, 'option-invalid'],
    ['half a second', { expiresInSeconds: 0.5 }, 'option-invalid'],
    ['a deadline beyond safe integers', { expiresInSeconds: Number.MAX_SAFE_INTEGER }, 'option-invalid'],
    ['an algorithm of another type of key', { algorithm: 'ES256' }, 'option-invalid'],
    ['a star in the middle', { unsignedHeaders: ['x-*-y'] }, 'option-invalid'],
  ])('%s is refused', (_, options, code) => {
    expect(codeOf(() => signerFor('Ed25519', options))).toBe(code)
  })

  it('reads a key file, and generates keys that differ', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'signer-'))
    try {
      const path = join(directory, 'key.pem')
      const pem = (privateKeyFor('Ed25519') as KeyObject).export({
        format: 'pem',
        type: 'pkcs8',
        cipher: 'aes-256-cbc',
        passphrase: 'open',
      })
      writeFileSync(path, pem)
      chmodSync(path, 0o600)
      const fromFile = await Signer.fromFile(path, { service: 'checkout', passphrase: 'open' })
      expect(fromFile.keyId).toBe(signer.keyId)
    } finally {
      rmSync(directory, { recursive: true })
    }
    expect(Signer.generate('a').keyId).not.toBe(Signer.generate('a').keyId)
  })

  it.each(['', 'a b', 'a"b', 'a\nb'])('queues %j make no line', (queues) => {
    expect(codeOf(() => signer.authorizedKeysLine(queues))).toBe('option-invalid')
  })
})

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const member of Object.values(value)) deepFreeze(member)
  return Object.freeze(value)
}
