/** The signature algorithms of the wire format, by their JOSE names (RFC 7518, RFC 9864). */
export type Algorithm = 'Ed25519' | 'ES256' | 'ES384' | 'PS256' | 'RS256'

/** The kinds of keys that sign. */
export type KeyType = 'ed25519' | 'p256' | 'p384' | 'rsa'
