import { beforeEach, describe, expect, it, vi } from 'vitest'
import { Guard } from '../../../src/guard.ts'
import { RedisReplayStore } from '../../../src/replay/redis-replay-store.ts'
import { bad, deliveryOf, fresh, happened, type Log, listenDuringEachTest } from '../deliveries.ts'
import { verifierFor } from '../helpers.ts'

/** Against Redis itself it is tested in test/redis-streams; this is about answers that Redis does not give. */

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
})

listenDuringEachTest()

const answering = (set: unknown, script: unknown): RedisReplayStore =>
  new RedisReplayStore({ call: async (command) => (command === 'SET' ? set : script) })

describe('answers that make no sense', () => {
  it.each<[string, unknown, unknown]>([
    ['a client in a transaction', 'QUEUED', 'QUEUED'],
    ['a client that says nothing', undefined, undefined],
    ['a number', 1, 1],
    ['true', true, true],
  ])('%s: the message is held, not handled', async (_, set, script) => {
    const log: Log = []
    const controller = new AbortController()
    const guard = new Guard(verifierFor({ replay: answering(set, script) }), { signal: controller.signal })
    const held = happened('queue-key-auth:held', ({ code }) => code === 'store-unavailable')
    const outcome = guard.receive(deliveryOf(log, 'a', fresh()))
    await held
    controller.abort()
    expect(await outcome).toBe('let-go')
    expect(log).toEqual([])
  })

  it('OK: it is handled; and a message that is rejected anyway is', async () => {
    const log: Log = []
    const guard = new Guard(verifierFor({ replay: answering('OK', undefined) }))
    expect(await guard.receive(deliveryOf(log, 'a', fresh()))).toBe('handled')
    expect(await guard.receive(deliveryOf(log, 'b', bad()))).toBe('settled')
    expect(log).toEqual(['handle a', 'dead-letter b body-mismatch', 'stored b', 'acknowledge b'])
  })
})
