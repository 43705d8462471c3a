/** The signature algorithms of the wire format, by their JOSE names (RFC 7518, RFC 9864). */
export type Algorithm = 'Ed25519' | 'ES256' | 'ES384' | 'PS256' | 'RS256'

/** The kinds of keys that sign. */
export type KeyType = 'ed25519' | 'p256' | 'p384' | 'rsa'

export const ALGORITHMS: readonly Algorithm[] = Object.freeze(['Ed25519', 'ES256', 'ES384', 'PS256', 'RS256'] as const)

const BY_KEY_TYPE: Readonly<Record<KeyType, readonly [Algorithm, ...Algorithm[]]>> = Object.freeze({
  ed25519: Object.freeze(['Ed25519'] as const),
  p256: Object.freeze(['ES256'] as const),
  p384: Object.freeze(['ES384'] as const),
  rsa: Object.freeze(['PS256', 'RS256'] as const),
})

/** The algorithm of a key of this type when its authorized_keys line pins none. */
export function defaultAlgorithm(type: KeyType): Algorithm {
  return BY_KEY_TYPE[type][0]
}

/** The algorithms that a key of this type may be pinned to, the default first. */
export function algorithmsFor(type: KeyType): readonly Algorithm[] {
  return BY_KEY_TYPE[type]
}

export function isAlgorithm(text: string): text is Algorithm {
  return (ALGORITHMS as readonly string[]).includes(text)
}

/** An algorithm by its name in a token; undefined for any other name. */
export function algorithmOf(alg: string): Algorithm | undefined {
  // The same for an Ed25519 key (RFC 9864), and most stock libraries write only that.
  if (alg === 'EdDSA') return 'Ed25519'
  return isAlgorithm(alg) ? alg : undefined
}
