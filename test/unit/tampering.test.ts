import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { publicKeyOf } from '../../src/keys/public-key.ts'
import type { CoveredProperties, HeaderValue, ReceivedMessage } from '../../src/message.ts'
import { claimsOf, judge, MESSAGE, receivedWith, tokenOf, verifierFor } from './helpers.ts'
import { privateKeyFor } from './keys/helpers.ts'

const verifier = verifierFor()
const token = tokenOf()
const bytesOf = (text: string): Buffer => Buffer.from(text)

/** Every copy of some bytes with one bit turned. */
function* flips(bytes: Uint8Array): Generator<Buffer> {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const copy = Buffer.from(bytes)
    copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7))
    yield copy
  }
}

function codesOf(messages: Iterable<ReceivedMessage>): string[] {
  return [...new Set([...messages].map((message) => judge(verifier, message)))].sort()
}

describe('one bit turned', () => {
  it('in the token', () => {
    const codes = codesOf([...flips(bytesOf(token))].map((changed) => receivedWith(changed)))
    expect(codes).not.toContain('authorized')
    expect(codes).toEqual(expect.arrayContaining(['key-unknown', 'signature-invalid', 'token-malformed']))
    // As a string, too: a client may decode bytes as UTF-8.
    expect(codesOf([...flips(bytesOf(token))].map((changed) => receivedWith(changed.toString())))).not.toContain(
      'authorized',
    )
  })

  it('in the body', () => {
    const changed = [...flips(MESSAGE.payload as Uint8Array)].map((payload) => receivedWith(token, { payload }))
    expect(codesOf(changed)).toEqual(['body-mismatch'])
  })

  it('in a header or property, its name or its value', () => {
    const changed: ReceivedMessage[] = []
    const headers = MESSAGE.headers as Record<string, HeaderValue>
    for (const value of flips(bytesOf('acme')))
      changed.push(receivedWith(token, { headers: { ...headers, tenant: value } }))
    for (const name of flips(bytesOf('tenant'))) {
      const { tenant, ...rest } = headers
      changed.push(receivedWith(token, { headers: { ...rest, [name.toString('latin1')]: tenant } }))
    }
    for (const type of flips(bytesOf('order')))
      changed.push(receivedWith(token, { properties: { ...MESSAGE.properties, type } }))
    for (const value of [0, 2, '1', true, null, -1])
      changed.push(receivedWith(token, { headers: { ...headers, 'x-attempt': value } }))
    expect(codesOf(changed)).toEqual(['headers-mismatch'])
  })

  it('a body cut off, made longer, emptied, or taken away', () => {
    const payload = MESSAGE.payload as Buffer
    const bodies = [
      payload.subarray(1),
      payload.subarray(0, -1),
      Buffer.concat([payload, Buffer.of(0)]),
      Buffer.alloc(0),
      null,
    ]
    expect(codesOf(bodies.map((body) => receivedWith(token, { payload: body })))).toEqual(['body-mismatch'])
  })

  it('values swapped between headers, and between properties', () => {
    const swapped: CoveredProperties = { type: 'm-1', messageId: 'order' }
    expect(codesOf([receivedWith(token, { properties: swapped })])).toEqual(['headers-mismatch'])
    expect(codesOf([receivedWith(token, { headers: { tenant: 1, 'x-attempt': 'acme' } })])).toEqual([
      'headers-mismatch',
    ])
  })
})

describe('the JSON text, changed and signed again with the right key', () => {
  const header = { alg: 'Ed25519', typ: 'queueauth-v1+jwt', kid: publicKeyOf(privateKeyFor('Ed25519')).keyId }
  const texts = { header: JSON.stringify(header), claims: JSON.stringify(claimsOf()) }
  const PIECES = [
    ' ',
    '\n',
    '\t',
    ',',
    ':',
    '"',
    '\\',
    '\\u0061',
    '\\/',
    '{',
    '}',
    '[',
    ']',
    '0',
    '1',
    '.0',
    'e0',
    'E+1',
    '-',
    'null',
    'true',
    '\ufeff',
    '\0',
    'é',
    '"a":1,',
    ',"iss":"etl"',
    '"exp":1,',
    '"hs":[],',
    '/**/',
  ]

  type Edit = readonly [at: number, remove: number, piece: string]
  const edit: fc.Arbitrary<Edit> = fc.tuple(
    fc.nat(1000),
    fc.integer({ min: 0, max: 3 }),
    fc.constantFrom('', ...PIECES),
  )
  const edited = (text: string, edits: readonly Edit[]): string =>
    edits.reduce((sofar, [at, remove, piece]) => {
      const start = at % (sofar.length + 1)
      return sofar.slice(0, start) + piece + sofar.slice(start + remove)
    }, text)

  it.each(['header', 'claims'] as const)('%s: only what means the same in the same spelling passes', (part) => {
    let passed = 0
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        const text = edited(texts[part], edits)
        const code = judge(verifier, receivedWith(tokenOf({ [part]: text })))
        if (code !== 'authorized') return
        passed++
        expect(means(text, part)).toBe(true)
      }),
      { numRuns: 800 },
    )
    expect(passed).toBeLessThan(800)
  })

  /** Every claim but those that nothing but the signature binds (time and id) must be as it was. */
  function means(text: string, part: 'header' | 'claims'): boolean {
    const now = JSON.parse(text) as Record<string, unknown>
    if (JSON.stringify(now) !== text) return false
    const was = JSON.parse(texts[part]) as Record<string, unknown>
    const free = part === 'claims' ? { iat: now.iat, jti: now.jti } : {}
    const sorted = (members: Record<string, unknown>): string => JSON.stringify(Object.entries(members).sort())
    return sorted({ ...was, ...free }) === sorted(now) && Object.keys(was).length === Object.keys(now).length
  }
})
