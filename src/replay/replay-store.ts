/** One delivery of a message that asks to be handled. */
export interface ReplayClaim {
  /** Scope, issuer and token id, joined unambiguously by the caller; opaque to the store. */
  readonly key: string
  /** Digest of what the token covers (`aud`, `bh`, `hh`). Another digest under the same key is a reused token id. */
  readonly digest: string
  /** Where in the transport this delivery stands; `undefined` where the transport has no positions. */
  readonly position: string | undefined
  /** Unique per delivery: `begin` is idempotent for the same owner. */
  readonly owner: string
  /** Seconds the entry stays this owner's without a `renew`. */
  readonly leaseSeconds: number
}

/**
 * - `run`: the entry is this owner's; run the handler, then `commit` or `release`.
 * - `in-progress`: another delivery of the token is being handled; defer and look again, never acknowledge.
 * - `duplicate`: the token was handled to completion; skip and acknowledge.
 * - `reused`: the key is known with another digest; reject.
 */
export type BeginResult = 'run' | 'in-progress' | 'duplicate' | 'reused'

/** `lost`: the entry belongs to another owner by now. */
export type CommitResult = 'committed' | 'lost'

/**
 * Remembers which tokens were handled. The state follows completion, not sight: a redelivery cannot be told from a replay
 * by looking, and what must not happen is a second effect.
 *
 * Every method may throw or reject when the store cannot be reached; the message is then deferred, never handled unseen.
 */
export interface ReplayStore {
  /**
   * Seconds a committed entry is kept, whatever `commit` asks for; `undefined`: as long as `commit` asks.
   * The verifier refuses a store that keeps less than maximum age + 2 * clock skew + 1 s.
   */
  readonly retentionSeconds?: number
  /** Before the handler. */
  begin(claim: ReplayClaim): BeginResult | Promise<BeginResult>
  /** After the handler succeeded and before the message is acknowledged. */
  commit(claim: ReplayClaim, retentionSeconds: number): CommitResult | Promise<CommitResult>
  /** After the handler failed or let go, and before the message is given back. A no-op when the entry is another's. */
  release(claim: ReplayClaim): void | Promise<void>
  /** Extends the lease of this owner's own entry by `leaseSeconds` from now. A no-op when the entry is another's. */
  renew(claim: ReplayClaim): void | Promise<void>
}
