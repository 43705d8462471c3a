import { setMaxListeners } from 'node:events'
import { Guard } from '../../src/guard.ts'
import type { Verifier } from '../../src/verifier.ts'
import type { Admissions } from './admissions.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import type { RedisStreamsConsumerOptions } from './guarded-client.ts'
import type { StreamEntry } from './message.ts'
import { GroupReader } from './reader.ts'

/** What a client reads from its first read until it is closed. One that is connected again begins another. */
export class Session {
  readonly reader: GroupReader
  readonly #ending = new AbortController()

  constructor(verifier: Verifier, options: RedisStreamsConsumerOptions, admissions: Admissions, sink: DeadLetterSink) {
    const { signal } = this.#ending
    setMaxListeners(0, signal)
    const guard = new Guard<StreamEntry>(verifier, { ...options, signal })
    this.reader = new GroupReader(guard, admissions, sink, signal)
  }

  get isOver(): boolean {
    return this.#ending.signal.aborted
  }

  /** What waits stays pending; what is being committed or written can still be. */
  end(): void {
    if (this.isOver) return
    this.#ending.abort()
    this.reader.end()
  }
}
