import { afterEach, describe, expect, it, vi } from 'vitest'
import { ProofRoom } from '../../src/batch/proven-tree.ts'
import { ByteWriter } from '../../src/byte-writer.ts'
import { MAX_COVERED_OCTETS, MAX_COVERED_VALUES, MAX_HEADERS } from '../../src/covered-parts.ts'
import type { CoveredProperties, HeaderValue, ReceivedMessage } from '../../src/message.ts'
import { Signer } from '../../src/signer.ts'
import { judge, keysOf, MESSAGE, receivedWith, tokenOf, verifierFor } from './helpers.ts'
import { setupErrorOf } from './keys/helpers.ts'
import { Watched } from './watched.ts'

/** What is looked at of a message that was made to be dear to reject is counted; how long it takes is for the benchmark. */

const verifier = verifierFor()
const single = tokenOf()
const signer = Signer.generate('checkout')
const batchVerifier = verifierFor({
  keys: keysOf(signer.authorizedKeysLine('orders')),
  clock: { now: Date.now, monotonic: () => performance.now() },
})
const [batched = ''] = signer.signBatch([MESSAGE, MESSAGE, MESSAGE, MESSAGE])
const ways = [
  ['the token of one message', single, verifier],
  ['the token of a batch', batched, batchVerifier],
] as const

/** How many octets and texts were written for digests. */
function countWritten(): { octets: number } {
  const written = { octets: 0 }
  const { copy, latin1, text } = ByteWriter.prototype
  vi.spyOn(ByteWriter.prototype, 'copy').mockImplementation(function (this: ByteWriter, bytes) {
    written.octets += bytes.length
    copy.call(this, bytes)
  })
  vi.spyOn(ByteWriter.prototype, 'latin1').mockImplementation(function (this: ByteWriter, octets) {
    written.octets += octets.length
    latin1.call(this, octets)
  })
  vi.spyOn(ByteWriter.prototype, 'text').mockImplementation(function (this: ByteWriter, given) {
    written.octets += given.length
    return text.call(this, given)
  })
  return written
}

afterEach(() => vi.restoreAllMocks())

describe.each(ways)('%s, captured', (_, token, judging) => {
  const judged = (overrides: Partial<ReceivedMessage>): string => judge(judging, receivedWith(token, overrides))

  it('is good', () => {
    expect(judged({})).toBe('authorized')
  })

  it.each<[string, (watched: Watched) => HeaderValue]>([
    ['a table of 30,000 members', (watched) => watched.table(30_000)],
    ['a list of 30,000 items', (watched) => watched.list(new Array(30_000).fill('x'))],
    ['a table in a list in a table', (watched) => ({ a: [watched.table(30_000)] })],
    ['tables of 100 members, 300 of them', (watched) => Array.from({ length: 300 }, () => watched.table(100))],
  ])('a covered header or property that was replaced by %s is not read to its end', (_name, valueFor) => {
    for (const place of ['header', 'property']) {
      const watched = new Watched()
      const value = valueFor(watched)
      const headers = { ...MESSAGE.headers, tenant: value }
      const properties = { ...MESSAGE.properties, type: value } as CoveredProperties
      // judge() asks twice.
      expect(judged(place === 'header' ? { headers } : { properties })).toBe('headers-mismatch')
      expect(watched.reads).toBeLessThanOrEqual(2 * (4 * MAX_COVERED_VALUES + 4))
    }
  })

  it.each<[string, HeaderValue]>([
    ['text', 'x'.repeat(20_000_000)],
    ['text beyond ASCII', '\u20ac'.repeat(20_000_000)],
    ['bytes', new Uint8Array(20_000_000)],
    ['a list of texts', new Array(1000).fill('x'.repeat(100_000))],
    [
      'a table under long names',
      Object.fromEntries(Array.from({ length: 100 }, (_x, n) => ['n'.repeat(100_000) + n, 1])),
    ],
  ])('%s of many megabytes in a covered place is not digested', (_name, value) => {
    const written = countWritten()
    for (const overrides of [
      { headers: { ...MESSAGE.headers, tenant: value } },
      { properties: { ...MESSAGE.properties, messageId: value as string } },
      { properties: { ...MESSAGE.properties, key: value as string } },
    ]) {
      written.octets = 0
      expect(judged(overrides)).toBe('headers-mismatch')
      expect(written.octets).toBeLessThanOrEqual(2 * MAX_COVERED_OCTETS)
    }
  })

  it('100,000 headers that nobody signed are not looked through', () => {
    const watched = new Watched()
    const headers = watched.table(100_000)
    expect(judged({ headers })).toBe('headers-mismatch')
    expect(watched.reads).toBeLessThanOrEqual(2 * (2 * MAX_HEADERS + 4))
  })

  it('what somebody put on the prototype of all objects is no header of the message', () => {
    let code = ''
    Object.defineProperty(Object.prototype, 'queueauth-x', { value: 1, enumerable: true, configurable: true })
    try {
      code = judged({})
    } finally {
      Reflect.deleteProperty(Object.prototype, 'queueauth-x')
    }
    expect(code).toBe('authorized')
  })

  it('as many unsigned headers as there may be do no harm, and one more is refused', () => {
    const extra = (count: number): Record<string, HeaderValue> =>
      Object.fromEntries(Array.from({ length: count }, (_x, n) => [`x-extra-${n}`, n]))
    const room = MAX_HEADERS - Object.keys(MESSAGE.headers ?? {}).length
    expect(judged({ headers: { ...MESSAGE.headers, ...extra(room) } })).toBe('authorized')
    expect(judged({ headers: { ...MESSAGE.headers, ...extra(room + 1) } })).toBe('headers-mismatch')
  })
})

