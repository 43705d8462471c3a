import { groupKey } from './admissions.ts'
import type { RedisClient } from './client.ts'
import type { StreamEntry } from './message.ts'

/** Entries that leave in one XACK. */
interface Gathered {
  readonly ids: string[]
  readonly acknowledged: Promise<void>
}

/** Acknowledges entries. Those of a stream that come in the same tick share a command. */
export class Acknowledger {
  readonly #open: () => RedisClient
  readonly #gathered = new Map<string, Gathered>()

  constructor(open: () => RedisClient) {
    this.#open = open
  }

  /** Resolves when the server knows. */
  acknowledge({ stream, group, id }: StreamEntry): Promise<void> {
    const key = groupKey(stream, group)
    const gathered = this.#gathered.get(key) ?? this.#gather(key, stream, group)
    gathered.ids.push(id)
    return gathered.acknowledged
  }

  #gather(key: string, stream: string, group: string): Gathered {
    const ids: string[] = []
    const send = async (): Promise<void> => {
      await undefined
      this.#gathered.delete(key)
      await this.#open().call('XACK', stream, group, ...ids)
    }
    const gathered = { ids, acknowledged: send() }
    this.#gathered.set(key, gathered)
    return gathered
  }
}
