import type { AuthorizedKey, KeySnapshot } from './authorized-keys/snapshot.ts'
import type { Algorithm } from './keys/algorithms.ts'
import type { PublicKey } from './keys/public-key.ts'
import type { Sender } from './message.ts'
import type { BatchClaims, CommonClaims, Token } from './token.ts'

const NO_NAMES: readonly string[] = []

/** A message that passed every check but the replay store. */
export class Verified {
  readonly sender: Sender
  /** the key that signed */
  readonly key: PublicKey
  /** names of the headers that the signature covers */
  readonly coveredHeaders: readonly string[]
  /** the handler must see the signed address, because the address of the delivery was not compared with it */
  readonly addressFromToken: boolean
  /** when handling may start at the latest by the sender's word, milliseconds since 1970 */
  readonly expiresAt: number | undefined
  /** the same by the queue's policy too; undefined: whenever */
  readonly deadline: number | undefined
  /** for a message of a batch: the token's own id, and the message's place among how many */
  readonly batch: { readonly id: string; readonly index: number; readonly size: number } | undefined
  /** what the token was signed over, to tell a copy from another message under the same id */
  readonly digest: string

  readonly #claims: CommonClaims
  readonly #algorithm: Algorithm
  readonly #snapshot: KeySnapshot

  constructor(
    token: Token,
    key: AuthorizedKey,
    snapshot: KeySnapshot,
    algorithm: Algorithm,
    addressFromToken: boolean,
    maxAgeSeconds: number,
  ) {
    const { claims, content } = token.signed
    this.#claims = claims
    this.#algorithm = algorithm
    this.#snapshot = snapshot
    const batch = token.place === undefined ? undefined : new BatchPlace(token.signed.claims, token.place.index)
    this.sender = new TokenSender(claims, key, batch)
    this.key = key
    this.coveredHeaders = claims.hs ?? NO_NAMES
    this.addressFromToken = addressFromToken
    this.expiresAt = claims.exp === undefined ? undefined : claims.exp * 1000
    const deadline = Math.min(this.expiresAt ?? Number.POSITIVE_INFINITY, (claims.iat + maxAgeSeconds) * 1000)
    this.deadline = deadline === Number.POSITIVE_INFINITY ? undefined : deadline
    this.batch = batch
    this.digest = content
  }

  /** What was signed, and how, for those who check it anew. */
  static basisOf(verified: Verified): readonly [claims: CommonClaims, algorithm: Algorithm] {
    return [verified.#claims, verified.#algorithm]
  }

  /** Whether it was checked by this very generation of keys and policies. */
  static isBy(verified: Verified, snapshot: KeySnapshot): boolean {
    return verified.#snapshot === snapshot
  }
}

// Classes, since V8 may put what a literal makes beside what lives long: there is one of each a message (docs/decisions.md, 77).

class BatchPlace {
  readonly id: string
  readonly index: number
  readonly size: number

  constructor({ jti, n }: BatchClaims, index: number) {
    this.id = jti
    this.index = index
    this.size = n
  }
}

class TokenSender implements Sender {
  readonly service: string
  readonly keyId: string
  readonly fingerprint: string
  readonly tokenId: string
  readonly issuedAt: Date
  readonly destination: string

  constructor({ iss, jti, iat, aud }: CommonClaims, key: PublicKey, batch: BatchPlace | undefined) {
    this.service = iss
    this.keyId = key.keyId
    this.fingerprint = key.fingerprint
    this.tokenId = batch === undefined ? jti : `${jti}.${batch.index}`
    this.issuedAt = new Date(iat * 1000)
    this.destination = aud
  }
}
