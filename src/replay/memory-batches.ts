import { BatchRecord } from './batch-record.ts'
import type { BeginResult, CommitResult, ReplayClaim } from './replay-store.ts'
import { SharedRoom } from './shared-room.ts'

/** A batch counts for a quarter of its messages, which is about what it takes. */
const MESSAGES_AN_ENTRY = 4

type BatchClaim = ReplayClaim & { readonly batch: NonNullable<ReplayClaim['batch']> }

/** The part of a memory replay store that knows messages of batches. Times are monotonic milliseconds. */
export class MemoryBatches {
  /** batches with messages in hand, and the last one that was asked for */
  readonly #open = new Map<string, BatchRecord>()
  readonly #kept: SharedRoom<BatchRecord>
  /** messages of a batch mostly come one after the other */
  #last: BatchRecord | undefined

  /** @param onTurn as for {@link SharedRoom} */
  constructor(room: number, now: number, onTurn: (now: number) => void) {
    this.#kept = new SharedRoom(room, now, (at) => {
      for (const record of this.#open.values()) {
        record.dropAbandoned(at)
        if (record.inHand === 0 && record !== this.#last) this.#open.delete(record.key)
      }
      onTurn(at)
    })
  }

  get kept(): Pick<SharedRoom<BatchRecord>, 'size' | 'evictedEarly' | 'reachesBackTo' | 'largest'> {
    return this.#kept
  }

  get inProgress(): number {
    let count = 0
    for (const record of this.#open.values()) count += record.inHand
    return count
  }

  begin(claim: BatchClaim, now: number): BeginResult {
    const { index } = claim.batch
    const record = this.#recordOf(claim, now)
    if (record.digest !== claim.digest) return 'reused'
    const result = record.begin(claim, index, now)
    // What runs again at its own position stays committed, and must not be dropped under it.
    if (result === 'run' && record.until > now) this.#keep(record, claim, now)
    return result
  }

  commit(claim: BatchClaim, retentionSeconds: number, now: number): CommitResult {
    const { index } = claim.batch
    const record = this.#recordOf(claim, now)
    if (record.digest !== claim.digest) return 'lost'
    const result = record.commit(claim, index, now + retentionSeconds * 1000, now)
    if (result === 'committed') this.#keep(record, claim, now)
    return result
  }

  release(claim: BatchClaim): void {
    this.#find(claim.batch.key)?.release(claim, claim.batch.index)
  }

  renew(claim: BatchClaim, now: number): void {
    this.#find(claim.batch.key)?.renew(claim, claim.batch.index, now)
  }

  #keep(record: BatchRecord, { sender = '', batch: { size } }: BatchClaim, now: number): void {
    this.#kept.keep(record, sender, now, Math.ceil(size / MESSAGES_AN_ENTRY))
  }

  #recordOf({ batch: { key, size }, digest }: BatchClaim, now: number): BatchRecord {
    const record = this.#find(key)
    return record === undefined || record.isOver(now) ? this.#look(new BatchRecord(key, digest, size)) : record
  }

  #find(key: string): BatchRecord | undefined {
    if (this.#last?.key === key) return this.#last
    const record = this.#open.get(key) ?? this.#kept.get(key)
    return record === undefined ? undefined : this.#look(record)
  }

  /** It is the last one now, and is open as long as it is that, so that its messages need no look at a Map. */
  #look(record: BatchRecord): BatchRecord {
    if (this.#last?.inHand === 0) this.#open.delete(this.#last.key)
    this.#open.set(record.key, record)
    this.#last = record
    return record
  }
}
