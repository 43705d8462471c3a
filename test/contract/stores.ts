import { setImmediate as turn } from 'node:timers/promises'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import type { BeginResult, ReplayStore } from '../../src/replay/replay-store.ts'

/** A replay store that is far away: it answers later, and not in the order it was asked. */
export function remoteStore(): ReplayStore {
  const memory = new MemoryReplayStore()
  let asked = 0
  return {
    begin: (claim) => later(++asked % 3 === 0 ? 9 : asked % 3, () => memory.begin(claim)),
    commit: (claim, seconds) => later(2, () => memory.commit(claim, seconds)),
    release: (claim) => later(2, () => memory.release(claim)),
    renew: (claim) => later(2, () => memory.renew(claim)),
  }
}

async function later<T>(turns: number, answer: () => T): Promise<T> {
  for (let count = 0; count < turns; count++) await turn()
  return answer()
}

/** A replay store that can be lost and come back. */
export class FlakyStore implements ReplayStore {
  up = true
  readonly #memory = new MemoryReplayStore()

  begin(...args: Parameters<MemoryReplayStore['begin']>): Promise<BeginResult> {
    return this.#ask(() => this.#memory.begin(...args))
  }
  commit(...args: Parameters<MemoryReplayStore['commit']>): Promise<'committed' | 'lost'> {
    return this.#ask(() => this.#memory.commit(...args))
  }
  release(...args: Parameters<MemoryReplayStore['release']>): Promise<void> {
    return this.#ask(() => this.#memory.release(...args))
  }
  renew(...args: Parameters<MemoryReplayStore['renew']>): Promise<void> {
    return this.#ask(() => this.#memory.renew(...args))
  }

  async #ask<T>(answer: () => T): Promise<T> {
    if (!this.up) throw new Error('the store is down')
    return answer()
  }
}

/** A replay store that takes claims at once and answers when it is opened. */
export class GatedStore implements ReplayStore {
  /** how many claims wait for their answer */
  waiting = 0
  open: () => void = () => undefined
  readonly #opened: Promise<void>
  readonly #memory = new MemoryReplayStore()

  constructor() {
    this.#opened = new Promise((resolve) => {
      this.open = resolve
    })
  }

  async begin(...args: Parameters<MemoryReplayStore['begin']>): Promise<BeginResult> {
    const result = this.#memory.begin(...args)
    this.waiting++
    await this.#opened
    return result
  }
  commit(...args: Parameters<MemoryReplayStore['commit']>): 'committed' | 'lost' {
    return this.#memory.commit(...args)
  }
  release(...args: Parameters<MemoryReplayStore['release']>): void {
    this.#memory.release(...args)
  }
  renew(...args: Parameters<MemoryReplayStore['renew']>): void {
    this.#memory.renew(...args)
  }
}

/** A replay store that goes silent: what it is asked then it never answers. */
export class SilentStore implements ReplayStore {
  /** what it does not answer */
  readonly silent = new Set<'begin' | 'commit' | 'release'>()
  /** what it was asked and did not answer */
  readonly unanswered: string[] = []
  readonly #memory = new MemoryReplayStore()

  begin(...args: Parameters<MemoryReplayStore['begin']>): Promise<BeginResult> {
    return this.#ask('begin', () => this.#memory.begin(...args))
  }
  commit(...args: Parameters<MemoryReplayStore['commit']>): Promise<'committed' | 'lost'> {
    return this.#ask('commit', () => this.#memory.commit(...args))
  }
  release(...args: Parameters<MemoryReplayStore['release']>): Promise<void> {
    return this.#ask('release', () => this.#memory.release(...args))
  }
  async renew(...args: Parameters<MemoryReplayStore['renew']>): Promise<void> {
    this.#memory.renew(...args)
  }

  #ask<T>(verb: 'begin' | 'commit' | 'release', answer: () => T): Promise<T> {
    if (!this.silent.has(verb)) return Promise.resolve(answer())
    this.unanswered.push(verb)
    return new Promise(() => undefined)
  }
}
