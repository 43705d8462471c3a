import type { ReceivedMessage } from '../message.ts'
import type { Verified } from '../verified.ts'
import type { ReplayClaim } from './replay-store.ts'

/** Makes what the replay store is asked about a message. */
export class ReplayClaims {
  readonly #leaseSeconds: number
  readonly #reprocess: boolean
  #last: readonly (string | undefined)[] = []
  #scope = ''

  /** @param reprocess every delivery was asked for by the consumer itself */
  constructor(leaseSeconds: number, reprocess: boolean) {
    this.#leaseSeconds = leaseSeconds
    this.#reprocess = reprocess
  }

  of(received: ReceivedMessage, verified: Verified, owner: string): ReplayClaim {
    const reprocess = this.#reprocess || received.reprocess === true
    return new MessageClaim(this.#scopeOf(received, verified), received, verified, owner, this.#leaseSeconds, reprocess)
  }

  /**
   * What a token id is unique in, the queue, the service and the group of consumers, and the id of the token: the same text
   * for all messages of a batch; the last one is kept, since they come together.
   */
  #scopeOf({ queue, consumer }: ReceivedMessage, { sender: { service, tokenId }, batch }: Verified): string {
    const id = batch?.id ?? tokenId
    const [lastQueue, lastConsumer, lastService, lastId] = this.#last
    if (id !== lastId || queue !== lastQueue || service !== lastService || consumer !== lastConsumer) {
      this.#last = [queue, consumer, service, id]
      this.#scope = JSON.stringify(consumer === undefined ? [queue, service, id] : [queue, service, id, consumer])
    }
    return this.#scope
  }
}

// Classes, since V8 may put what a literal makes beside what lives long: there is one of each a message (docs/decisions.md, 77).

class MessageClaim implements ReplayClaim {
  readonly key: string
  readonly batch: ReplayClaim['batch']
  readonly digest: string
  readonly position: string | undefined
  readonly owner: string
  readonly leaseSeconds: number
  readonly sender: string
  readonly reprocess: boolean

  constructor(
    scope: string,
    { position }: ReceivedMessage,
    { batch, digest, sender: { service } }: Verified,
    owner: string,
    leaseSeconds: number,
    reprocess: boolean,
  ) {
    this.key = batch === undefined ? scope : `${scope}.${batch.index}`
    this.batch = batch && new PlaceInBatch(scope, batch.index, batch.size)
    this.digest = digest
    this.position = position
    this.owner = owner
    this.leaseSeconds = leaseSeconds
    this.sender = service
    this.reprocess = reprocess
  }
}

class PlaceInBatch {
  readonly key: string
  readonly index: number
  readonly size: number

  constructor(key: string, index: number, size: number) {
    this.key = key
    this.index = index
    this.size = size
  }
}
