/** One delivery of a message that asks to be handled. */
export interface ReplayClaim {
  /** Scope, issuer and token id, joined unambiguously by the caller; opaque to the store. */
  readonly key: string
  /**
   * For a message of a batch: what says the same as `key`, for stores that keep a batch's messages together. `batch.key` and
   * `batch.index` are both equal exactly when `key` is; `index` is below `size`, which is 1024 at most.
   */
  readonly batch?: { readonly key: string; readonly index: number; readonly size: number } | undefined
  /** Digest of what the token covers (`aud`, `bh`, `hh`). Another digest under the same key is a reused token id. */
  readonly digest: string
  /** Where in the transport this delivery stands; `undefined` where the transport has no positions. */
  readonly position: string | undefined
  /** Unique per delivery, over all processes that share the store. */
  readonly owner: string
  /** Seconds the entry stays this owner's without a `renew`. */
  readonly leaseSeconds: number
  /** The service that signed, for stores that have little room: what one sends must not push out what others sent. */
  readonly sender?: string | undefined
  /** This consumer asked for this delivery itself, so what was handled at this very position is handled again. */
  readonly reprocess?: boolean | undefined
}

/**
 * - `run`: run the handler, then `commit` or `release`.
 * - `in-progress`: another delivery of the token is being handled; defer and look again, never acknowledge.
 * - `duplicate`: the token was handled to completion; skip and acknowledge.
 * - `reused`: the key is known with another digest; reject.
 */
export type BeginResult = 'run' | 'in-progress' | 'duplicate' | 'reused'

/** `lost`: another owner holds the entry, or has committed it. This owner's effect stands all the same. */
export type CommitResult = 'committed' | 'lost'

/**
 * Remembers which tokens were handled. The state follows completion, not sight: a redelivery cannot be told from a replay
 * by looking, and what must not happen is a second effect.
 *
 * Two positions are the same only where both are defined. An entry in progress whose lease is over may be forgotten.
 * Every method may throw or reject while the store cannot be reached; the message is then deferred, never handled unseen.
 */
export interface ReplayStore {
  /**
   * Seconds a committed entry is kept, whatever `commit` asks for; `undefined`: as long as `commit` asks.
   * The verifier refuses a store that keeps less than maximum age + 2 * clock skew + 1 s.
   */
  readonly retentionSeconds?: number

  /**
   * Before the handler; once more with the same claim changes nothing. The first line that fits decides:
   *
   * | entry                                            | result        | entry afterwards                      |
   * |--------------------------------------------------|---------------|---------------------------------------|
   * | none, or committed and past its retention        | `run`         | in progress, this owner's             |
   * | another digest                                   | `reused`      | unchanged                             |
   * | in progress: own, lease over, or same position   | `run`         | in progress, this owner's             |
   * | in progress                                      | `in-progress` | unchanged                             |
   * | committed, same position, `reprocess`            | `run`         | committed still, whatever comes of it |
   * | committed                                        | `duplicate`   | unchanged                             |
   *
   * A message that comes again at its own position after it was handled may be a redelivery after an acknowledgement was
   * lost, or the work of somebody who moved the group's position: both are duplicates.
   */
  begin(claim: ReplayClaim): BeginResult | Promise<BeginResult>

  /**
   * After the handler succeeded and before the message is acknowledged: committed until now + `retentionSeconds`.
   * `lost`, and nothing changed, when another owner holds the entry under a live lease or committed it at another
   * position. What is committed already, by this owner or at the same position, stays so until the later of both ends: a
   * reprocess run extends the retention, and its failure (`release`) changes nothing. An entry that is gone is written anew: the effect exists, so a copy must not run. For that reason a claim
   * that was released is never committed.
   */
  commit(claim: ReplayClaim, retentionSeconds: number): CommitResult | Promise<CommitResult>

  /**
   * After the handler failed or let go, and before the message is given back: none, so that the next delivery runs.
   * A no-op when the entry is another's or committed.
   */
  release(claim: ReplayClaim): void | Promise<void>

  /** Extends the lease of this owner's own entry to now + `leaseSeconds`; a no-op otherwise. */
  renew(claim: ReplayClaim): void | Promise<void>
}
