import { getEventListeners } from 'node:events'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Lease, Leases } from '../../src/leases.ts'
import type { ReceivedMessage } from '../../src/message.ts'
import type { ReplayClaim, ReplayStore } from '../../src/replay/replay-store.ts'

const RECEIVED: ReceivedMessage = { queue: 'q', deliveredBy: ['amqp:q'], token: undefined, payload: null }

function claimOf(owner: string): ReplayClaim {
  return { key: `k ${owner}`, digest: 'd', position: undefined, owner, leaseSeconds: 30 }
}

/** Writes down what it is asked: `renew a`. */
class Noting implements ReplayStore {
  readonly calls: string[] = []
  failures = 0

  begin(): 'run' {
    return 'run'
  }

  commit({ owner }: ReplayClaim): 'committed' {
    this.calls.push(`commit ${owner}`)
    if (this.failures-- > 0) throw new Error('unreachable')
    return 'committed'
  }

  release({ owner }: ReplayClaim): void {
    this.calls.push(`release ${owner}`)
  }

  renew({ owner }: ReplayClaim): void {
    this.calls.push(`renew ${owner}`)
  }
}

function scene(signals: ConstructorParameters<typeof Leases>[3] = {}) {
  const store = new Noting()
  const asked: unknown[] = []
  const ways = {
    comesBack: (received: ReceivedMessage, destination: string, queue: string | undefined): boolean => {
      asked.push([received, destination, queue])
      return destination === 'back'
    },
  }
  const leases = new Leases(store, 30, ways, signals)
  const hold = (owner: string): Lease => leases.hold(claimOf(owner), RECEIVED, 60)
  return { store, asked, leases, hold }
}

describe('a message that is passed on', () => {
  it('is released where it comes back, and only there', async () => {
    const { store, asked, hold, leases } = scene()
    const lease = hold('a')
    await lease.passOn('away', 'audit')
    expect(store.calls).toEqual([])
    await lease.passOn('back')
    expect(store.calls).toEqual(['release a'])
    expect(asked).toEqual([
      [RECEIVED, 'away', 'audit'],
      [RECEIVED, 'back', undefined],
    ])
    leases.close()
  })

  it.each<[string, (lease: Lease) => unknown, string[]]>([
    ['committed', (lease) => lease.commit(), ['commit a']],
    ['released', (lease) => lease.release(), ['release a']],
  ])('after it was %s changes nothing, and is not asked about', async (_, end, calls) => {
    const { store, asked, hold, leases } = scene()
    const lease = hold('a')
    await end(lease)
    await lease.passOn('back')
    expect(store.calls).toEqual(calls)
    expect(asked).toEqual([])
    leases.close()
  })

  it('with a commit that is tried again changes nothing: its effect has happened', async () => {
    const { store, hold, leases } = scene()
    store.failures = 1
    const lease = hold('a')
    const committed = lease.commit()
    await lease.passOn('back')
    await lease.lapse()
    expect(await committed).toBe(true)
    expect(store.calls).toEqual(['commit a', 'commit a'])
    leases.close()
  })

  it('is given back once, however often it lapses', async () => {
    const { store, hold, leases } = scene()
    const lease = hold('a')
    await lease.lapse()
    await lease.lapse()
    expect(store.calls).toEqual(['release a'])
    leases.close()
  })
})

