import { describe, expect, it } from 'vitest'
import { RootCache } from '../../../src/batch/root-cache.ts'
import type { BatchClaims, SignedClaims } from '../../../src/token.ts'

const GENERATION = {}

function root(name: string, n: number): SignedClaims<BatchClaims> {
  const claims = { iss: 'a', aud: 'memory:a', iat: 1, jti: 'AAAAAAAAAAAAAAAAAAAAAA', mr: 'A'.repeat(43), n }
  return {
    jws: name,
    alg: 'Ed25519',
    kid: 'k',
    claims,
    content: '',
    signingInput: Buffer.alloc(0),
    signature: Buffer.alloc(0),
  }
}

/** Adds batches of some size, one after the other. */
function filled(count: number, size: number): RootCache {
  const cache = new RootCache()
  for (let index = 0; index < count; index++) add(cache, root(`root ${index}`, size))
  return cache
}

function add(cache: RootCache, signed: SignedClaims<BatchClaims>): void {
  cache.get(signed, GENERATION)
  cache.add(signed)
}

function knownOf(cache: RootCache, count: number): number {
  return Array.from({ length: count }, (_, index) => cache.known(`root ${index}`)).filter(Boolean).length
}

describe('what is remembered of batches', () => {
  it('is 1024 of them at most, those used last', () => {
    const cache = filled(1024, 1)
    cache.get(root('root 0', 1), GENERATION)
    add(cache, root('one more', 1))
    expect(knownOf(cache, 1024)).toBe(1023)
    expect(cache.known('root 0')).toBeDefined()
    expect(cache.known('root 1')).toBeUndefined()
  })

  it('is 262,144 messages of them at most', () => {
    expect(knownOf(filled(256, 1024), 256)).toBe(256)
    expect(knownOf(filled(300, 1024), 300)).toBe(256)
    const cache = filled(300, 1024)
    expect(cache.known('root 43')).toBeUndefined()
    expect(cache.known('root 44')).toBeDefined()
  })

  it('is forgotten when the keys change, and the room for it is free again', () => {
    const cache = filled(256, 1024)
    expect(cache.get(root('root 255', 1024), {})).toBeUndefined()
    expect(knownOf(cache, 256)).toBe(0)
    for (let index = 0; index < 256; index++) add(cache, root(`root ${index}`, 1024))
    expect(knownOf(cache, 256)).toBe(256)
  })

  it('is no more than that a signature was good: a batch that was not added is not known', () => {
    const cache = filled(1, 4)
    expect(cache.get(root('another', 4), GENERATION)).toBeUndefined()
    expect(cache.known('another')).toBeUndefined()
  })
})
