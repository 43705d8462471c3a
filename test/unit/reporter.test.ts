import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { UnstorableError } from '../../src/dead-letter.ts'
import { subscribe } from '../../src/events.ts'
import { type Admission, Guard } from '../../src/guard.ts'
import type { ReceivedMessage } from '../../src/message.ts'
import type { QueuePolicy } from '../../src/policy.ts'
import type { Verdict } from '../../src/verdict.ts'
import { eventually } from '../eventually.ts'
import { bad, deliveryOf, failing, fresh, Latch, type Log, ScriptedStore } from './deliveries.ts'
import { ChangingKeys, keysOf, lineOf, ManualClock, NOW, receivedWith, tokenOf, verifierFor } from './helpers.ts'

const DAY = 24 * 60 * 60
const stops: (() => void)[] = []
let warnings: string[]

beforeEach(() => {
  warnings = []
  vi.spyOn(process, 'emitWarning').mockImplementation((text, options) => {
    warnings.push(`${(options as { type?: string }).type}: ${String(text)}`)
  })
})
afterEach(() => {
  vi.restoreAllMocks()
  for (const stop of stops.splice(0)) stop()
})

const inSeconds = (seconds: number): Date => new Date(Date.now() + seconds * 1000)
const unsigned = (origin?: string) => receivedWith(undefined, origin === undefined ? {} : { origin })

