import { describe, expect, it } from 'vitest'
import { MemoryReplayStore } from '../../../src/replay/memory-replay-store.ts'
import type { ReplayClaim } from '../../../src/replay/replay-store.ts'
import { type Rules, type SharedStore, simulate, type Violation } from './simulation.ts'

const SCHEDULES = 30_000

/** Which violations occur, each with the first seed that shows it. */
function violationsOf(rules: Rules, schedules: number = SCHEDULES): Partial<Record<Violation, number>> {
  const firstSeeds: Partial<Record<Violation, number>> = {}
  for (let seed = 0; seed < schedules; seed++) {
    for (const violation of simulate(seed, rules)) firstSeeds[violation] ??= seed
  }
  return firstSeeds
}

/** Takes a token that was done back to none when its second run fails. */
class ForgetfulStore implements SharedStore {
  readonly #store: MemoryReplayStore
  readonly #rounds = new Map<string, number>()

  constructor(now: () => number) {
    this.#store = new MemoryReplayStore({ now })
  }

  begin(claim: ReplayClaim): ReturnType<SharedStore['begin']> {
    return this.#store.begin(this.#renamed(claim))
  }

  commit(claim: ReplayClaim, retentionSeconds: number): ReturnType<SharedStore['commit']> {
    return this.#store.commit(this.#renamed(claim), retentionSeconds)
  }

  release(claim: ReplayClaim): void {
    const renamed = this.#renamed(claim)
    this.#store.release(renamed)
    const probe = this.#store.begin({ ...renamed, position: undefined, owner: 'probe', leaseSeconds: 0 })
    if (probe === 'duplicate') this.#rounds.set(claim.key, (this.#rounds.get(claim.key) ?? 0) + 1)
    else this.#store.release({ ...renamed, owner: 'probe' })
  }

  renew(claim: ReplayClaim): void {
    this.#store.renew(this.#renamed(claim))
  }

  #renamed(claim: ReplayClaim): ReplayClaim {
    return { ...claim, key: `${claim.key}/${this.#rounds.get(claim.key) ?? 0}` }
  }
}

describe('completion, not sight: no schedule loses a message or starts a handler for a copy of what is done', () => {
  it.each([
    ['without positions', { positions: false }],
    ['with positions', { positions: true }],
    ['without positions, in a batch', { positions: false, batch: true }],
    ['with positions, in a batch', { positions: true, batch: true }],
  ])('%s', (_, rules) => {
    expect(violationsOf(rules)).toEqual({})
  })
})

describe('the simulation tells tempting rules that are wrong', () => {
  it('acknowledging a copy while another is in progress loses messages', () => {
    expect(violationsOf({ positions: false, inProgress: 'acknowledge' }, 3_000)).toMatchObject({
      lost: expect.any(Number),
      'acknowledged-unhandled': expect.any(Number),
    })
  })

  it('trusting the redelivered flag loses messages and handles copies', () => {
    expect(violationsOf({ positions: false, trustRedelivered: true }, 3_000)).toMatchObject({
      lost: expect.any(Number),
      'started-after-done': expect.any(Number),
    })
  })

  it('marking a token as handled when it is first seen loses messages', () => {
    expect(violationsOf({ positions: false, commitOnSight: true }, 3_000)).toMatchObject({
      lost: expect.any(Number),
    })
  })

  it('forgetting what is done when a second run at its position fails handles copies', () => {
    const store = (now: () => number) => new ForgetfulStore(now)
    expect(violationsOf({ positions: true, store }, 3_000)).toMatchObject({ 'started-after-done': expect.any(Number) })
  })
})
