import type { SourcePosition } from '../errors.ts'
import { keyError } from './key-error.ts'

/** A key of 8192 bits with everything around it takes some 8 KiB; a key file is never as long as this. */
export const MAX_KEY_OCTETS: number = 64 * 1024

/** A key's text, without the byte order mark and white space around it. */
export function keyText(input: string | Uint8Array, position: SourcePosition | undefined): string {
  if (input.length > MAX_KEY_OCTETS) {
    throw keyError('key-malformed', `a key has at most ${MAX_KEY_OCTETS} octets; this is something else`, position)
  }
  if (typeof input === 'string') return input.trim()
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(input).trim()
  } catch (error) {
    throw keyError(
      'key-malformed',
      'a key is read as PEM, JWK or an OpenSSH line, in UTF-8; convert DER with `openssl pkey -inform DER`',
      position,
      error,
    )
  }
}
