const NO_BODY = '\0'.repeat(32)

/**
 * What stands in the tree for a message: salt || 0x00 or 0x01 (no body, or a body) || SHA-256 of the body (zeros for none)
 * || digest of the covered parts. 81 octets, each a latin1 character, as are the arguments.
 *
 * @param salt 16 characters
 * @param body the body's digest, 32 characters; undefined: no body
 * @param parts 32 characters
 */
export function leafOf(salt: string, body: string | undefined, parts: string): string {
  return body === undefined ? `${salt}\x00${NO_BODY}${parts}` : `${salt}\x01${body}${parts}`
}