describe('warnings', () => {
  it('one a queue and reason, over every consumer of a verifier', async () => {
    const verifier = verifierFor()
    for (const message of [bad(), bad(), unsigned(), unsigned(), { ...unsigned(), queue: 'other' }]) {
      await new Guard(verifier).receive(deliveryOf([], 'a', message))
    }
    expect(warnings).toHaveLength(3)
    expect(warnings.every((text) => text.startsWith('QueueKeyAuthWarning: '))).toBe(true)
    expect(warnings.map((text) => /queue "(\w+)".* ([a-z]+-[a-z]+) \(/.exec(text)?.slice(1))).toEqual([
      ['orders', 'body-mismatch'],
      ['orders', 'token-missing'],
      ['other', 'token-missing'],
    ])
  })

  it('a flood of queue names is no flood of warnings', async () => {
    const guard = new Guard(verifierFor(), { onRejected: 'acknowledge' })
    for (let n = 0; n < 1_200; n++) guard.receive(deliveryOf([], 'a', { ...unsigned(), queue: `amq.gen-${n}` }))
    expect(warnings).toHaveLength(1_000)
  })

  it('none where somebody listens', async () => {
    const heard: Verdict[] = []
    await new Guard(verifierFor(), { onVerdict: (verdict) => heard.push(verdict) }).receive(deliveryOf([], 'a', bad()))
    stops.push(subscribe('queue-key-auth:verdict', ({ verdict }) => heard.push(verdict)))
    await new Guard(verifierFor()).receive(deliveryOf([], 'b', bad()))
    expect(heard).toMatchObject([{ code: 'body-mismatch' }, { code: 'body-mismatch' }])
    expect(warnings).toEqual([])
  })

  it('an onVerdict that throws changes nothing but warns once', async () => {
    const log: Log = []
    const guard = new Guard(verifierFor(), { onVerdict: failing })
    expect(guard.receive(deliveryOf(log, 'a', fresh()))).toBe('handled')
    expect(await guard.receive(deliveryOf(log, 'b', bad()))).toBe('settled')
    expect(log).toEqual(['handle a', 'dead-letter b body-mismatch', 'stored b', 'acknowledge b'])
    expect(warnings).toEqual([expect.stringContaining('onVerdict')])
  })

  it.each<[string, unknown]>([
    ['an object without a prototype', Object.create(null)],
    ['an error whose message is none', Object.assign(new Error('x'), { message: 7 })],
    ['an error whose message throws', Object.defineProperty(new Error('x'), 'message', { get: failing })],
    ['a symbol', Symbol('x')],
    ['nothing', undefined],
  ])('%s can be thrown as well, by whatever the user gave', async (_, thrown) => {
    const throws = (): never => {
      throw thrown
    }
    const log: Log = []
    let attempts = 0
    const deadLetter = async (): Promise<void> => (++attempts < 2 ? throws() : undefined)
    const guard = new Guard(verifierFor(), { onVerdict: throws, onRejected: throws, deadLetter })
    expect(guard.receive(deliveryOf(log, 'a', fresh()))).toBe('handled')
    expect(await guard.receive(deliveryOf(log, 'b', bad()))).toBe('settled')
    expect(log).toEqual(['handle a', 'acknowledge b'])
    expect(warnings).toHaveLength(3)
  })

  it('an async onVerdict that rejects warns once', async () => {
    const onVerdict = async (): Promise<void> => failing()
    const guard = new Guard(verifierFor(), { onVerdict })
    for (const name of ['a', 'b']) expect(guard.receive(deliveryOf([], name, fresh()))).toBe('handled')
    await eventually(() => expect(warnings).toEqual([expect.stringContaining('onVerdict')]))
  })

  it('an onRejected that throws warns once', async () => {
    const verifier = verifierFor()
    const guard = new Guard(verifier, { onRejected: failing, onVerdict: () => undefined })
    for (const name of ['a', 'b']) await guard.receive(deliveryOf([], name, bad()))
    expect(warnings).toEqual([expect.stringContaining('onRejected')])
  })

  it('a dead letter that cannot be written: once, and once more when it never can', async () => {
    const controller = new AbortController()
    const guard = new Guard(verifierFor(), { onVerdict: () => undefined, signal: controller.signal })
    const failures = [failing, failing, () => undefined]
    await guard.receive(deliveryOf([], 'a', bad(), { deadLetter: async () => failures.shift()?.() }))
    const never = async (): Promise<void> => {
      throw new UnstorableError('too large')
    }
    const parked = ['b', 'c'].map((name) => guard.receive(deliveryOf([], name, bad(), { deadLetter: never })))
    await Promise.resolve()
    controller.abort()
    expect(await Promise.all(parked)).toEqual(['let-go', 'let-go'])
    expect(warnings).toHaveLength(2)
  })

  it('unsigned messages that are soon to be refused: once a queue, from a week before', () => {
    const guard = (end: Date): Guard =>
      new Guard(verifierFor({ acceptUnsignedUntil: end, clock: new ManualClock() }), { onVerdict: () => undefined })
    const late = guard(inSeconds(8 * DAY))
    late.receive(deliveryOf([], 'a', unsigned()))
    expect(warnings).toEqual([])
    const soon = guard(inSeconds(6 * DAY))
    for (const name of ['a', 'b']) soon.receive(deliveryOf([], name, unsigned()))
    expect(warnings).toEqual([expect.stringContaining('acceptUnsignedUntil')])
    const notices: unknown[] = []
    stops.push(subscribe('queue-key-auth:notice', (event) => notices.push(event)))
    guard(inSeconds(6 * DAY)).receive(deliveryOf([], 'a', unsigned()))
    expect(notices).toMatchObject([{ notice: 'accept-unsigned-ends', queue: 'orders' }])
    expect(warnings).toHaveLength(1)
  })
})

describe('observe', () => {
  it('hands everything on, defers and skips nothing, and leaves the replay store alone', () => {
    const replay = new ScriptedStore()
    const clock = new ManualClock()
    const verdicts: string[] = []
    stops.push(
      subscribe('queue-key-auth:verdict', ({ verdict, observed }) => {
        expect(observed).toBe(true)
        verdicts.push('code' in verdict ? verdict.code : verdict.outcome)
      }),
    )
    const guard = new Guard(verifierFor({ replay, clock, queues: { orders: { rollout: 'observe' } } }))
    const log: Log = []
    const message = fresh()
    for (const received of [message, message, bad(), unsigned(), receivedWith('x')]) {
      const handle = (admission: Admission): void => {
        expect(admission.verified).toBeUndefined()
        expect(admission.commit()).toBe(true)
        expect(admission.release()).toBeUndefined()
      }
      expect(guard.receive(deliveryOf(log, 'a', received, { handle }))).toBe('handled')
    }
    clock.jump(9999)
    expect(guard.receive(deliveryOf(log, 'a', message))).toBe('handled')
    expect(log).toEqual(Array(6).fill('handle a'))
    expect(verdicts).toEqual([
      'authorized',
      'authorized',
      'body-mismatch',
      'token-missing',
      'token-malformed',
      'clock-unreliable',
    ])
    expect(replay.calls).toEqual([])
  })

  it('has unknown keys looked for, and hands on without waiting for that', async () => {
    const [one, two] = [lineOf(), lineOf(undefined, 'ES256')]
    const looked = new Latch()
    const keys: ChangingKeys = new ChangingKeys(keysOf(one), () =>
      looked.promise.then(() => keys.use(keysOf(one, two))),
    )
    const verifier = verifierFor({ keys, rollout: 'observe' })
    const guard = new Guard(verifier)
    const underNewKey = (): ReceivedMessage => receivedWith(tokenOf({ algorithm: 'ES256' }))
    expect(guard.receive(deliveryOf([], 'a', underNewKey()))).toBe('handled')
    expect(guard.receive(deliveryOf([], 'b', underNewKey()))).toBe('handled')
    looked.open()
    await vi.waitFor(() => expect(keys.snapshot?.keys.size).toBe(2))
    expect(guard.receive(deliveryOf([], 'c', underNewKey()))).toBe('handled')
    expect(verifier.counters.of('orders')).toMatchObject({ authorized: 1, refused: { 'key-unknown': 2 } })
  })

  it('minds no failure to look for them', async () => {
    const keys = new ChangingKeys(keysOf(lineOf()), async () => failing())
    const guard = new Guard(verifierFor({ keys, rollout: 'observe' }))
    expect(guard.receive(deliveryOf([], 'a', receivedWith(tokenOf({ algorithm: 'ES256' }))))).toBe('handled')
    await new Promise(setImmediate)
  })

  it('warns of what would be rejected', () => {
    new Guard(verifierFor({ rollout: 'observe' })).receive(deliveryOf([], 'a', bad()))
    expect(warnings).toEqual([expect.stringContaining('would reject')])
  })
})

describe('counters', () => {
  it('tell what would be refused and who still sends unsigned', async () => {
    const policies: Record<string, QueuePolicy> = {
      orders: { rollout: 'observe' },
      moving: { acceptUnsignedUntil: new Date((NOW + 10) * 1000) },
    }
    const verifier = verifierFor({ queues: policies })
    const guard = new Guard(verifier, { onVerdict: () => undefined })
    guard.receive(deliveryOf([], 'a', fresh()))
    guard.receive(deliveryOf([], 'a', bad()))
    for (const origin of ['erp', 'erp', 'cron', '__proto__', undefined])
      guard.receive(deliveryOf([], 'a', unsigned(origin)))
    guard.receive(deliveryOf([], 'a', { ...unsigned('erp'), queue: 'moving' }))
    const { unsignedFrom, ...rest } = verifier.counters.of('orders')
    expect(rest).toEqual({ authorized: 1, unsigned: 0, refused: { 'body-mismatch': 1, 'token-missing': 5 } })
    expect(Object.entries(unsignedFrom)).toEqual([
      ['erp', 2],
      ['cron', 1],
      ['__proto__', 1],
      ['others', 1],
    ])
    expect(verifier.counters.of('moving')).toEqual({
      authorized: 0,
      unsigned: 1,
      refused: {},
      unsignedFrom: { erp: 1 },
    })
    expect(verifier.counters.queues()).toEqual(['orders', 'moving'])
    expect(verifier.counters.of('nobody')).toEqual({ authorized: 0, unsigned: 0, refused: {}, unsignedFrom: {} })
  })

  it('are bounded', () => {
    const verifier = verifierFor()
    const guard = new Guard(verifier, { onRejected: 'acknowledge', onVerdict: () => undefined })
    for (let n = 0; n < 100; n++) guard.receive(deliveryOf([], 'a', unsigned(`sender ${n}`)))
    const { unsignedFrom } = verifier.counters.of('orders')
    expect(Object.keys(unsignedFrom)).toHaveLength(65)
    expect(unsignedFrom.others).toBe(36)
    for (let n = 0; n < 1_100; n++) guard.receive(deliveryOf([], 'a', { ...unsigned(), queue: `queue ${n}` }))
    expect(verifier.counters.queues()).toHaveLength(1_001)
    expect(verifier.counters.of('others').refused).toEqual({ 'token-missing': 101 })
  })

  it('count a held message once when it is held and once when it is through', async () => {
    const replay = new ScriptedStore()
    replay.begins.push(failing, failing)
    const verifier = verifierFor({ replay })
    await new Guard(verifier).receive(deliveryOf([], 'a', receivedWith(tokenOf())))
    expect(verifier.counters.of('orders')).toMatchObject({ authorized: 1, refused: { 'store-unavailable': 1 } })
  })
})
