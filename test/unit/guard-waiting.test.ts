import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { QueuePatterns } from '../../src/authorized-keys/patterns.ts'
import { Guard } from '../../src/guard.ts'
import type { ReceivedMessage } from '../../src/message.ts'
import type { PolicyRule } from '../../src/policy.ts'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import {
  bad,
  deliveryOf,
  failing,
  fresh,
  happened,
  Latch,
  type Log,
  listenDuringEachTest,
  ScriptedStore,
} from './deliveries.ts'
import { ChangingKeys, keysOf, lineOf, ManualClock, NOW, receivedWith, tokenOf, verifierFor } from './helpers.ts'

let next = 0

listenDuringEachTest()

describe('what changes while a message waits', () => {
  const revokedBy = (keys: ChangingKeys) => () => {
    const { snapshot } = keys
    keys.snapshot = snapshot && { ...snapshot, isRevoked: () => true }
    return 'run' as const
  }

  it.each<[string, boolean]>([
    ['while the store is asked', true],
    ['in the same breath', false],
  ])('its key is revoked %s: it is not handled, and its id is let go', async (_, remote) => {
    const keys = new ChangingKeys(keysOf(lineOf()))
    const replay = new ScriptedStore()
    const revoke = revokedBy(keys)
    replay.begins.push(remote ? async () => revoke() : revoke)
    const log: Log = []
    const guard = new Guard(verifierFor({ keys, replay }))
    expect(await guard.receive(deliveryOf(log, 'a', fresh()))).toBe('settled')
    expect(log).toEqual(['dead-letter a key-revoked', 'stored a', 'acknowledge a'])
    expect(replay.calls).toEqual(['begin', 'release'])
  })

  it('its key is taken out, as it is from a JWK Set; another that came meanwhile does no harm', async () => {
    for (const [lines, expected] of [
      [[lineOf(undefined, 'ES256')], 'dead-letter a key-unknown'],
      [[lineOf(undefined, 'ES256'), lineOf()], 'handle a'],
    ] as const) {
      const keys = new ChangingKeys(keysOf(lineOf()))
      const replay = new ScriptedStore()
      replay.begins.push(async (): Promise<'run'> => {
        keys.use(keysOf(...lines))
        return 'run'
      })
      const log: Log = []
      await new Guard(verifierFor({ keys, replay })).receive(deliveryOf(log, 'a', fresh()))
      expect(log[0]).toBe(expected)
    }
  })

  it.each<[string, string[], string]>([
    ['withdrawn for its queue', [lineOf('queues="invoices"')], 'queue-not-authorized'],
    ['withdrawn for its service', [lineOf(undefined, 'Ed25519', 'etl')], 'service-mismatch'],
    ['given a window that is over', [lineOf('queues="**",valid-before="2025-01-01"')], 'key-expired'],
    ['given a window that is to come', [lineOf('queues="**",valid-after="2027-01-01"')], 'key-not-yet-valid'],
  ])('its line is %s: it is not handled, and its id is let go', async (_what, lines, code) => {
    for (const remote of [true, false]) {
      const keys = new ChangingKeys(keysOf(lineOf()))
      const replay = new ScriptedStore()
      const narrowed = keysOf(...lines)
      const withdraw = (): 'run' => {
        keys.use(narrowed)
        return 'run'
      }
      replay.begins.push(remote ? async () => withdraw() : withdraw)
      const log: Log = []
      const guard = new Guard(verifierFor({ keys, replay }))
      expect(await guard.receive(deliveryOf(log, 'a', fresh()))).toBe('settled')
      expect(log).toEqual([`dead-letter a ${code}`, 'stored a', 'acknowledge a'])
      expect(replay.calls).toEqual(['begin', 'release'])
    }
  })

  it('its line is another, and allows it still: it is handled', async () => {
    const keys = new ChangingKeys(keysOf(lineOf()))
    const replay = new ScriptedStore()
    const others = keysOf(lineOf('queues="invoices"'), lineOf('queues="orders",valid-before="2027-01-01"'))
    replay.begins.push(async (): Promise<'run'> => {
      keys.use(others)
      return 'run'
    })
    const log: Log = []
    expect(await new Guard(verifierFor({ keys, replay })).receive(deliveryOf(log, 'a', fresh()))).toBe('handled')
    expect(log).toEqual(['handle a'])
  })

  it.each<[string, PolicyRule['overrides'], string]>([
    ['how old messages may be', { maxAgeSeconds: 1 }, 'age-exceeded'],
    [
      'where they may have been sent',
      { delivered: false, destinations: QueuePatterns.parse('amqp:a/*') },
      'destination-mismatch',
    ],
  ])('the policy of its queue is another: %s', async (_what, overrides, code) => {
    const clock = new ManualClock().advance(10)
    const keys = new ChangingKeys(keysOf(lineOf()))
    const replay = new ScriptedStore()
    replay.begins.push(async (): Promise<'run'> => {
      const { snapshot } = keys
      const policies = [{ queues: QueuePatterns.parse('orders'), overrides }]
      keys.snapshot = snapshot && { ...snapshot, policies }
      return 'run'
    })
    const log: Log = []
    await new Guard(verifierFor({ keys, replay, clock })).receive(deliveryOf(log, 'a', fresh()))
    expect(log[0]).toBe(`dead-letter a ${code}`)
  })

  it('it becomes too old', async () => {
    const clock = new ManualClock()
    const replay = new ScriptedStore()
    const wait = (seconds: number) => async (): Promise<'run'> => {
      clock.advance(seconds)
      return 'run'
    }
    const log: Log = []
    const guard = new Guard(verifierFor({ clock, replay, maxAgeSeconds: 100 }))
    replay.begins.push(wait(100), wait(1))
    await guard.receive(deliveryOf(log, 'a', fresh()))
    await guard.receive(deliveryOf(log, 'b', fresh()))
    expect(log).toEqual(['handle a', 'dead-letter b age-exceeded', 'stored b', 'acknowledge b'])
  })

  it('without a token waits for its turn, and meanwhile such messages are not accepted any more', async () => {
    for (const [overrides, expected] of [
      [{ acceptUnsignedUntil: undefined }, ['dead-letter b token-missing', 'stored b', 'acknowledge b']],
      [{ rollout: 'observe' as const }, ['handle b']],
      [{}, ['handle b']],
    ] as const) {
      const keys = new ChangingKeys(keysOf(lineOf()))
      const replay = new ScriptedStore()
      const first = new Latch<'run'>()
      replay.begins.push(() => first.promise)
      const log: Log = []
      const guard = new Guard(verifierFor({ keys, replay, acceptUnsignedUntil: '2100-01-01' }))
      const received = [
        guard.receive(deliveryOf(log, 'a', fresh())),
        guard.receive(deliveryOf(log, 'b', receivedWith(undefined))),
      ]
      const { snapshot } = keys
      keys.snapshot = snapshot && { ...snapshot, policies: [{ queues: QueuePatterns.parse('orders'), overrides }] }
      first.open('run')
      await Promise.all(received)
      expect(log).toEqual(['handle a', ...expected])
    }
  })

  it('others that wait too keep later ones behind them, and afterwards nothing waits for a turn', async () => {
    const replay = new ScriptedStore()
    const [first, second] = [new Latch<'run'>(), new Latch<'run'>()]
    replay.begins.push(
      () => first.promise,
      () => second.promise,
    )
    const log: Log = []
    const guard = new Guard(verifierFor({ replay }))
    const a = guard.receive(deliveryOf(log, 'a', fresh()))
    const b = guard.receive(deliveryOf(log, 'b', fresh()))
    first.open('run')
    await a
    // Long enough for all that follows the turn of the first.
    for (let turns = 0; turns < 10; turns++) await Promise.resolve()
    const c = guard.receive(deliveryOf(log, 'c', fresh()))
    expect(log).toEqual(['handle a'])
    expect(guard.turn).toBeInstanceOf(Promise)
    second.open('run')
    await Promise.all([b, c])
    await guard.turn
    expect(log).toEqual(['handle a', 'handle b', 'handle c'])
    expect(guard.turn).toBeUndefined()
    expect(guard.receive(deliveryOf(log, 'd', fresh()))).toBe('handled')
  })

  it('the keys are read again for a key that is unknown, once, and for no other message', async () => {
    const keys = new ChangingKeys(keysOf(lineOf()))
    let refreshed = 0
    const source = Object.assign(keys, {
      refresh: async (): Promise<void> => {
        refreshed++
      },
    })
    const log: Log = []
    const guard = new Guard(verifierFor({ keys: source }))
    for (const received of [fresh(), bad(), receivedWith(undefined)]) {
      await guard.receive(deliveryOf(log, 'known', received))
    }
    expect(refreshed).toBe(0)
    await guard.receive(deliveryOf(log, 'unknown', receivedWith(tokenOf({ algorithm: 'ES256' }))))
    expect(refreshed).toBe(1)
    expect(log).toContain('dead-letter unknown key-unknown')
  })

  it('its deadline passes', async () => {
    const clock = new ManualClock()
    const replay = new ScriptedStore()
    replay.begins.push(async (): Promise<'run'> => {
      clock.advance(11)
      return 'run'
    })
    const log: Log = []
    const message = receivedWith(tokenOf({ claims: { exp: NOW + 10 } }))
    await new Guard(verifierFor({ clock, replay })).receive(deliveryOf(log, 'a', message))
    expect(log[0]).toBe('dead-letter a message-expired')
  })

  it('the keys or the clock fail and come back: held meanwhile, handled then', async () => {
    const clock = new ManualClock()
    const keys = new ChangingKeys(undefined)
    const log: Log = []
    const guard = new Guard(verifierFor({ clock, keys }))
    const withoutKeys = happened('queue-key-auth:held', ({ code }) => code === 'keys-unavailable')
    const withoutClock = happened('queue-key-auth:held', ({ code }) => code === 'clock-unreliable')
    const outcome = guard.receive(deliveryOf(log, 'a', fresh()))
    await withoutKeys
    clock.jump(3600)
    keys.use(keysOf(lineOf()))
    await withoutClock
    clock.jump(-3600).advance(1)
    const stillHeld = happened('queue-key-auth:held')
    await stillHeld
    clock.advance(31)
    expect(await outcome).toBe('handled')
    expect(log).toEqual(['handle a'])
  })

  it('an unknown key is looked for once, and nobody else waits for that', async () => {
    const looked = new Latch()
    const keys: ChangingKeys = new ChangingKeys(keysOf(lineOf()), () => looked.promise)
    const log: Log = []
    const guard = new Guard(verifierFor({ keys }))
    const unknown = (): ReceivedMessage =>
      receivedWith(tokenOf({ algorithm: 'ES256', claims: { jti: `es-message-${next++}-padding` } }))
    const first = guard.receive(deliveryOf(log, 'new 1', unknown()))
    const second = guard.receive(deliveryOf(log, 'new 2', unknown()))
    expect(guard.receive(deliveryOf(log, 'known', fresh()))).toBe('handled')
    keys.use(keysOf(lineOf(), lineOf(undefined, 'ES256')))
    looked.open()
    expect(await Promise.all([first, second])).toEqual(['handled', 'handled'])
    expect(log).toEqual(['handle known', 'handle new 1', 'handle new 2'])
  })

  it('an unknown key that stays unknown is rejected, also when looking for it fails', async () => {
    for (const refresh of [async () => undefined, async () => failing()]) {
      const log: Log = []
      const guard = new Guard(verifierFor({ keys: new ChangingKeys(keysOf(lineOf()), refresh) }))
      await guard.receive(deliveryOf(log, 'a', receivedWith(tokenOf({ algorithm: 'ES256' }))))
      expect(log[0]).toBe('dead-letter a key-unknown')
    }
  })

  it('an aborted consumer lets go of what it holds, settles nothing', async () => {
    const controller = new AbortController()
    const keys = new ChangingKeys(undefined)
    const log: Log = []
    const guard = new Guard(verifierFor({ keys }), { signal: controller.signal })
    const outcome = guard.receive(deliveryOf(log, 'a', fresh()))
    controller.abort()
    expect(await outcome).toBe('let-go')
    expect(await guard.receive(deliveryOf(log, 'b', fresh()))).toBe('let-go')
    expect(log).toEqual([])
  })

  it.each<[string, (guard: Guard, channel: AbortController) => void]>([
    ['close()', (guard) => guard.close()],
    ['its signal', (_guard, channel) => channel.abort()],
  ])('a lease is not renewed any more after %s, although its handler never ends', async (_, end) => {
    let now = 0
    const replay = new MemoryReplayStore({ now: () => now })
    const verifier = verifierFor({ replay, leaseSeconds: 0.03 })
    const channel = new AbortController()
    const guard = new Guard(verifier, { leaseSignal: channel.signal })
    const log: Log = []
    const message = fresh()
    guard.receive(deliveryOf(log, 'a', message))
    end(guard, channel)
    now = 31
    const renewals: unknown[] = []
    replay.renew = (claim) => void renewals.push(claim)
    // Three times as long as it takes to renew.
    await sleep(30)
    expect(renewals).toEqual([])
    expect(new Guard(verifier).receive(deliveryOf(log, 'b', message))).toBe('handled')
    expect(log).toEqual(['handle a', 'handle b'])
  })

  it('a lease is renewed while the handler runs', async () => {
    let now = 0
    const replay = new MemoryReplayStore({ now: () => now })
    const renewed = new Latch()
    const renew = replay.renew.bind(replay)
    replay.renew = (claim) => {
      renew(claim)
      renewed.open()
    }
    const log: Log = []
    const verifier = verifierFor({ replay, leaseSeconds: 0.06 })
    const controller = new AbortController()
    const guard = new Guard(verifier, { signal: controller.signal })
    const message = fresh()
    guard.receive(deliveryOf(log, 'a', message))
    now = 59
    await renewed.promise
    now = 61
    const copy = guard.receive(deliveryOf(log, 'copy', message))
    expect(log).toEqual(['handle a'])
    guard.close()
    controller.abort()
    expect(await copy).toBe('let-go')
    const later = new Guard(verifier)
    now = 500
    expect(later.receive(deliveryOf(log, 'taken over', message))).toBe('handled')
  })
})
