import { describe, expect, it } from 'vitest'
import { type DeadLetter, UnstorableError } from '../../src/dead-letter.ts'
import { Guard } from '../../src/guard.ts'
import {
  bad,
  deliveryOf,
  failing,
  fresh,
  Latch,
  type Log,
  listenDuringEachTest,
  record,
  ScriptedStore,
} from './deliveries.ts'
import { verifierFor } from './helpers.ts'

listenDuringEachTest()

describe('dead letters', () => {
  it('are stored and confirmed before the message is settled, and say what happened', async () => {
    const stored = new Latch()
    const letters: DeadLetter[] = []
    const log: Log = []
    const guard = new Guard(verifierFor())
    const outcome = guard.receive(
      deliveryOf(log, 'a', bad(), {
        deadLetter: (letter) => {
          letters.push(letter)
          return stored.promise
        },
      }),
    )
    expect(guard.receive(deliveryOf(log, 'b', fresh()))).toBe('handled')
    expect(log).toEqual(['dead-letter a body-mismatch', 'handle b'])
    stored.open()
    expect(await outcome).toBe('settled')
    expect(log.slice(2)).toEqual(['stored a', 'acknowledge a'])
    expect(letters).toMatchObject([
      { reason: 'body-mismatch', queue: 'orders', service: 'checkout', message: { name: 'a' } },
    ])
  })

  it('that cannot be written are tried again, and their message is settled once', async () => {
    const failures = record('queue-key-auth:dead-letter-failed')
    const log: Log = []
    let left = 2
    const plan = {
      deadLetter: async () => {
        if (left-- > 0) failing()
      },
    }
    const guard = new Guard(verifierFor())
    const outcome = guard.receive(deliveryOf(log, 'a', bad(), plan))
    guard.receive(deliveryOf(log, 'b', fresh()))
    expect(await outcome).toBe('settled')
    const tried = 'dead-letter a body-mismatch'
    expect(log).toEqual([tried, 'handle b', tried, tried, 'stored a', 'acknowledge a'])
    expect(failures.map(({ permanent, code }) => [permanent, code])).toEqual([
      [false, 'body-mismatch'],
      [false, 'body-mismatch'],
    ])
  })

  it('that can never be stored are parked, unsettled; the others go on', async () => {
    const failures = record('queue-key-auth:dead-letter-failed')
    const controller = new AbortController()
    const log: Log = []
    const guard = new Guard(verifierFor(), { signal: controller.signal })
    const parked = guard.receive(
      deliveryOf(log, 'a', bad(), {
        deadLetter: async () => {
          throw new UnstorableError('70 kB of headers')
        },
      }),
    )
    expect(await guard.receive(deliveryOf(log, 'b', bad()))).toBe('settled')
    expect(guard.receive(deliveryOf(log, 'c', fresh()))).toBe('handled')
    controller.abort()
    expect(await parked).toBe('let-go')
    expect(log.filter((line) => line.endsWith(' a'))).toEqual([])
    expect(failures).toMatchObject([{ permanent: true }])
  })

  it('go where the option says, and nowhere else, whatever it returns', async () => {
    const seen: string[] = []
    for (const deadLetter of [
      async (letter: DeadLetter) => void seen.push(letter.reason),
      ((letter: DeadLetter) => void seen.push(letter.reason)) as never,
    ]) {
      const log: Log = []
      await new Guard(verifierFor(), { deadLetter }).receive(deliveryOf(log, 'a', bad()))
      expect(log).toEqual(['acknowledge a'])
    }
    expect(seen).toEqual(['body-mismatch', 'body-mismatch'])
  })

  it('a message whose settling fails is let go', async () => {
    for (const acknowledge of [failing, async () => failing()]) {
      expect(await new Guard(verifierFor()).receive(deliveryOf([], 'a', bad(), { acknowledge }))).toBe('let-go')
    }
  })
})

describe('onRejected', () => {
  const outcomes: [string, string[]][] = [
    ['dead-letter', ['dead-letter a body-mismatch', 'stored a', 'acknowledge a']],
    ['reject', ['reject a']],
    ['acknowledge', ['acknowledge a']],
  ]

  it.each(outcomes)('%s, as a word and from a function', async (choice, expected) => {
    for (const onRejected of [choice, () => choice] as never[]) {
      const log: Log = []
      await new Guard(verifierFor(), { onRejected }).receive(deliveryOf(log, 'a', bad(), { canReject: true }))
      expect(log).toEqual(expected)
    }
  })

  it('a function hears why, and where it fails or says nothing useful the message is dead-lettered', async () => {
    const heard: unknown[] = []
    for (const answer of [failing, () => undefined, () => 'drop']) {
      const log: Log = []
      const onRejected = ((rejection: unknown, message: unknown) => {
        heard.push(rejection, message)
        return answer()
      }) as never
      await new Guard(verifierFor(), { onRejected, onVerdict: () => undefined }).receive(
        deliveryOf(log, 'a', bad(), { canReject: true }),
      )
      expect(log[0]).toBe('dead-letter a body-mismatch')
    }
    expect(heard.slice(0, 2)).toMatchObject([{ code: 'body-mismatch' }, { name: 'a' }])
  })

  it('"reject" where the transport cannot: dead-lettered', async () => {
    const log: Log = []
    await new Guard(verifierFor(), { onRejected: 'reject' }).receive(deliveryOf(log, 'a', bad()))
    expect(log[0]).toBe('dead-letter a body-mismatch')
  })

  it('has no say in what is deferred or skipped', async () => {
    const log: Log = []
    const replay = new ScriptedStore()
    replay.begins.push(failing, () => 'duplicate')
    const guard = new Guard(verifierFor({ replay }), { onRejected: failing })
    expect(await guard.receive(deliveryOf(log, 'a', fresh()))).toBe('settled')
    expect(log).toEqual(['acknowledge a'])
  })
})
