import { createPublicKey } from 'node:crypto'
import { compactVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { AuthorizedKeys } from '../../../src/authorized-keys/authorized-keys.ts'
import { SYSTEM_CLOCK } from '../../../src/clock.ts'
import { publicKeyOf } from '../../../src/keys/public-key.ts'
import type { Message } from '../../../src/message.ts'
import { Signer } from '../../../src/signer.ts'
import { MAX_BATCH_SIZE } from '../../../src/token.ts'
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
} from '../helpers.ts'
import { privateKeyFor } from '../keys/helpers.ts'
import { batchOf, leafHash, leafOf, pathOf, placeOf, rootOf, saltOf, sharedOf } from './hand-made.ts'

const messagesOf = (count: number): Message[] =>
  Array.from({ length: count }, (_, index) => ({ ...MESSAGE, payload: Buffer.from(`{"order":${index}}`) }))

const hashesOf = (messages: readonly Message[]): Buffer[] =>
  messages.map((message, index) => leafHash(leafOf(saltOf(index), message)))

const bodyOf = (index: number): { payload: Buffer } => ({ payload: Buffer.from(`{"order":${index}}`) })

describe('tokens of a batch', () => {
  it.each([1, 2, 3, 5, 8, 33, 100])('made by hand, %i of them, are good', (size) => {
    const verifier = verifierFor()
    const codes = batchOf(messagesOf(size)).map((token, index) => judge(verifier, receivedWith(token, bodyOf(index))))
    expect(new Set(codes)).toEqual(new Set(['authorized']))
  })

  it.each(['Ed25519', 'ES256', 'ES384', 'PS256'] as const)('signed with %s', (algorithm) => {
    const verifier = verifierFor({ keys: keysOf(lineOf(undefined, algorithm)) })
    const tokens = batchOf(messagesOf(3), { algorithm })
    expect(tokens.map((token, index) => judge(verifier, receivedWith(token, bodyOf(index))))).toEqual(
      Array(3).fill('authorized'),
    )
  })

  it('have ids of their own', () => {
    const verifier = verifierFor()
    const ids = batchOf(messagesOf(3)).map(
      (token, index) => verifier.verify(receivedWith(token, bodyOf(index))).sender.tokenId,
    )
    expect(ids).toEqual([0, 1, 2].map((index) => `AAAAAAAAAAAAAAAAAAAAAA.${index}`))
  })

  it('cover a body that is empty and one that is none', () => {
    const bodies = [Buffer.alloc(0), null, Buffer.from('x')]
    const tokens = batchOf(bodies.map((payload) => ({ ...MESSAGE, payload })))
    const codes = tokens.map((token) =>
      bodies.map((payload) => judge(verifierFor(), receivedWith(token, { payload })) === 'authorized'),
    )
    expect(codes).toEqual([
      [true, false, false],
      [false, true, false],
      [false, false, true],
    ])
  })

  it('begin with a JWS that any library verifies', async () => {
    const [token = ''] = batchOf(messagesOf(4))
    const key = createPublicKey(privateKeyFor('Ed25519'))
    const { payload, protectedHeader } = await compactVerify(token.slice(0, token.indexOf('~')), key)
    expect(protectedHeader.typ).toBe('queueauth-batch-v1+jwt')
    expect(JSON.parse(Buffer.from(payload).toString())).toMatchObject({ iss: 'checkout', n: 4 })
  })
})