describe('the path of a batch', () => {
  const joins = (token: string): number => {
    const join = vi.spyOn(ProofRoom.prototype, 'join')
    expect(judge(batchVerifier, receivedWith(token))).toBe('proof-invalid')
    return join.mock.calls.length
  }
  const [jws = '', index = '', tail = ''] = batched.split('~')
  const place = Buffer.from(tail, 'base64url')

  it('that is too long or too short is not hashed at all', () => {
    const longest = Math.floor(((8192 - jws.length - 3) * 3) / 4 / 32) - 1
    for (const siblings of [0, 1, 3, 100, longest]) {
      const path = Buffer.concat([place.subarray(0, 16), Buffer.alloc(32 * siblings, 7)])
      expect(joins(`${jws}~${index}~${path.toString('base64url')}`)).toBe(0)
    }
  })

  it('of the right length is hashed once a level at most', () => {
    const path = Buffer.concat([place.subarray(0, 16), Buffer.alloc(64, 7)])
    // judge() asks twice.
    expect(joins(`${jws}~${index}~${path.toString('base64url')}`)).toBeLessThanOrEqual(4)
  })
})

describe('claims and headers of many levels', () => {
  it('are not parsed, and so not written again', () => {
    const deep = `{"a":${'['.repeat(2500)}${']'.repeat(2500)}}`
    const tokens = [tokenOf({ claims: deep }), tokenOf({ header: deep, claims: '{}' })]
    const parse = vi.spyOn(JSON, 'parse')
    for (const token of tokens) expect(judge(verifier, receivedWith(token))).toBe('token-malformed')
    expect(parse.mock.calls.filter(([text]) => text.length > 1024).length).toBe(0)
  })
})

describe('what a verifier remembers of tokens', () => {
  it('is nothing of long headers, which anybody can make up', () => {
    const known = vi.spyOn(Map.prototype, 'set')
    const alg = 'x'.repeat(4000)
    expect(judge(verifier, receivedWith(tokenOf({ header: { alg } })))).toBe('alg-not-allowed')
    expect(known.mock.calls.filter(([key]) => typeof key === 'string' && key.length > 1000).length).toBe(0)
  })
})

describe('the signer', () => {
  it('refuses what no verifier would read, and names the header', () => {
    const sign = (headers: Record<string, HeaderValue>, properties: CoveredProperties = {}): unknown =>
      signer.sign({ ...MESSAGE, headers, properties })
    const attempts: [string, () => unknown][] = [
      ['x-rows', () => sign({ 'x-rows': new Watched().table(2000) })],
      ['x-rows', () => sign({ 'x-rows': new Array(2000).fill(1) })],
      ['x-blob', () => sign({ 'x-blob': 'x'.repeat(2_000_000) })],
      ['@key', () => sign({}, { key: new Uint8Array(2_000_000) })],
      [`${MAX_HEADERS} headers`, () => sign(new Watched().table(2000))],
    ]
    for (const [named, attempt] of attempts) {
      const error = setupErrorOf(attempt)
      expect(error?.code).toBe('header-unsupported')
      expect(error?.message).toContain(named)
    }
  })

  it('takes unsigned headers up to the limit, and counts none that is absent', () => {
    const traces = (count: number): Record<string, HeaderValue> =>
      Object.fromEntries(Array.from({ length: count }, (_x, n) => [`x-b3-${n}`, n]))
    const sign = (headers: Record<string, HeaderValue>): unknown => signer.sign({ ...MESSAGE, headers })
    expect(setupErrorOf(() => sign({ ...traces(MAX_HEADERS), none: undefined, queueauth: 'x' }))).toBeUndefined()
    expect(setupErrorOf(() => sign(traces(MAX_HEADERS + 1)))?.code).toBe('header-unsupported')
  })
})
