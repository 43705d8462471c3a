import type { ReceivedMessage } from '../message.ts'
import type { Verified } from '../verifier.ts'

/** What a token id is unique in: the queue, the service, and the group of consumers. */
export class Scopes {
  #last: readonly (string | undefined)[] = []
  #scope = ''

  /** A text for the id of a token, the same for all messages of a batch; the last one is kept, since they come together. */
  of({ queue, consumer }: ReceivedMessage, { sender: { service, tokenId }, batch }: Verified): string {
    const id = batch?.id ?? tokenId
    const [lastQueue, lastConsumer, lastService, lastId] = this.#last
    if (id !== lastId || queue !== lastQueue || service !== lastService || consumer !== lastConsumer) {
      this.#last = [queue, consumer, service, id]
      this.#scope = JSON.stringify(consumer === undefined ? [queue, service, id] : [queue, service, id, consumer])
    }
    return this.#scope
  }
}