/** Each with and without the batch's root and nodes in the cache. */
describe.each(['unknown', 'known'])('a batch that is %s', (cache) => {
  const SIZE = 5
  const messages = messagesOf(SIZE)
  const tokens = batchOf(messages)
  const hashes = hashesOf(messages)
  const shared = (tokens[0] as string).split('~')[0] as string
  const place = (index: number, path = pathOf(index, hashes), salt = saltOf(index)): string =>
    placeOf(index, salt, path)
  const foreign = hashesOf(messagesOf(SIZE + 3)).slice(3)

  const verdict = (token: unknown, overrides = bodyOf(2)): string => {
    const verifier = verifierFor()
    if (cache === 'known') {
      for (const [index, good] of tokens.entries()) {
        expect(judge(verifier, receivedWith(good, bodyOf(index)))).toBe('authorized')
      }
    }
    const code = judge(verifier, receivedWith(token, overrides))
    // Whatever was tried, the batch is as good as before.
    for (const [index, good] of tokens.entries()) {
      expect(judge(verifier, receivedWith(good, bodyOf(index)))).toBe('authorized')
    }
    return code
  }

  const path = pathOf(2, hashes)
  it.each<[what: string, place: string]>([
    ['the place of another message', place(3)],
    ['another index', placeOf(3, saltOf(2), path)],
    ['an index whose path is shorter', placeOf(4, saltOf(2), path)],
    ['another salt', place(2, path, saltOf(7))],
    ['a path that is too short', place(2, path.slice(1))],
    ['a path that ends too early', place(2, path.slice(0, -1))],
    ['no path', place(2, [])],
    ['a path that is too long', place(2, [...path, rootOf(hashes)])],
    ['a path with its elements swapped', place(2, path.toReversed())],
    ['a path with a foreign element', place(2, path.with(0, foreign[1] as Buffer))],
    ['the path of a foreign batch', place(2, pathOf(2, foreign))],
    ['the root as its path', place(2, [rootOf(hashes)])],
  ])('%s', (_, bad) => {
    expect(verdict(`${shared}~${bad}`)).toBe('proof-invalid')
  })

  it.each<[what: string, place: string]>([
    ['an index past the end', placeOf(5, saltOf(2), path)],
    ['an index far past the end', placeOf(1023, saltOf(2), path)],
    ['an index with a leading zero', place(2).replace('2~', '02~')],
    ['a negative index', place(2).replace('2~', '-2~')],
    ['an index with a sign', place(2).replace('2~', '+2~')],
    ['an index in another notation', place(2).replace('2~', '2e0~')],
    ['an index in other digits', place(2).replace('2~', '２~')],
    ['no index', place(2).replace('2~', '~')],
    ['no second tilde', place(2).replace('~', '')],
    ['a third tilde', `${place(2)}~`],
    ['padding', `${place(2)}=`],
    ['half a hash', place(2, [...path, Buffer.alloc(16)])],
    ['half a salt', place(2, path, saltOf(2).subarray(0, 8))],
    ['nothing', ''],
    ['stray bits at the end', `${place(2).slice(0, -1)}B`],
  ])('%s', (_, bad) => {
    expect(verdict(`${shared}~${bad}`)).toBe('token-malformed')
  })

  it('takes no token of a message for one of a batch, and the reverse', () => {
    expect(verdict(shared)).toBe('token-malformed')
    expect(verdict(`${shared}~`)).toBe('token-malformed')
    expect(verdict(`${tokenOf()}~${place(2)}`)).toBe('token-malformed')
    expect(verdict(`${tokenOf()}~0~${saltOf(0).toString('base64url')}`)).toBe('token-malformed')
    expect(verdict(tokenOf({ header: { typ: 'queueauth-batch-v1+jwt' } }))).toBe('token-malformed')
    expect(verdict(`${sharedOf(messages, rootOf(hashes), { header: { typ: 'queueauth-v1+jwt' } })}~${place(2)}`)).toBe(
      'token-malformed',
    )
    expect(
      verdict(`${sharedOf(messages, rootOf(hashes), { header: { typ: 'queueauth-batch-v2+jwt' } })}~${place(2)}`),
    ).toBe('version-unsupported')
  })

  it('takes no root for another', () => {
    expect(verdict(`${sharedOf(messages, rootOf(foreign))}~${place(2)}`)).toBe('proof-invalid')
    const [header, claims, signature] = shared.split('.') as [string, string, string]
    const text = Buffer.from(claims, 'base64url').toString()
    const swapped = text.replace(/"mr":"[^"]*"/, `"mr":"${rootOf(foreign).toString('base64url')}"`)
    expect(
      verdict(`${header}.${Buffer.from(swapped).toString('base64url')}.${signature}~${place(2, pathOf(2, foreign))}`),
    ).toBe('signature-invalid')
    const wider = text.replace('"n":5', '"n":6')
    expect(verdict(`${header}.${Buffer.from(wider).toString('base64url')}.${signature}~${place(2)}`)).toBe(
      'signature-invalid',
    )
  })

  it('takes no last leaf twice', () => {
    const three = hashes.slice(0, 3)
    const doubled = rootOf([...three, three[2] as Buffer])
    const path = pathOf(2, [...three, three[2] as Buffer])
    expect(verdict(`${sharedOf(messages.slice(0, 3), doubled)}~${place(2, path)}`)).toBe('proof-invalid')
    expect(verdict(`${sharedOf(messages.slice(0, 3), doubled)}~${placeOf(3, saltOf(2), path)}`)).toBe('token-malformed')
    expect(verdict(`${sharedOf(messages.slice(0, 3), rootOf(three))}~${place(2, path)}`)).toBe('proof-invalid')
  })

  it('takes no node for a leaf', () => {
    const pair = rootOf(hashes.slice(0, 2))
    expect(verdict(`${sharedOf(messages.slice(0, 2), rootOf([pair, hashes[2] as Buffer]))}~${place(1, [pair])}`)).toBe(
      'proof-invalid',
    )
  })

  it.each([0, -1, MAX_BATCH_SIZE + 1, 2 ** 31, 1.5, '5', null])('n: %s is no size', (n) => {
    expect(verdict(`${sharedOf(messages, rootOf(hashes), { claims: { n } })}~${place(2)}`)).toBe('token-malformed')
  })

  it.each([3, 4, 16, MAX_BATCH_SIZE])('n: %i is not its size', (n) => {
    expect(verdict(`${sharedOf(messages, rootOf(hashes), { claims: { n } })}~${place(2)}`)).toBe('proof-invalid')
  })

  it.each([
    { bh: null },
    { hh: 'A'.repeat(43) },
    { mr: undefined },
    { n: undefined },
    { mr: 'A' },
    { nbf: 1 },
    { iss: '' },
  ])('claims with %j are malformed', (claims) => {
    expect(verdict(`${sharedOf(messages, rootOf(hashes), { claims })}~${place(2)}`)).toBe('token-malformed')
  })

  it.each([0, 1, 2, 3, 4])('every rule for a message holds at place %i', (index) => {
    const token = tokens[index] as string
    const good = receivedWith(token, bodyOf(index))
    const codeOf = (changed: object): string => verdict(token, { ...good, ...changed } as never)
    expect(codeOf({})).toBe('authorized')
    expect(codeOf({ payload: Buffer.from('{"order":9}') })).toBe('proof-invalid')
    expect(codeOf({ payload: null })).toBe('proof-invalid')
    expect(codeOf({ payload: messages[(index + 1) % SIZE]?.payload })).toBe('proof-invalid')
    expect(codeOf({ headers: { ...good.headers, tenant: 'other' } })).toBe('proof-invalid')
    expect(codeOf({ headers: { 'x-attempt': 1 } })).toBe('proof-invalid')
    expect(codeOf({ headers: { ...good.headers, 'queueauth-reason': 'x' } })).toBe('headers-mismatch')
    expect(codeOf({ properties: { ...good.properties, replyTo: 'here' } })).toBe('proof-invalid')
    expect(codeOf({ deliveredBy: ['amqp:orders/order.deleted'] })).toBe('destination-mismatch')
    expect(codeOf({ queue: 'payments' })).toBe('queue-not-authorized')
    const turned = Buffer.from(token)
    turned[40] = (turned[40] as number) ^ 1
    expect(['token-malformed', 'key-unknown', 'signature-invalid']).toContain(codeOf({ token: turned }))
  })

  it.each<[code: string, draft: object]>([
    ['service-mismatch', { claims: { iss: 'etl' } }],
    ['age-exceeded', { claims: { iat: NOW - 604_801 } }],
    ['issued-in-future', { claims: { iat: NOW + 61 } }],
    ['message-expired', { claims: { exp: NOW - 1 } }],
    ['key-unknown', { key: privateKeyFor('ES256'), algorithm: 'ES256' }],
  ])('%s', (code, draft) => {
    const bad = batchOf(messages, draft)
    expect(bad.map((token, index) => verdict(token, bodyOf(index)))).toEqual(Array(SIZE).fill(code))
  })
})

