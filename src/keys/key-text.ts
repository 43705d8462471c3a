import type { SourcePosition } from '../errors.ts'
import { keyError } from './key-error.ts'
import { decodedText, unwrapped } from './unwrap.ts'

/** A key of 8192 bits with everything around it takes some 8 KiB; a key file is never as long as this. */
export const MAX_KEY_OCTETS: number = 64 * 1024

/** A key's text, without the byte order mark and white space around it, and without what programs on the way put around it. */
export function keyText(input: string | Uint8Array, position: SourcePosition | undefined): string {
  if (input.length > MAX_KEY_OCTETS) {
    throw keyError('key-malformed', `a key has at most ${MAX_KEY_OCTETS} octets; this is something else`, position)
  }
  const text = typeof input === 'string' ? input.replace(/^\uFEFF/, '') : decodedText(input)
  if (text !== undefined) return unwrapped(text)
  throw keyError(
    'key-malformed',
    'a key is read as PEM, JWK or an OpenSSH line, in UTF-8; convert DER with `openssl pkey -inform DER`, and -pubin for a ' +
      'public key',
    position,
  )
}
