import { type Lease, NO_LEASE } from './leases.ts'
import type { ReplayClaim } from './replay/replay-store.ts'
import type { Verdict } from './verdict.ts'
import type { Verified } from './verified.ts'

/** The permission to handle a message, and what has to be said when that is over. */
export class Admission implements Omit<Lease, 'lapse'> {
  readonly verdict: Verdict
  /** undefined when the message passes as it is, authorized or not: observed, or accepted unsigned */
  readonly verified: Verified | undefined
  /** undefined when no replay store is asked */
  readonly claim: ReplayClaim | undefined
  /** held from right before the handler on */
  lease: Lease = NO_LEASE

  constructor(verdict: Verdict, verified?: Verified, claim?: ReplayClaim) {
    this.verdict = verdict
    this.verified = verified
    this.claim = claim
  }

  commit(): boolean | Promise<boolean> {
    return this.lease.commit()
  }

  release(): void | Promise<void> {
    return this.lease.release()
  }

  passOn(destination: string, queue?: string): void | Promise<void> {
    return this.lease.passOn(destination, queue)
  }

  lapse(): void | Promise<void> {
    return this.lease.lapse()
  }
}
