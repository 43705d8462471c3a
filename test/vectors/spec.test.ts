import { hash, type JsonWebKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { AuthorizedKeys } from '../../src/authorized-keys/authorized-keys.ts'
import { digestParts } from '../../src/covered-parts.ts'
import { readPrivateKey } from '../../src/keys/private-key.ts'
import { publicKeyOf, readPublicKey } from '../../src/keys/public-key.ts'
import { signData } from '../../src/keys/signatures.ts'
import type { CoveredProperties, Headers, HeaderValue } from '../../src/message.ts'
import { REJECT_CODES } from '../../src/reasons.ts'
import { type Claims, encodeClaims, encodeHeader } from '../../src/token.ts'
import { Verifier } from '../../src/verifier.ts'
import { judge } from '../unit/helpers.ts'

/** The vectors of docs/spec.md: what the specification promises to others, this code must keep. */

type Tagged = Readonly<Record<string, unknown>>

interface PartsCase {
  readonly name: string
  readonly properties: Readonly<Record<string, Tagged>>
  readonly headers: Readonly<Record<string, Tagged>>
}

function read<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../docs/vectors/${name}.json`, import.meta.url), 'utf8')) as T
}

function untagged(tagged: Tagged): HeaderValue {
  const [[tag, value] = []] = Object.entries(tagged)
  switch (tag) {
    case 'bytes':
      return Buffer.from(value as string, 'hex')
    case 'null':
      return null
    case 'list':
      return (value as Tagged[]).map(untagged)
    case 'table':
      return valuesOf(value as Record<string, Tagged>)
    case 'repeated': {
      const [times, item] = value as [number, Tagged]
      return Array.from({ length: times }, () => untagged(item))
    }
    case 'repeated-string': {
      const [times, text] = value as [number, string]
      return text.repeat(times)
    }
    case 'string':
    case 'number':
    case 'boolean':
      return value as HeaderValue
    default:
      throw new Error(`no such tag: ${tag}`)
  }
}

function valuesOf(tagged: Readonly<Record<string, Tagged>>): Headers {
  return Object.fromEntries(Object.entries(tagged).map(([name, value]) => [name, untagged(value)]))
}

const propertiesOf = ({ properties }: PartsCase): CoveredProperties => valuesOf(properties) as CoveredProperties

describe('docs/vectors/covered-parts.json', () => {
  const cases = read<readonly (PartsCase & { hs: string[]; preimage: string; hh: string })[]>('covered-parts')

  it.each(cases)('$name', (vector) => {
    expect(digestParts(propertiesOf(vector), valuesOf(vector.headers), vector.hs)).toBe(vector.hh)
    expect(hash('sha256', Buffer.from(vector.preimage, 'hex'), 'base64url')).toBe(vector.hh)
  })
})

describe('docs/vectors/tokens.json', () => {
  interface TokenCase extends PartsCase {
    readonly expected: 'authorized'
    readonly now: number
    readonly queue: string
    readonly deliveredBy: readonly string[]
    readonly payload: string | null
    readonly token: unknown
    readonly absent?: boolean
  }
  interface TokensFile {
    readonly authorizedKeys: readonly string[]
    readonly revokedKeys: readonly string[]
    readonly signer: JsonWebKey
    readonly publicKeys: Readonly<Record<string, JsonWebKey>>
    readonly cases: readonly TokenCase[]
  }
  const file = read<TokensFile>('tokens')
  const keys = AuthorizedKeys.parse(file.authorizedKeys.join('\n'), { revokedKeys: file.revokedKeys.join('\n') })
  const key = readPrivateKey(file.signer)

  it.each(file.cases)('$name: $expected', (vector) => {
    const { expected, now, queue, deliveredBy, payload, token, absent } = vector
    const clock = { now: () => now * 1000, monotonic: () => 0 }
    const received = {
      queue,
      deliveredBy,
      token: absent === true ? undefined : token,
      payload: payload === null ? null : Buffer.from(payload, 'hex'),
      properties: propertiesOf(vector),
      headers: valuesOf(vector.headers),
    }
    expect(judge(new Verifier({ keys, clock }), received)).toBe(expected)
  })

  it('the first token is made again, to the letter', () => {
    const token = file.cases[0]?.token as string
    const claims = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as Claims
    const input = `${encodeHeader('Ed25519', publicKeyOf(key).keyId)}.${encodeClaims(claims, claims)}`
    expect(`${input}.${signData('Ed25519', key, Buffer.from(input)).toString('base64url')}`).toBe(token)
  })

  it('the keys have the ids they stand under', () => {
    for (const [keyId, jwk] of Object.entries(file.publicKeys)) expect(readPublicKey(jwk).keyId).toBe(keyId)
  })

  it('every reason that a verifier without state can give is there', () => {
    const stateful = ['token-id-reused']
    const codes = new Set(file.cases.map(({ expected }) => expected as string))
    expect(REJECT_CODES.filter((code) => !stateful.includes(code) && !codes.has(code))).toEqual([])
    expect(codes.has('authorized')).toBe(true)
  })
})
