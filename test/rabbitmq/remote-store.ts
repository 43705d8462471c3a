import { MemoryReplayStore, type ReplayStore } from '../../src/index.ts'

/** A store like one across a network: its answers take time and overtake each other, and it can be out of reach. */
export class RemoteStore implements ReplayStore {
  reachable = true
  readonly #store = new MemoryReplayStore()
  readonly #delay: () => number

  constructor(delay: () => number = () => Math.random() * 10) {
    this.#delay = delay
  }

  begin: ReplayStore['begin'] = async (claim) => {
    await this.#answer()
    return this.#store.begin(claim)
  }

  commit: ReplayStore['commit'] = async (claim, retentionSeconds) => {
    await this.#answer()
    return this.#store.commit(claim, retentionSeconds)
  }

  release: ReplayStore['release'] = async (claim) => {
    await this.#answer()
    return this.#store.release(claim)
  }

  renew: ReplayStore['renew'] = async (claim) => this.#store.renew(claim)

  async #answer(): Promise<void> {
    await new Promise((resolve) => {
      setTimeout(resolve, this.#delay())
    })
    if (!this.reachable) throw new Error('out of reach')
  }
}
