import fc from 'fast-check'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { subscribe } from '../../../src/events.ts'
import { MemoryReplayStore } from '../../../src/replay/memory-replay-store.ts'
import type { BeginResult, CommitResult, ReplayClaim } from '../../../src/replay/replay-store.ts'
import { claimOf, LEASE_SECONDS, RETENTION_SECONDS, Reference, type Step, steps } from './reference.ts'

function storeWithClock(maxEntries = 1000): { store: MemoryReplayStore; wait: (seconds: number) => void } {
  let now = 5_000
  const wait = (seconds: number) => {
    now += seconds * 1000
  }
  return { store: new MemoryReplayStore({ maxEntries, now: () => now }), wait }
}

/** Three keys make a batch, and what is written of it is one digest. */
function inBatch(claim: ReplayClaim): ReplayClaim {
  const number = Number(claim.key.slice(1))
  const key = `batch ${number % 2}`
  return { ...claim, digest: key, batch: { key, index: number >> 1, size: 3 } }
}

function apply({ step, claim }: Step, store: Reference | MemoryReplayStore): BeginResult | CommitResult | undefined {
  if (step === 'begin') return store.begin(claim)
  if (step === 'commit') return store.commit(claim, RETENTION_SECONDS)
  store[step](claim)
  return undefined
}

