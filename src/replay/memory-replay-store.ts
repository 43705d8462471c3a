import { acrossBuilds } from '../across-builds.ts'
import { publish } from '../events.ts'
import { checkOptions, FUNCTION, type OptionRules, wholeNumber } from '../option-check.ts'
import { quote } from '../text.ts'
import { MemoryBatches } from './memory-batches.ts'
import type { BeginResult, CommitResult, ReplayClaim, ReplayStore } from './replay-store.ts'
import { Kept, SharedRoom } from './shared-room.ts'

const DEFAULT_MAX_ENTRIES = 500_000
/** A Map holds no more than 2^24 entries. */
const MOST_ENTRIES = 2 ** 24

export interface MemoryReplayStoreOptions {
  readonly maxEntries?: number
  readonly now?: () => number
}

const RULES: OptionRules<MemoryReplayStoreOptions> = { maxEntries: wholeNumber(2, MOST_ENTRIES), now: FUNCTION }

/** The least time between two notices that the store is full, in milliseconds. */
const NOTICE_MS = 60_000

/** Where an entry lies says what it is: in progress until its lease ends, or committed until its retention ends. */
class Entry extends Kept {
  readonly digest: string
  position: string | undefined
  /** kept once committed, so that a commit may be repeated */
  owner: string

  constructor({ key, digest, position, owner }: ReplayClaim, until: number) {
    super(key)
    this.digest = digest
    this.position = position
    this.owner = owner
    this.until = until
  }
}

/** What a {@link MemoryReplayStore} holds. */
export interface MemoryReplayGauge {
  /** committed entries, those past their retention included until they are dropped; a batch is a quarter of its messages */
  readonly committed: number
  readonly inProgress: number
  /** how far back the store knows every token that was committed and is within its retention, in seconds */
  readonly reachesBackSeconds: number
  /** how many committed entries were dropped for want of room within their retention */
  readonly evictedEarly: number
}

/**
 * Remembers handled tokens in this process, since its start, and as long as there is room: 100 s at 5,000 messages a
 * second and 500,000 entries. When it is full, the service whose messages take most of it loses its oldest ones, so that one
 * service cannot push out what others sent: of each, at least `maxEntries` divided by the number of services are
 * remembered. A token that was forgotten too early is handled again if it is copied; {@link MemoryReplayStore.gauge} tells. Entries in progress come on top and are never
 * dropped while their lease lives.
 */
export class MemoryReplayStore implements ReplayStore {
  static {
    acrossBuilds(MemoryReplayStore, 'MemoryReplayStore')
  }

  readonly #now: () => number
  readonly #inProgress = new Map<string, Entry>()
  readonly #committed: SharedRoom<Entry>
  readonly #batches: MemoryBatches
  #noticed = Number.NEGATIVE_INFINITY
  #evictedBefore = 0

