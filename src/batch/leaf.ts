import { hash } from 'node:crypto'

const NO_BODY = '\0'.repeat(32)

/**
 * What stands in the tree for a message: salt || 0x00 or 0x01 (no body, or a body) || SHA-256 of the body (zeros for none)
 * || digest of the covered parts. 81 bytes.
 *
 * @param parts 32 latin1 characters
 */
export function leafOf(salt: Uint8Array, payload: Uint8Array | null, parts: string): Buffer {
  return leafOfDigests(salt, payload === null ? undefined : hash('sha256', payload, 'binary'), parts)
}

/** @param body the body's digest, 32 latin1 characters; undefined: no body */
export function leafOfDigests(salt: Uint8Array, body: string | undefined, parts: string): Buffer {
  const leaf = Buffer.allocUnsafe(81)
  leaf.set(salt, 0)
  leaf[16] = body === undefined ? 0 : 1
  leaf.write(body ?? NO_BODY, 17, 'latin1')
  leaf.write(parts, 49, 'latin1')
  return leaf
}