describe('a batch whose signature was seen to be good', () => {
  const messages = messagesOf(4)
  const tokens = batchOf(messages, { claims: { exp: NOW + 10 } })
  const good = tokens.map((token, index) => receivedWith(token, bodyOf(index)))

  it('is judged again by new keys', () => {
    const keys = new ChangingKeys(keysOf(lineOf()))
    const verifier = verifierFor({ keys })
    const codes = [judge(verifier, good[0] as never)]
    keys.use(AuthorizedKeys.parse(lineOf(), { revokedKeys: `kid:${publicKeyOf(privateKeyFor('Ed25519')).keyId}` }))
    codes.push(judge(verifier, good[1] as never))
    keys.use(keysOf(lineOf('queues="payments"')))
    codes.push(judge(verifier, good[1] as never))
    keys.use(keysOf(lineOf(undefined, 'ES256')))
    codes.push(judge(verifier, good[2] as never))
    keys.use(undefined)
    codes.push(judge(verifier, good[3] as never))
    keys.use(keysOf(lineOf()))
    codes.push(judge(verifier, good[3] as never))
    expect(codes).toEqual([
      'authorized',
      'key-revoked',
      'queue-not-authorized',
      'key-unknown',
      'keys-unavailable',
      'authorized',
    ])
  })

  it('runs out with time', () => {
    const clock = new ManualClock()
    const verifier = verifierFor({ clock })
    expect(judge(verifier, good[0] as never)).toBe('authorized')
    clock.advance(11)
    expect(good.map((message) => judge(verifier, message))).toEqual(Array(4).fill('message-expired'))
  })
})