  /**
   * @param options.maxEntries committed entries kept at most, of single messages and of batches each; 500,000 unless told,
   * from 2 to 16,777,216
   * @param options.now a monotonic clock in milliseconds, for tests
   * @throws SetupError `option-invalid`
   */
  constructor(options: MemoryReplayStoreOptions = {}) {
    const checked = checkOptions('new MemoryReplayStore', options, RULES)
    const { maxEntries = DEFAULT_MAX_ENTRIES, now = () => performance.now() } = checked
    this.#now = now
    const start = now()
    this.#committed = new SharedRoom(maxEntries, start, (at) => {
      // What no handler renewed, committed or released stands as if it were none: its time to go.
      for (const [key, entry] of this.#inProgress) {
        if (entry.until <= at) this.#inProgress.delete(key)
      }
      this.#notice(at)
    })
    this.#batches = new MemoryBatches(maxEntries, start, (at) => this.#notice(at))
  }

  begin(claim: ReplayClaim): BeginResult {
    const now = this.#now()
    if (isOfBatch(claim)) return this.#batches.begin(claim, now)
    const held = this.#inProgress.get(claim.key)
    const entry = held ?? this.#known(claim.key, now)
    if (entry === undefined) {
      this.#inProgress.set(claim.key, new Entry(claim, now + claim.leaseSeconds * 1000))
      return 'run'
    }
    if (entry.digest !== claim.digest) return 'reused'
    if (held === undefined) {
      if (claim.reprocess !== true || !isSamePosition(entry, claim)) return 'duplicate'
      // It stays committed, or a copy would run after this run failed; and it must not be dropped under it.
      this.#committed.keep(entry, claim.sender ?? '', now)
      return 'run'
    }
    if (held.owner !== claim.owner && held.until > now && !isSamePosition(held, claim)) return 'in-progress'
    held.owner = claim.owner
    held.position = claim.position
    held.until = now + claim.leaseSeconds * 1000
    return 'run'
  }

  commit(claim: ReplayClaim, retentionSeconds: number): CommitResult {
    const now = this.#now()
    if (isOfBatch(claim)) return this.#batches.commit(claim, retentionSeconds, now)
    const held = this.#inProgress.get(claim.key)
    const entry = held ?? this.#known(claim.key, now)
    const own = entry?.owner === claim.owner
    if (held !== undefined) {
      if (!own && held.until > now) return 'lost'
      this.#inProgress.delete(claim.key)
    } else if (entry !== undefined && !own && !isSamePosition(entry, claim)) return 'lost'
    // What is committed is never kept for less than before.
    const kept = held === undefined && entry !== undefined ? entry.until : Number.NEGATIVE_INFINITY
    const until = Math.max(kept, now + retentionSeconds * 1000)
    if (own) entry.until = until
    this.#committed.keep(own ? entry : new Entry(claim, until), claim.sender ?? '', now)
    return 'committed'
  }

  release(claim: ReplayClaim): void {
    if (isOfBatch(claim)) this.#batches.release(claim)
    else if (this.#inProgress.get(claim.key)?.owner === claim.owner) this.#inProgress.delete(claim.key)
  }

  renew(claim: ReplayClaim): void {
    const now = this.#now()
    if (isOfBatch(claim)) {
      this.#batches.renew(claim, now)
      return
    }
    const held = this.#inProgress.get(claim.key)
    if (held?.owner === claim.owner) held.until = now + claim.leaseSeconds * 1000
  }

  gauge(): MemoryReplayGauge {
    const [singles, batches] = [this.#committed, this.#batches.kept]
    return {
      committed: singles.size + batches.size,
      inProgress: this.#inProgress.size + this.#batches.inProgress,
      reachesBackSeconds: (this.#now() - Math.max(singles.reachesBackTo, batches.reachesBackTo)) / 1000,
      evictedEarly: singles.evictedEarly + batches.evictedEarly,
    }
  }

  #known(key: string, now: number): Entry | undefined {
    const entry = this.#committed.get(key)
    return entry !== undefined && entry.until > now ? entry : undefined
  }

  /** A full store is what it was built for, so there is an event for metrics, and no warning. */
  #notice(now: number): void {
    const { evictedEarly, reachesBackSeconds } = this.gauge()
    if (evictedEarly === this.#evictedBefore || now - this.#noticed < NOTICE_MS) return
    this.#evictedBefore = evictedEarly
    this.#noticed = now
    const sender = this.#committed.evictedEarly > 0 ? this.#committed.largest : this.#batches.kept.largest
    publish('queue-key-auth:notice', () => ({
      notice: 'replay-store-full',
      detail:
        `handled messages are forgotten before they are too old to be accepted: the store reaches ` +
        `${Math.round(reachesBackSeconds)} s back; raise maxEntries, lower maxAgeSeconds, or share a store. ` +
        `Most of the room is taken by messages of ${quote(sender)}`,
    }))
  }
}

function isOfBatch(claim: ReplayClaim): claim is ReplayClaim & { batch: NonNullable<ReplayClaim['batch']> } {
  return claim.batch !== undefined
}

function isSamePosition(entry: Entry, claim: ReplayClaim): boolean {
  // An empty one is none, as in the other stores: it would be the same for every delivery.
  return claim.position !== undefined && claim.position !== '' && claim.position === entry.position
}