describe('MemoryReplayStore against the naive reference', () => {
  it('answers the same while there is room', () => {
    fc.assert(
      fc.property(steps, (run) => {
        const { store, wait } = storeWithClock()
        const reference = new Reference()
        for (const one of run) {
          if (one.step === 'wait') {
            wait(one.seconds)
            reference.now += one.seconds
            continue
          }
          expect(apply(one, store)).toBe(apply(one, reference))
        }
        expect(store.gauge()).toMatchObject({
          inProgress: [...reference.entries.values()].filter((entry) => !entry.isDone).length,
          evictedEarly: 0,
        })
      }),
      { numRuns: 1000 },
    )
  })

  it('answers the same of the messages of batches, but for commits that say nothing new', () => {
    fc.assert(
      fc.property(steps, (run) => {
        const { store, wait } = storeWithClock()
        const reference = new Reference()
        for (const one of run) {
          if (one.step === 'wait') {
            wait(one.seconds)
            reference.now += one.seconds
            continue
          }
          const claim = inBatch(one.claim)
          const known = reference.live(claim.key)
          // Who committed it is not kept, only where.
          if (one.step === 'commit' && known?.isDone && (known.position ?? '') === '') continue
          if (one.step === 'commit') {
            expect(store.commit(claim, 1e6)).toBe(reference.commit(claim, 1e6))
          } else {
            expect(apply({ ...one, claim }, store)).toBe(apply({ ...one, claim }, reference))
          }
        }
        expect(store.gauge()).toMatchObject({
          inProgress: [...reference.entries.values()].filter((entry) => !entry.isDone).length,
          evictedEarly: 0,
        })
      }),
      { numRuns: 1000 },
    )
  })

  it('forgets for want of room only what is committed and not among the last half, or what nobody holds', () => {
    const maxEntries = 4
    fc.assert(
      fc.property(steps, (run) => {
        const { store, wait } = storeWithClock(maxEntries)
        const reference = new Reference()
        for (const one of run) {
          if (one.step === 'wait') {
            wait(one.seconds)
            reference.now += one.seconds
            continue
          }
          const { key } = one.claim
          const entry = reference.live(key)
          const mayBeForgotten =
            entry !== undefined &&
            (entry.isDone ? reference.writes - entry.written >= maxEntries / 2 : entry.until <= reference.now)
          if (mayBeForgotten) {
            // Another digest tells whether the store knows the key, and changes nothing.
            const probe = claimOf({ key, digest: 'probe', owner: 'probe' })
            if (store.begin(probe) === 'run') {
              store.release(probe)
              reference.entries.delete(key)
            }
          }
          expect(apply(one, store)).toBe(apply(one, reference))
          expect(store.gauge().committed).toBeLessThanOrEqual(maxEntries)
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('MemoryReplayStore, with batches', () => {
  const of = (index: number, more: Partial<ReplayClaim> = {}): ReplayClaim =>
    claimOf({ key: `b.${index}`, batch: { key: 'b', index, size: 8 }, ...more })

  it('tells messages of a batch apart, and a batch from a single message of the same id', () => {
    const { store } = storeWithClock()
    expect(store.begin(of(0))).toBe('run')
    expect(store.begin(of(1, { owner: 'b' }))).toBe('run')
    expect(store.begin(of(0, { owner: 'b' }))).toBe('in-progress')
    store.commit(of(0), RETENTION_SECONDS)
    expect(store.begin(of(0, { owner: 'c' }))).toBe('duplicate')
    expect(store.begin(of(1, { owner: 'c' }))).toBe('in-progress')
    expect(store.begin(claimOf({ key: 'b' }))).toBe('run')
    expect(store.gauge()).toMatchObject({ inProgress: 2, committed: 2 })
  })

  it('refuses another batch under the same id', () => {
    const { store } = storeWithClock()
    store.begin(of(0))
    expect(store.begin(of(1, { digest: 'other', owner: 'b' }))).toBe('reused')
    expect(store.commit(of(1, { digest: 'other', owner: 'b' }), RETENTION_SECONDS)).toBe('lost')
    expect(store.commit(of(0), RETENTION_SECONDS)).toBe('committed')
    expect(store.begin(of(1, { digest: 'other', owner: 'b' }))).toBe('reused')
  })

  it('keeps a batch for the retention of the message that was committed last, and no longer', () => {
    const { store, wait } = storeWithClock()
    store.commit(of(0), RETENTION_SECONDS)
    wait(1)
    store.commit(of(1), RETENTION_SECONDS)
    wait(RETENTION_SECONDS - 0.001)
    expect(store.begin(of(1, { owner: 'b' }))).toBe('duplicate')
    wait(0.001)
    expect(store.begin(of(1, { owner: 'b' }))).toBe('run')
    expect(store.begin(of(0, { owner: 'b' }))).toBe('run')
  })

  it('never drops what is in progress, however many batches are committed meanwhile', () => {
    const { store } = storeWithClock(10)
    store.begin(of(3))
    store.commit(of(4), RETENTION_SECONDS)
    for (let count = 0; count < 1000; count++) {
      store.commit(of(0, { batch: { key: `other ${count}`, index: 0, size: 8 } }), RETENTION_SECONDS)
    }
    expect(store.begin(of(3, { owner: 'b' }))).toBe('in-progress')
    expect(store.gauge().inProgress).toBe(1)
    expect(store.gauge().committed).toBeLessThanOrEqual(10)
    expect(store.commit(of(3), RETENTION_SECONDS)).toBe('committed')
    expect(store.begin(of(3, { owner: 'b' }))).toBe('duplicate')
  })

  it('drops what was abandoned with the next generation', () => {
    const { store, wait } = storeWithClock(10)
    for (let count = 0; count < 100; count++) store.begin(of(0, { batch: { key: `left ${count}`, index: 0, size: 8 } }))
    wait(LEASE_SECONDS)
    for (let count = 0; count < 6; count++) {
      store.commit(of(0, { batch: { key: `other ${count}`, index: 0, size: 8 } }), RETENTION_SECONDS)
    }
    expect(store.gauge().inProgress).toBe(0)
  })
})

/** A single message, and one of a batch. */
const kinds: [string, Partial<ReplayClaim>][] = [
  ['a message', {}],
  ['a message of a batch', { key: 'b.3', batch: { key: 'b', index: 3, size: 8 } }],
]

describe.each(kinds)('MemoryReplayStore, %s that was handled', (_kind, more) => {
  const at = (position: string | undefined, owner: string, reprocess?: boolean): ReplayClaim =>
    claimOf({ ...more, position, owner, reprocess })
  const handled = (position: string | undefined) => {
    const scene = storeWithClock()
    scene.store.begin(at(position, 'a'))
    scene.store.commit(at(position, 'a'), RETENTION_SECONDS)
    return scene
  }

  it('is a duplicate at its own position too, and elsewhere', () => {
    const { store } = handled('p0')
    for (const reprocess of [undefined, false]) {
      expect(store.begin(at('p0', 'a', reprocess))).toBe('duplicate')
      expect(store.begin(at('p0', 'b', reprocess))).toBe('duplicate')
      expect(store.begin(at('p1', 'c', reprocess))).toBe('duplicate')
      expect(store.begin(at(undefined, 'd', reprocess))).toBe('duplicate')
    }
  })

  it('runs again where its consumer asked for that, at its own position only', () => {
    const { store } = handled('p0')
    expect(store.begin(at('p1', 'b', true))).toBe('duplicate')
    expect(store.begin(at(undefined, 'b', true))).toBe('duplicate')
    expect(store.begin(at('p0', 'b', true))).toBe('run')
    expect(store.begin(at('p0', 'b', true))).toBe('run')
    expect(store.begin({ ...at('p0', 'b', true), digest: 'other' })).toBe('reused')
  })

  it('without a position is a duplicate whatever its consumer asks for', () => {
    const { store } = handled(undefined)
    expect(store.begin(at(undefined, 'b', true))).toBe('duplicate')
    expect(store.begin(at('', 'b', true))).toBe('duplicate')
    expect(store.begin(at('p0', 'b', true))).toBe('duplicate')
  })

  it('stays handled while it runs again, and after that run failed or its process crashed', () => {
    const { store, wait } = handled('p0')
    expect(store.begin(at('p0', 'b', true))).toBe('run')
    expect(store.begin(at('p0', 'c'))).toBe('duplicate')
    expect(store.begin(at('p1', 'd'))).toBe('duplicate')
    store.release(at('p0', 'b', true))
    wait(LEASE_SECONDS)
    expect(store.begin(at('p0', 'c'))).toBe('duplicate')
    expect(store.begin(at('p1', 'd'))).toBe('duplicate')
    expect(store.begin(at('p0', 'e', true))).toBe('run')
  })

  it('is remembered for longer when a second run was committed, and never for less', () => {
    const { store, wait } = handled('p0')
    wait(RETENTION_SECONDS / 2)
    store.begin(at('p0', 'b', true))
    expect(store.commit(at('p0', 'b', true), RETENTION_SECONDS)).toBe('committed')
    wait(RETENTION_SECONDS - 2)
    expect(store.begin(at('p1', 'c'))).toBe('duplicate')
    expect(store.commit(at('p0', 'd', true), 1)).toBe('committed')
    wait(1.999)
    expect(store.begin(at('p1', 'c'))).toBe('duplicate')
    wait(0.001)
    expect(store.begin(at('p1', 'c'))).toBe('run')
  })

  it('is not committed by a copy that was handled elsewhere', () => {
    const { store } = handled('p0')
    expect(store.commit(at('p1', 'b', true), RETENTION_SECONDS)).toBe('lost')
    expect(store.begin(at('p1', 'c', true))).toBe('duplicate')
    expect(store.begin(at('p0', 'c', true))).toBe('run')
  })
})

describe('MemoryReplayStore', () => {
  it('commits after the lease ran out, and after the entry is gone: the effect exists', () => {
    const { store, wait } = storeWithClock()
    store.begin(claimOf())
    wait(LEASE_SECONDS)
    expect(store.commit(claimOf(), RETENTION_SECONDS)).toBe('committed')
    expect(store.commit(claimOf({ key: 'gone' }), RETENTION_SECONDS)).toBe('committed')
    expect(store.begin(claimOf({ owner: 'b' }))).toBe('duplicate')
    expect(store.begin(claimOf({ key: 'gone', owner: 'b' }))).toBe('duplicate')
  })

  it('keeps an entry to the last moment of its retention and no longer', () => {
    const { store, wait } = storeWithClock()
    store.commit(claimOf(), RETENTION_SECONDS)
    wait(RETENTION_SECONDS - 0.001)
    expect(store.begin(claimOf({ owner: 'b' }))).toBe('duplicate')
    wait(0.001)
    expect(store.begin(claimOf({ owner: 'b' }))).toBe('run')
  })

  it('never drops what is in progress, however much is committed meanwhile', () => {
    const { store } = storeWithClock(10)
    store.begin(claimOf())
    for (let count = 0; count < 1000; count++) store.commit(claimOf({ key: `other-${count}` }), RETENTION_SECONDS)
    expect(store.begin(claimOf({ owner: 'b' }))).toBe('in-progress')
    expect(store.commit(claimOf(), RETENTION_SECONDS)).toBe('committed')
  })

  it('drops abandoned entries with the next generation, so that they do not pile up', () => {
    const { store, wait } = storeWithClock(10)
    for (let count = 0; count < 100; count++) store.begin(claimOf({ key: `abandoned-${count}` }))
    wait(LEASE_SECONDS)
    for (let count = 0; count < 6; count++) store.commit(claimOf({ key: `other-${count}` }), RETENTION_SECONDS)
    expect(store.gauge().inProgress).toBe(0)
  })

  it('tells how far back it reaches, and when it dropped entries within their retention', () => {
    const { store, wait } = storeWithClock(10)
    let next = 0
    const commit = (count: number, retentionSeconds: number) => {
      for (let left = count; left > 0; left--) {
        store.commit(claimOf({ key: `${next++}` }), retentionSeconds)
        wait(1)
      }
    }
    commit(11, 3)
    expect(store.gauge()).toEqual({ committed: 3, inProgress: 0, evictedEarly: 0, reachesBackSeconds: 11 })
    commit(10, 1000)
    expect(store.gauge()).toEqual({ committed: 10, inProgress: 0, evictedEarly: 0, reachesBackSeconds: 21 })
    commit(2, 1000)
    expect(store.gauge()).toEqual({ committed: 10, inProgress: 0, evictedEarly: 2, reachesBackSeconds: 11 })
  })

  describe('shared by services', () => {
    const single = (sender: string, id: number): ReplayClaim => claimOf({ key: `${sender} ${id}`, sender })
    /** The only message of a batch of 40, which counts for ten. */
    const ofBatch = (sender: string, id: number): ReplayClaim => {
      const key = `${sender} batch ${id}`
      return claimOf({ key: `${key}.0`, batch: { key, index: 0, size: 40 }, sender })
    }
    const isKnown = (store: MemoryReplayStore, claim: ReplayClaim): boolean =>
      store.begin({ ...claim, digest: 'probe', owner: 'probe' }) === 'reused'

    it.each<[string, typeof single, number]>([
      ['messages', single, 1],
      ['messages of batches', ofBatch, 10],
    ])('one that sends %s without end pushes out none of another that has its part or less', (_what, of, weight) => {
      for (const mine of [1, 100, 400, 500]) {
        const { store } = storeWithClock(1000)
        for (let id = 0; id < mine / weight; id++) store.commit(of('shop', id), RETENTION_SECONDS)
        for (let id = 0; id < 5_000 / weight; id++) store.commit(of('flood', id), RETENTION_SECONDS)
        for (let id = 0; id < mine / weight; id++) expect(isKnown(store, of('shop', id))).toBe(true)
        expect(isKnown(store, of('flood', 0))).toBe(false)
        expect(isKnown(store, of('flood', 5_000 / weight - 1))).toBe(true)
      }
    })

    it.each([
      ['as large as a batch can be', 1024],
      ['as large as the room', 400],
      ['a little larger than an equal part', 204],
      ['half of an equal part', 100],
    ])('a batch that is %s pushes out none of another that has its part or less', (_what, size) => {
      const large = (id: number): ReplayClaim => {
        const key = `flood large ${id}`
        return claimOf({ key: `${key}.0`, batch: { key, index: 0, size }, sender: 'flood' })
      }
      for (const mine of [1, 4, 5]) {
        for (const before of [0, 3]) {
          const { store } = storeWithClock(100)
          for (let id = 0; id < mine; id++) store.commit(ofBatch('shop', id), RETENTION_SECONDS)
          for (let id = 0; id < before; id++) store.commit(ofBatch('flood', id), RETENTION_SECONDS)
          for (let id = 0; id < 10; id++) {
            store.commit(large(id), RETENTION_SECONDS)
            expect(store.gauge().committed).toBeLessThanOrEqual(100)
          }
          for (let id = 0; id < mine; id++) expect(isKnown(store, ofBatch('shop', id))).toBe(true)
          expect(isKnown(store, large(9))).toBe(true)
        }
      }
    })

    it('one that has more than its part gives up what is more, the oldest first', () => {
      const { store } = storeWithClock(1000)
      for (let id = 0; id < 900; id++) store.commit(single('shop', id), RETENTION_SECONDS)
      for (let id = 0; id < 5_000; id++) store.commit(single('flood', id), RETENTION_SECONDS)
      const known = Array.from({ length: 900 }, (_, id) => isKnown(store, single('shop', id)))
      expect(known.indexOf(true)).toBe(400)
      expect(known.lastIndexOf(false)).toBe(399)
      expect(store.gauge().committed).toBeGreaterThan(980)
      expect(store.gauge().committed).toBeLessThanOrEqual(1000)
    })

    it('of a hundred each keeps its part', () => {
      const { store } = storeWithClock(1000)
      for (let id = 0; id < 10; id++) {
        for (let service = 1; service < 100; service++) store.commit(single(`s${service}`, id), RETENTION_SECONDS)
      }
      for (let id = 0; id < 3_000; id++) store.commit(single('flood', id), RETENTION_SECONDS)
      for (let id = 0; id < 10; id++) {
        for (let service = 1; service < 100; service++) expect(isKnown(store, single(`s${service}`, id))).toBe(true)
      }
    })

    it('what is past its retention makes room first, whoever sent it', () => {
      const { store, wait } = storeWithClock(1000)
      for (let id = 0; id < 400; id++) store.commit(single('shop', id), 10)
      wait(10)
      for (let id = 0; id < 999; id++) store.commit(single('etl', id), RETENTION_SECONDS)
      expect(store.gauge().evictedEarly).toBe(0)
      expect(isKnown(store, single('etl', 0))).toBe(true)
    })

    it('names the one that takes most of the room in its notice', () => {
      const details: string[] = []
      onTestFinished(subscribe('queue-key-auth:notice', ({ detail }) => details.push(detail)))
      const { store } = storeWithClock(100)
      for (let id = 0; id < 30; id++) store.commit(single('shop', id), RETENTION_SECONDS)
      for (let id = 0; id < 200; id++) store.commit(single('flood', id), RETENTION_SECONDS)
      expect(details).toHaveLength(1)
      expect(details[0]).toContain('flood')
    })

    it('a batch of which a message runs again is kept as long as what was kept last', () => {
      const { store } = storeWithClock(10)
      const placed = (id: number): ReplayClaim => {
        const key = `shop batch ${id}`
        const batch = { key, index: 0, size: 4 }
        return claimOf({ key: `${key}.0`, batch, sender: 'shop', position: `p${id}`, reprocess: true })
      }
      for (let id = 0; id < 10; id++) store.commit(placed(id), RETENTION_SECONDS)
      expect(store.begin({ ...placed(0), owner: 'again' })).toBe('run')
      for (let id = 10; id < 15; id++) store.commit(placed(id), RETENTION_SECONDS)
      expect(isKnown(store, placed(0))).toBe(true)
      expect(isKnown(store, placed(1))).toBe(false)
    })

    it('a batch that was asked for last keeps what is in progress of it, whatever is dropped meanwhile', () => {
      const { store } = storeWithClock(2)
      const of = (batch: string, index: number): ReplayClaim =>
        claimOf({ key: `${batch}.${index}`, batch: { key: batch, index, size: 4 }, sender: 'shop' })
      store.commit(of('first', 0), RETENTION_SECONDS)
      expect(store.begin(of('first', 1))).toBe('run')
      for (let id = 0; id < 10; id++) store.commit(of(`later ${id}`, 0), RETENTION_SECONDS)
      expect(store.begin({ ...of('first', 1), owner: 'copy' })).toBe('in-progress')
    })

    it('what runs again is kept as long as what was kept last', () => {
      const { store } = storeWithClock(10)
      const placed = (id: number): ReplayClaim => ({ ...single('shop', id), position: `p${id}`, reprocess: true })
      for (let id = 0; id < 10; id++) store.commit(placed(id), RETENTION_SECONDS)
      expect(store.begin({ ...placed(0), owner: 'again' })).toBe('run')
      for (let id = 10; id < 15; id++) store.commit(placed(id), RETENTION_SECONDS)
      expect(isKnown(store, placed(0))).toBe(true)
      expect(isKnown(store, placed(1))).toBe(false)
    })
  })

  it('gives notice when it is full, once a minute at most', () => {
    const notices: string[] = []
    const stop = subscribe('queue-key-auth:notice', ({ notice }) => notices.push(notice))
    const { store, wait } = storeWithClock(10)
    const fill = () => {
      for (let count = 0; count < 30; count++) store.commit(claimOf({ key: `${Math.random()}` }), 1000)
    }
    fill()
    expect(notices).toEqual(['replay-store-full'])
    wait(61)
    fill()
    stop()
    expect(notices).toEqual(['replay-store-full', 'replay-store-full'])
  })

  it.each([0, 1, 2.5, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 24 + 1])('refuses maxEntries %s', (maxEntries) => {
    expect(() => new MemoryReplayStore({ maxEntries })).toThrow(expect.objectContaining({ code: 'option-invalid' }))
  })

  it('does not follow the wall clock', () => {
    const store = new MemoryReplayStore()
    store.begin(claimOf({ leaseSeconds: 1000 }))
    const tomorrow = Date.now() + 86_400_000
    const clock = vi.spyOn(Date, 'now').mockReturnValue(tomorrow)
    try {
      expect(store.begin(claimOf({ owner: 'b' }))).toBe('in-progress')
    } finally {
      clock.mockRestore()
    }
  })
})
