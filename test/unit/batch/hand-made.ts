import { createHash, hash } from 'node:crypto'
import { digestParts } from '../../../src/covered-parts.ts'
import type { Message } from '../../../src/message.ts'
import { claimsOf, type Draft, tokenOf } from '../helpers.ts'

/** Batch tokens made by hand, straight from the words of docs/spec.md and RFC 9162, section 2.1.1. */

const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()

export const leafHash = (leaf: Uint8Array): Buffer => sha256(Buffer.of(0), leaf)

function split(count: number): number {
  let k = 1
  while (k * 2 < count) k *= 2
  return k
}

/** The Merkle tree hash over hashes of leaves. */
export function rootOf(hashes: readonly Buffer[]): Buffer {
  if (hashes.length === 1) return hashes[0] as Buffer
  const k = split(hashes.length)
  return sha256(Buffer.of(1), rootOf(hashes.slice(0, k)), rootOf(hashes.slice(k)))
}

/** The inclusion proof of RFC 9162, section 2.1.3.1. */
export function pathOf(index: number, hashes: readonly Buffer[]): Buffer[] {
  if (hashes.length === 1) return []
  const k = split(hashes.length)
  return index < k
    ? [...pathOf(index, hashes.slice(0, k)), rootOf(hashes.slice(k))]
    : [...pathOf(index - k, hashes.slice(k)), rootOf(hashes.slice(0, k))]
}

export function leafOf(salt: Uint8Array, { payload, properties, headers }: Message): Buffer {
  const names = Object.keys(headers ?? {}).sort()
  return Buffer.concat([
    salt,
    Buffer.of(payload === null ? 0 : 1),
    payload === null ? Buffer.alloc(32) : sha256(payload),
    Buffer.from(digestParts(properties, headers, names), 'base64url'),
  ])
}

export const saltOf = (index: number): Buffer => Buffer.from(hash('sha256', `salt ${index}`), 'hex').subarray(0, 16)

/** The claims of a batch, by those of its first message. */
export function batchClaims(messages: readonly Message[], root: Buffer): Record<string, unknown> {
  const { bh: _, hh: __, hs, ...common } = claimsOf(messages[0])
  return { ...common, mr: root.toString('base64url'), n: messages.length, ...(hs !== undefined && { hs }) }
}

export function placeOf(index: number, salt: Uint8Array, path: readonly Uint8Array[]): string {
  return `${index}~${Buffer.concat([salt, ...path]).toString('base64url')}`
}

/** The JWS that a batch shares; members of `draft` go over the right ones. */
export function sharedOf(messages: readonly Message[], root: Buffer, draft: Draft = {}): string {
  const claims = typeof draft.claims === 'string' ? draft.claims : { ...batchClaims(messages, root), ...draft.claims }
  return tokenOf({
    ...draft,
    header: typeof draft.header === 'string' ? draft.header : { typ: 'queueauth-batch-v1+jwt', ...draft.header },
    claims: typeof claims === 'string' ? claims : JSON.stringify(claims),
  })
}

/** The tokens of messages that have destination and names of headers in common. */
export function batchOf(messages: readonly Message[], draft: Draft = {}): string[] {
  const hashes = messages.map((message, index) => leafHash(leafOf(saltOf(index), message)))
  const shared = sharedOf(messages, rootOf(hashes), draft)
  return hashes.map((_, index) => `${shared}~${placeOf(index, saltOf(index), pathOf(index, hashes))}`)
}
