import fc from 'fast-check'
import type { BeginResult, CommitResult, ReplayClaim } from '../../../src/replay/replay-store.ts'

/** What every store is compared with, and the steps it is compared by. */

export const LEASE_SECONDS = 30
export const RETENTION_SECONDS = 100

export function claimOf(overrides: Partial<ReplayClaim> = {}): ReplayClaim {
  return { key: 'key', digest: 'digest', position: undefined, owner: 'a', leaseSeconds: LEASE_SECONDS, ...overrides }
}

export interface ReferenceEntry {
  readonly digest: string
  readonly position: string | undefined
  readonly owner: string
  readonly isDone: boolean
  until: number
  written: number
}

/** The rules of the interface, written naively: one map, nothing dropped for want of room. */
export class Reference {
  readonly entries = new Map<string, ReferenceEntry>()
  now = 5
  /** how many entries were written as committed, or touched as such */
  writes = 0

  begin(claim: ReplayClaim): BeginResult {
    const entry = this.live(claim.key)
    if (entry !== undefined && entry.digest !== claim.digest) return 'reused'
    const isSame = isPlace(claim.position) && entry?.position === claim.position
    if (entry?.isDone) {
      if (!isSame || claim.reprocess !== true) return 'duplicate'
      entry.written = ++this.writes
      return 'run'
    }
    if (entry && entry.owner !== claim.owner && !isSame && entry.until > this.now) return 'in-progress'
    this.entries.set(claim.key, { ...claim, isDone: false, until: this.now + claim.leaseSeconds, written: 0 })
    return 'run'
  }

  commit(claim: ReplayClaim, retentionSeconds: number): CommitResult {
    const entry = this.live(claim.key)
    if (entry && entry.owner !== claim.owner && entry.until > this.now) {
      const isRerun = entry.isDone && isPlace(claim.position) && entry.position === claim.position
      if (!isRerun) return 'lost'
    }
    const until = Math.max(entry?.isDone ? entry.until : 0, this.now + retentionSeconds)
    this.entries.set(claim.key, { ...claim, isDone: true, until, written: ++this.writes })
    return 'committed'
  }

  release(claim: ReplayClaim): void {
    const entry = this.live(claim.key)
    if (entry?.owner === claim.owner && !entry.isDone) this.entries.delete(claim.key)
  }

  renew(claim: ReplayClaim): void {
    const entry = this.live(claim.key)
    if (entry?.owner === claim.owner && !entry.isDone) entry.until = this.now + claim.leaseSeconds
  }

  live(key: string): ReferenceEntry | undefined {
    const entry = this.entries.get(key)
    return entry?.isDone && entry.until <= this.now ? undefined : entry
  }
}

export type Step = { readonly step: 'begin' | 'commit' | 'release' | 'renew'; readonly claim: ReplayClaim }

export type Wait = { readonly step: 'wait'; readonly seconds: number }

/** An empty position is none. */
function isPlace(position: string | undefined): boolean {
  return position !== undefined && position !== ''
}

// Owners are unique per delivery, so an owner has one key and one position; small sets make them meet.
const claims = fc
  .record({
    key: fc.constantFrom('k0', 'k1', 'k2', 'k3', 'k4', 'k5'),
    digest: fc.oneof({ weight: 9, arbitrary: fc.constant('digest') }, { weight: 1, arbitrary: fc.constant('other') }),
    position: fc.constantFrom(undefined, '', 'p0', 'p1'),
    delivery: fc.nat(2),
  })
  // One of three deliveries was asked for by the consumer itself.
  .map(({ key, digest, position, delivery }) => {
    const reprocess = [undefined, false, true][delivery]
    return claimOf({ key, digest, position, owner: `${key} ${digest} ${position} ${delivery}`, reprocess })
  })
export const steps: fc.Arbitrary<(Step | Wait)[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ step: fc.constant('begin' as const), claim: claims }) },
    { weight: 4, arbitrary: fc.record({ step: fc.constant('commit' as const), claim: claims }) },
    { weight: 2, arbitrary: fc.record({ step: fc.constant('release' as const), claim: claims }) },
    { weight: 1, arbitrary: fc.record({ step: fc.constant('renew' as const), claim: claims }) },
    {
      weight: 2,
      arbitrary: fc.record({ step: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 60 }) }),
    },
  ),
  { maxLength: 80, size: 'max' },
)