describe('Signer.signBatch', () => {
  const signer = Signer.generate('checkout')
  const keys = AuthorizedKeys.parse(signer.authorizedKeysLine('orders'))
  const codesOf = (
    messages: readonly Message[],
    tokens: readonly string[],
    verifier = verifierFor({ keys, clock: SYSTEM_CLOCK }),
  ) =>
    messages.map(({ destination, ...message }, index) =>
      judge(verifier, { ...message, queue: 'orders', deliveredBy: [destination], token: tokens[index] }),
    )

  it('batches of every size from 1 to 300', () => {
    const verifier = verifierFor({ keys, clock: SYSTEM_CLOCK })
    const wrong: number[] = []
    for (let size = 1; size <= 300; size++) {
      const messages = messagesOf(size)
      const codes = codesOf(messages, signer.signBatch(messages), verifier)
      if (codes.some((code) => code !== 'authorized')) wrong.push(size)
    }
    expect(wrong).toEqual([])
  })

  it('groups by destination and covered headers, at most 1024, and keeps the order', () => {
    const kinds: Partial<Message>[] = [
      {},
      { destination: 'amqp:orders/order.deleted' },
      { headers: {} },
      { headers: { tenant: 'beta', 'x-attempt': 1 } },
    ]
    const messages = messagesOf(4 * 1100).map((message, index) => ({ ...message, ...kinds[index % 4] }))
    const tokens = signer.signBatch([...messages, { ...MESSAGE, destination: 'amqp:orders/alone' }])
    expect(new Set(codesOf(messages, tokens))).toEqual(new Set(['authorized']))
    // 2200 with the same names in three batches, 1100 elsewhere and 1100 with no headers in two each, one alone
    expect(new Set(tokens.map((token) => token.split('~')[0])).size).toBe(3 + 2 + 2 + 1)
    expect(tokens.at(-1)).not.toContain('~')
  })

  it('gives none for none, and a plain token to one', () => {
    expect(signer.signBatch([])).toEqual([])
    const tokens = signer.signBatch([MESSAGE])
    expect(tokens[0]).not.toContain('~')
    expect(codesOf([MESSAGE], tokens)).toEqual(['authorized'])
    const nothing = { ...MESSAGE, payload: null }
    expect(codesOf([nothing], signer.signBatch([nothing]))).toEqual(['authorized'])
  })

  it('reads a message when it is prepared', () => {
    const payload = Buffer.from('{"order":1}')
    const headers = { tenant: 'acme' }
    const prepared = [signer.prepare({ ...MESSAGE, payload, headers }), signer.prepare(MESSAGE)]
    payload.fill(0)
    headers.tenant = 'other'
    const messages = [{ ...MESSAGE, headers: { tenant: 'acme' } }, MESSAGE]
    expect(codesOf(messages, signer.signPrepared(prepared))).toEqual(['authorized', 'authorized'])
  })

  it('signs alone what has too many names for a batch', () => {
    const headers = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [`x-${index}-${'n'.repeat(110)}`, index]),
    )
    const messages = [1, 2].map((order) => ({ ...MESSAGE, headers, payload: Buffer.from(`${order}`) }))
    const tokens = signer.signBatch(messages)
    expect(tokens.map((token) => token.includes('~'))).toEqual([false, false])
    expect(codesOf(messages, tokens)).toEqual(['authorized', 'authorized'])
  })

  it('signs nothing when one cannot be signed', () => {
    expect(() => signer.signBatch([MESSAGE, { ...MESSAGE, destination: 'nowhere' }])).toThrow(
      expect.objectContaining({ code: 'destination-invalid' }),
    )
    expect(() => signer.prepare({ ...MESSAGE, headers: { 'queueauth-reason': 'x' } })).toThrow(
      expect.objectContaining({ code: 'header-reserved' }),
    )
  })

  it('has a deadline for all', () => {
    const key = privateKeyFor('ES256')
    const hasty = Signer.fromKey(key, { service: 'checkout', expiresInSeconds: 60 })
    const verifier = verifierFor({
      keys: AuthorizedKeys.parse(hasty.authorizedKeysLine('orders')),
      clock: SYSTEM_CLOCK,
    })
    const token = hasty.signBatch(messagesOf(2))[1] as string
    const { expiresAt, sender } = verifier.verify(receivedWith(token, bodyOf(1)))
    expect(expiresAt).toBe(sender.issuedAt.getTime() + 60_000)
  })
})
