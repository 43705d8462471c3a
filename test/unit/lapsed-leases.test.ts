import { describe, expect, it } from 'vitest'
import { Leases } from '../../src/leases.ts'
import type { ReceivedMessage } from '../../src/message.ts'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import type { ReplayClaim, ReplayStore } from '../../src/replay/replay-store.ts'

function claimOf(owner: string): ReplayClaim {
  return { key: 'k', digest: 'd', position: undefined, owner, leaseSeconds: 3_600 }
}

const RECEIVED: ReceivedMessage = { queue: 'q', deliveredBy: [], token: undefined, payload: null }

const never = { comesBack: (): boolean => false }

/** The same store with answers that come later; a release is overtaken by what is asked right behind it. */
function later(store: MemoryReplayStore): ReplayStore {
  const answer = async <Result>(result: () => Result): Promise<Result> => {
    await new Promise((resolve) => setImmediate(resolve))
    return result()
  }
  return {
    begin: (claim) => answer(() => store.begin(claim)),
    commit: (claim, retentionSeconds) => answer(() => store.commit(claim, retentionSeconds)),
    release: (claim) => answer(() => undefined).then(() => answer(() => store.release(claim))),
    renew: (claim) => answer(() => store.renew(claim)),
  }
}

describe.each<[string, (store: MemoryReplayStore) => ReplayStore]>([
  ['a synchronous store', (store) => store],
  ['an asynchronous store', later],
])('a lease whose message went back to the transport, with %s', (_what, over) => {
  it('is no longer in the way of the next delivery', async () => {
    const store = new MemoryReplayStore()
    const leases = new Leases(over(store), 3_600, never, {})
    expect(store.begin(claimOf('first'))).toBe('run')
    const lease = leases.hold(claimOf('first'), RECEIVED, 60)
    expect(store.begin(claimOf('second'))).toBe('in-progress')
    await lease.lapse()
    expect(store.begin(claimOf('second'))).toBe('run')
    leases.close()
  })

  it('can be committed while no other delivery has begun, also right behind the lapse', async () => {
    const store = new MemoryReplayStore()
    const leases = new Leases(over(store), 3_600, never, {})
    store.begin(claimOf('first'))
    const lease = leases.hold(claimOf('first'), RECEIVED, 60)
    const lapsed = lease.lapse()
    expect(await lease.commit()).toBe(true)
    await lapsed
    expect(store.begin(claimOf('second'))).toBe('duplicate')
    leases.close()
  })

  it('takes nothing from the delivery that has begun meanwhile', async () => {
    const store = new MemoryReplayStore()
    const leases = new Leases(over(store), 3_600, never, {})
    store.begin(claimOf('first'))
    const lease = leases.hold(claimOf('first'), RECEIVED, 60)
    await lease.lapse()
    store.begin(claimOf('second'))
    expect(await lease.commit()).toBe(true)
    expect(store.begin(claimOf('third'))).toBe('in-progress')
    await lease.release()
    expect(store.begin(claimOf('third'))).toBe('in-progress')
    leases.close()
  })

  it('is not taken back once it was committed or released', async () => {
    const store = new MemoryReplayStore()
    const leases = new Leases(over(store), 3_600, never, {})
    store.begin(claimOf('first'))
    const lease = leases.hold(claimOf('first'), RECEIVED, 60)
    await lease.commit()
    await lease.lapse()
    expect(store.begin(claimOf('second'))).toBe('duplicate')
    leases.close()
  })
})

describe('leases side by side', () => {
  it('go on being renewed when another lapses, is committed, or lapses twice', () => {
    const renewed: string[] = []
    const store = new MemoryReplayStore()
    const leases = new Leases(
      {
        begin: (claim) => store.begin(claim),
        commit: (claim, retentionSeconds) => store.commit(claim, retentionSeconds),
        release: (claim) => store.release(claim),
        renew: ({ owner }) => {
          renewed.push(owner)
        },
      },
      0.03,
      never,
      {},
    )
    const names = ['a', 'b', 'c', 'd']
    const [a, b, , d] = names.map((owner) => leases.hold({ ...claimOf(owner), key: owner }, RECEIVED, 60))
    a?.lapse()
    a?.lapse()
    a?.commit()
    b?.commit()
    b?.lapse()
    d?.lapse()
    d?.release()
    return expect
      .poll(() => renewed.length)
      .toBeGreaterThan(3)
      .then(() => {
        leases.close()
        expect(new Set(renewed)).toEqual(new Set(['c']))
      })
  })
})