describe('leases are renewed', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  const renewed = ({ store }: { store: Noting }): string[] => store.calls.splice(0).sort()

  it('three times in their time, each of those that are held and none that has ended', async () => {
    const all = scene()
    const held = new Map(['a', 'b', 'c', 'd', 'e'].map((owner) => [owner, all.hold(owner)]))
    vi.advanceTimersByTime(9_999)
    expect(renewed(all)).toEqual([])
    vi.advanceTimersByTime(1)
    expect(renewed(all)).toEqual(['renew a', 'renew b', 'renew c', 'renew d', 'renew e'])
    await held.get('b')?.commit()
    await held.get('e')?.release()
    await held.get('a')?.lapse()
    renewed(all)
    vi.advanceTimersByTime(10_000)
    expect(renewed(all)).toEqual(['renew c', 'renew d'])
    await held.get('a')?.commit()
    await held.get('d')?.commit()
    renewed(all)
    vi.advanceTimersByTime(10_000)
    expect(renewed(all)).toEqual(['renew c'])
    all.leases.close()
  })

  it('by one timer, which ends when none is held, and begins again', async () => {
    const all = scene()
    const first = all.hold('a')
    vi.advanceTimersByTime(5_000)
    const second = all.hold('b')
    expect(vi.getTimerCount()).toBe(1)
    await first.commit()
    await second.commit()
    vi.advanceTimersByTime(10_000)
    expect(vi.getTimerCount()).toBe(0)
    renewed(all)
    all.hold('c')
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(10_000)
    expect(renewed(all)).toEqual(['renew c'])
    all.leases.close()
  })

  it('not after they are closed, neither those of before nor of afterwards', async () => {
    const all = scene()
    const before = all.hold('a')
    all.leases.close()
    all.hold('b')
    expect(vi.getTimerCount()).toBe(0)
    vi.advanceTimersByTime(60_000)
    expect(renewed(all)).toEqual([])
    expect(await before.commit()).toBe(true)
    expect(renewed(all)).toEqual(['commit a'])
  })

  it('not after the signal that all is over', () => {
    const over = new AbortController()
    const all = scene({ over: over.signal })
    all.hold('a')
    over.abort()
    vi.advanceTimersByTime(10_000)
    expect(renewed(all)).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('and what ended holds no message: whoever keeps the lease keeps no more than that', async () => {
    const all = scene()
    const leases = ['a', 'b', 'c'].map((owner) => all.hold(owner)) as [Lease, Lease, Lease]
    await leases[0].commit()
    await leases[1].release()
    // Not shown when it is printed, and gone with the end.
    expect(leases.some((lease) => Object.values(lease).includes(RECEIVED))).toBe(false)
    const received = leases.map((lease) => (lease as Lease & { received?: unknown }).received)
    expect(received).toEqual([undefined, undefined, RECEIVED])
    const kept = leases.map((lease) => Object.values(lease).some((value) => value?.owner !== undefined))
    expect(kept).toEqual([false, false, true])
    all.leases.close()
  })
})

describe('what is said first counts', () => {
  it('a commit is asked for once, and nothing is committed after a release', async () => {
    const { store, hold, leases } = scene()
    const [one, other] = [hold('a'), hold('b')]
    expect([one.commit(), one.commit()]).toEqual([true, true])
    await one.release()
    await other.release()
    expect(await other.commit()).toBe(true)
    expect(store.calls).toEqual(['commit a', 'release b'])
    leases.close()
  })
})

describe('a commit that the store does not take', () => {
  it('is tried again until the store has said that it took it, where it answers later', async () => {
    const answers = [false, false, true]
    const store = new Noting()
    const remote: ReplayStore = {
      begin: () => 'run',
      commit: async (claim): Promise<'committed'> => {
        await new Promise((resolve) => setImmediate(resolve))
        store.calls.push(`commit ${claim.owner}`)
        if (answers.shift() !== true) throw new Error('unreachable')
        return 'committed'
      },
      release: () => undefined,
      renew: () => undefined,
    }
    const leases = new Leases(remote, 30, { comesBack: () => false }, {})
    expect(await leases.hold(claimOf('a'), RECEIVED, 60).commit()).toBe(true)
    expect(store.calls).toEqual(['commit a', 'commit a', 'commit a'])
    leases.close()
  })

  it('is given up with the signal: the message must not be acknowledged', async () => {
    const givenUp = new AbortController()
    const { store, hold, leases } = scene({ givenUp: givenUp.signal })
    store.failures = 1_000
    const lease = hold('a')
    const committed = lease.commit()
    expect(getEventListeners(givenUp.signal, 'abort')).toHaveLength(1)
    givenUp.abort()
    expect(await committed).toBe(false)
    expect(await lease.commit()).toBe(false)
    expect(Object.values(lease)).not.toContain(RECEIVED)
    leases.close()
  })
})
