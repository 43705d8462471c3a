import { describe, expect, it } from 'vitest'
import { MemoryReplayStore } from '../../../src/replay/memory-replay-store.ts'
import type { ReplayClaim } from '../../../src/replay/replay-store.ts'
import { type Coverage, newCoverage, type Rules, type SharedStore, simulate, type Violation } from './simulation.ts'

const SCHEDULES = 30_000

/** Which violations occur, each with the first seed that shows it. */
function violationsOf(
  rules: Rules,
  schedules: number = SCHEDULES,
  coverage: Coverage = newCoverage(),
): Partial<Record<Violation, number>> {
  const firstSeeds: Partial<Record<Violation, number>> = {}
  for (let seed = 0; seed < schedules; seed++) {
    for (const violation of simulate(seed, rules, coverage)) firstSeeds[violation] ??= seed
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
    const coverage = newCoverage()
    expect(violationsOf(rules, SCHEDULES, coverage)).toEqual({})
    // A model that does not come to what it is there for shows nothing.
    const { reprocessed, skippedAtOwnPosition, rewinds, seeks, ...others } = coverage
    for (const count of Object.values(others)) expect(count).toBeGreaterThan(1)
    const moved = { reprocessed, skippedAtOwnPosition, rewinds, seeks }
    for (const count of Object.values(moved)) {
      if (rules.positions) expect(count).toBeGreaterThan(1_000)
      else expect(count).toBe(0)
    }
  })
})

/** The rule of before: what comes again at the position where it was handled is handled again, whoever moved it there. */
class TrustingStore implements SharedStore {
  readonly #store: MemoryReplayStore

  constructor(now: () => number) {
    this.#store = new MemoryReplayStore({ now })
  }

  begin(claim: ReplayClaim): ReturnType<SharedStore['begin']> {
    return this.#store.begin({ ...claim, reprocess: true })
  }

  commit(claim: ReplayClaim, retentionSeconds: number): ReturnType<SharedStore['commit']> {
    return this.#store.commit(claim, retentionSeconds)
  }

  release(claim: ReplayClaim): void {
    this.#store.release(claim)
  }

  renew(claim: ReplayClaim): void {
    this.#store.renew(claim)
  }
}

describe('the simulation tells tempting rules that are wrong', () => {
  it.each([false, true])('handling again whatever comes at its own position; in a batch: %s', (batch) => {
    const store = (now: () => number) => new TrustingStore(now)
    expect(violationsOf({ positions: true, batch, store }, 3_000)).toEqual({ 'started-after-done': expect.any(Number) })
  })

  it.each([false, true])(
    'never handling again what was handled, not even where its reader sought it; in a batch: %s',
    (batch) => {
      const store = (now: () => number): SharedStore => {
        const memory = new MemoryReplayStore({ now })
        return {
          begin: (claim) => memory.begin({ ...claim, reprocess: false }),
          commit: (claim, seconds) => memory.commit(claim, seconds),
          release: (claim) => memory.release(claim),
          renew: (claim) => memory.renew(claim),
        }
      }
      expect(violationsOf({ positions: true, batch, store }, 3_000)).toEqual({
        'reprocess-skipped': expect.any(Number),
      })
    },
  )

  it('one scope for all readers: what one handled, no other gets', () => {
    expect(violationsOf({ positions: true, sharedScope: true }, 3_000)).toMatchObject({ lost: expect.any(Number) })
  })

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
