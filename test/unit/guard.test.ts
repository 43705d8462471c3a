import { describe, expect, it } from 'vitest'
import { type Admission, Guard } from '../../src/guard.ts'
import {
  bad,
  commit,
  deliveryOf,
  failing,
  fresh,
  Latch,
  type Log,
  listenDuringEachTest,
  record,
  ScriptedStore,
} from './deliveries.ts'
import { keysOf, lineOf, MESSAGE, receivedWith, tokenOf, verifierFor } from './helpers.ts'

listenDuringEachTest()

describe('with keys and replay state in memory', () => {
  it('is synchronous into the handler', () => {
    const log: Log = []
    const guard = new Guard(verifierFor())
    expect(guard.receive(deliveryOf(log, 'a', fresh()))).toBe('handled')
    expect(log).toEqual(['handle a'])
  })

  it('throws what the handler throws, and rejects with what it rejects with: the very same', async () => {
    const error = new TypeError('the user\u2019s own')
    const guard = new Guard(verifierFor())
    const throwing = deliveryOf([], 'a', fresh(), {
      handle: () => {
        throw error
      },
    })
    expect(() => guard.receive(throwing)).toThrow(error)
    const rejecting = deliveryOf([], 'b', fresh(), { handle: () => Promise.reject(error) })
    await expect(guard.receive(rejecting)).rejects.toBe(error)
    const log: Log = []
    expect(guard.receive(deliveryOf(log, 'c', fresh()))).toBe('handled')
  })

  it('gives the verdict, the sender and what the signature covers', () => {
    let seen: Admission | undefined
    const guard = new Guard(verifierFor())
    guard.receive(
      deliveryOf([], 'a', fresh(), {
        handle: (admission) => {
          seen = admission
        },
      }),
    )
    expect(seen?.verdict).toMatchObject({ outcome: 'authorized', sender: { service: 'checkout' } })
    expect(seen?.verified?.coveredHeaders).toEqual(['tenant', 'x-attempt'])
  })

  it('skips a copy of what was handled, and says so', () => {
    const settled = record('queue-key-auth:settled')
    const log: Log = []
    const guard = new Guard(verifierFor())
    const message = fresh()
    guard.receive(deliveryOf(log, 'a', message, { handle: commit }))
    expect(guard.receive(deliveryOf(log, 'copy', message))).toBe('settled')
    expect(log).toEqual(['handle a', 'acknowledge copy'])
    expect(settled).toEqual([{ queue: 'orders', code: 'duplicate', how: 'acknowledged' }])
  })

  it('handles a message again when its handler let go', () => {
    const log: Log = []
    const guard = new Guard(verifierFor())
    const message = fresh()
    guard.receive(deliveryOf(log, 'a', message, { handle: (admission) => void admission.release() }))
    guard.receive(deliveryOf(log, 'b', message, { handle: commit }))
    expect(log).toEqual(['handle a', 'handle b'])
  })

  it('skips what was handled at its own position too, unless the consumer asked for this delivery', () => {
    const log: Log = []
    const guard = new Guard(verifierFor())
    const seekable = fresh({ position: 'topic/0/7' })
    guard.receive(deliveryOf(log, 'a', seekable, { handle: commit }))
    guard.receive(deliveryOf(log, 'b', seekable, { handle: commit }))
    guard.receive(deliveryOf(log, 'c', { ...seekable, reprocess: false }, { handle: commit }))
    guard.receive(deliveryOf(log, 'd', { ...seekable, reprocess: true }, { handle: commit }))
    guard.receive(deliveryOf(log, 'e', { ...seekable, reprocess: true, position: 'topic/0/8' }, { handle: commit }))
    guard.receive(deliveryOf(log, 'f', seekable, { handle: commit }))
    expect(log).toEqual(['handle a', 'acknowledge b', 'acknowledge c', 'handle d', 'acknowledge e', 'acknowledge f'])
  })

  it('with the option reprocess handles again what was handled at its own position, and skips a copy', () => {
    const log: Log = []
    const verifier = verifierFor()
    const seekable = fresh({ position: 'topic/0/7' })
    new Guard(verifier).receive(deliveryOf(log, 'a', seekable, { handle: commit }))
    const again = new Guard(verifier, { reprocess: true })
    again.receive(deliveryOf(log, 'b', seekable, { handle: commit }))
    again.receive(deliveryOf(log, 'c', { ...seekable, position: 'topic/0/8' }, { handle: commit }))
    const unplaced = fresh()
    again.receive(deliveryOf(log, 'd', unplaced, { handle: commit }))
    again.receive(deliveryOf(log, 'e', unplaced, { handle: commit }))
    new Guard(verifier).receive(deliveryOf(log, 'f', seekable, { handle: commit }))
    expect(log).toEqual(['handle a', 'handle b', 'acknowledge c', 'handle d', 'acknowledge e', 'acknowledge f'])
  })

  it('a run that was asked for and fails leaves the message handled', () => {
    const log: Log = []
    const guard = new Guard(verifierFor())
    const seekable = fresh({ position: 'topic/0/7' })
    guard.receive(deliveryOf(log, 'a', seekable, { handle: commit }))
    const fails = { handle: (admission: Admission) => void admission.release() }
    guard.receive(deliveryOf(log, 'b', { ...seekable, reprocess: true }, fails))
    guard.receive(deliveryOf(log, 'c', seekable, { handle: commit }))
    expect(log).toEqual(['handle a', 'handle b', 'acknowledge c'])
  })

  it('waits with a copy while the first is being handled, and lets others pass', async () => {
    const held = record('queue-key-auth:held')
    const log: Log = []
    const guard = new Guard(verifierFor())
    const [message, first] = [fresh(), new Latch<Admission>()]
    guard.receive(deliveryOf(log, 'a', message, { handle: (admission) => first.open(admission) }))
    const copy = guard.receive(deliveryOf(log, 'copy', message))
    guard.receive(deliveryOf(log, 'b', fresh()))
    expect(log).toEqual(['handle a', 'handle b'])
    expect(held).toEqual([{ queue: 'orders', code: 'in-progress', attempt: 0 }])
    ;(await first.promise).commit()
    expect(await copy).toBe('settled')
    expect(log).toEqual(['handle a', 'handle b', 'acknowledge copy'])
  })

  it('rejects another message under the same token id', async () => {
    const log: Log = []
    const guard = new Guard(verifierFor())
    const jti = 'one-id-for-two-messages'
    const other = { ...MESSAGE, payload: Buffer.from('another') }
    guard.receive(deliveryOf(log, 'a', receivedWith(tokenOf({ claims: { jti } })), { handle: commit }))
    const second = receivedWith(tokenOf({ message: other, claims: { jti } }), { payload: other.payload })
    expect(await guard.receive(deliveryOf(log, 'b', second))).toBe('settled')
    expect(log).toEqual(['handle a', 'dead-letter b token-id-reused', 'stored b', 'acknowledge b'])
  })

  it('the other signature that ECDSA has for the same text is a copy', () => {
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const token = tokenOf({ algorithm: 'ES256' })
    const [header, claims, signature = ''] = token.split('.')
    const bytes = Buffer.from(signature, 'base64url')
    const s = order - BigInt(`0x${bytes.toString('hex', 32)}`)
    const other = Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')])
    const log: Log = []
    const guard = new Guard(verifierFor({ keys: keysOf(lineOf(undefined, 'ES256')) }))
    guard.receive(deliveryOf(log, 'a', receivedWith(token), { handle: commit }))
    guard.receive(deliveryOf(log, 'b', receivedWith(`${header}.${claims}.${other.toString('base64url')}`)))
    expect(log).toEqual(['handle a', 'acknowledge b'])
  })

  it('the same id of another service, or in another queue, is another message', () => {
    const log: Log = []
    const keys = keysOf(lineOf('queues="**"'), lineOf('queues="**"', 'Ed25519', 'etl'))
    const guard = new Guard(verifierFor({ keys }))
    const jti = 'one-id-for-two-messages'
    for (const [iss, queue] of [
      ['checkout', 'orders'],
      ['etl', 'orders'],
      ['checkout', 'invoices'],
    ] as const) {
      const message = receivedWith(tokenOf({ claims: { iss, jti } }), { queue })
      guard.receive(deliveryOf(log, `${iss} ${queue}`, message, { handle: commit }))
    }
    expect(log).toEqual(['handle checkout orders', 'handle etl orders', 'handle checkout invoices'])
  })

  it('remembers nothing with replay off', () => {
    const log: Log = []
    const guard = new Guard(verifierFor({ replay: 'off' }))
    const message = fresh()
    guard.receive(deliveryOf(log, 'a', message, { handle: commit }))
    guard.receive(deliveryOf(log, 'b', message, { handle: commit }))
    expect(log).toEqual(['handle a', 'handle b'])
  })
})

describe('with a remote store', () => {
  it('keeps the order of the deliveries, whatever the order of the answers', async () => {
    const replay = new ScriptedStore()
    const [first, second] = [new Latch<'run'>(), new Latch<'run'>()]
    replay.begins.push(
      () => first.promise,
      () => second.promise,
    )
    const log: Log = []
    const guard = new Guard(verifierFor({ replay }))
    const outcomes = ['a', 'b', 'c'].map((name) => guard.receive(deliveryOf(log, name, fresh())))
    const rejected = guard.receive(deliveryOf(log, 'd', bad()))
    expect(replay.calls).toEqual(['begin', 'begin', 'begin'])
    expect(guard.turn).toBeInstanceOf(Promise)
    second.open('run')
    await second.promise
    expect(log).toEqual([])
    first.open('run')
    expect(await Promise.all(outcomes)).toEqual(['handled', 'handled', 'handled'])
    await rejected
    expect(log).toEqual([
      'handle a',
      'handle b',
      'handle c',
      'dead-letter d body-mismatch',
      'stored d',
      'acknowledge d',
    ])
    expect(guard.turn).toBeUndefined()
    expect(guard.receive(deliveryOf(log, 'e', fresh()))).toBe('handled')
  })

  it('a handler that runs on holds up nobody, and one that throws passes its error through', async () => {
    const replay = new ScriptedStore()
    replay.begins.push(
      async (): Promise<'run'> => 'run',
      async (): Promise<'run'> => 'run',
    )
    const [error, long, log] = [new Error('the user\u2019s own'), new Latch(), [] as Log]
    const guard = new Guard(verifierFor({ replay }))
    const running = guard.receive(deliveryOf(log, 'a', fresh(), { handle: () => long.promise }))
    const throwing = guard.receive(
      deliveryOf(log, 'b', fresh(), {
        handle: () => {
          throw error
        },
      }),
    )
    const after = guard.receive(deliveryOf(log, 'c', fresh()))
    await expect(throwing).rejects.toBe(error)
    expect(await after).toBe('handled')
    expect(log).toEqual(['handle a', 'handle b', 'handle c'])
    long.open()
    expect(await running).toBe('handled')
  })

  it.each<[string, () => never | Promise<never>]>([
    ['throws', failing],
    ['rejects', async () => failing()],
    ['answers nonsense', (async () => 'maybe') as never],
  ])(
    'that %s: the message is held and handled later, the others go on, nothing is dead-lettered',
    async (_, answer) => {
      const held = record('queue-key-auth:held')
      const verdicts = record('queue-key-auth:verdict')
      const replay = new ScriptedStore()
      replay.begins.push(answer, () => 'run', answer)
      const log: Log = []
      const guard = new Guard(verifierFor({ replay }))
      const [deferred, other] = ['a', 'b'].map((name) => guard.receive(deliveryOf(log, name, fresh())))
      expect(await other).toBe('handled')
      expect(await deferred).toBe('handled')
      expect(log).toEqual(['handle b', 'handle a'])
      expect(held.map(({ code, attempt }) => [code, attempt])).toEqual([
        ['store-unavailable', 0],
        ['store-unavailable', 1],
      ])
      expect(verdicts.map(({ verdict }) => ('code' in verdict ? verdict.code : verdict.outcome))).toEqual([
        'store-unavailable',
        'authorized',
        'authorized',
      ])
    },
  )

  it('asks with the same owner again and again, and with another for another delivery', async () => {
    const owners: string[] = []
    const replay = new ScriptedStore()
    replay.begins.push((claim) => {
      owners.push(claim.owner)
      return failing()
    })
    replay.begins.push((claim) => {
      owners.push(claim.owner)
      return 'run'
    })
    replay.begins.push((claim) => {
      owners.push(claim.owner)
      return 'run'
    })
    const guard = new Guard(verifierFor({ replay }))
    await guard.receive(deliveryOf([], 'a', fresh()))
    guard.receive(deliveryOf([], 'b', fresh()))
    expect(owners).toHaveLength(3)
    expect(owners[0]).toBe(owners[1])
    expect(owners[2]).not.toBe(owners[0])
  })

  it('commits before anything may be acknowledged, also when asked twice', async () => {
    const replay = new ScriptedStore()
    const answer = new Latch<'committed'>()
    replay.commits.push(() => answer.promise)
    let admission: Admission | undefined
    const guard = new Guard(verifierFor({ replay }))
    guard.receive(
      deliveryOf([], 'a', fresh(), {
        handle: (given) => {
          admission = given
        },
      }),
    )
    const asked = [admission?.commit(), admission?.commit()]
    expect(asked.every((promise) => promise instanceof Promise)).toBe(true)
    answer.open('committed')
    expect(await Promise.all(asked)).toEqual([true, true])
    admission?.release()
    expect(replay.calls).toEqual(['begin', 'commit'])
  })

  it('commits later when it is unreachable, and says no when the consumer lets go before that', async () => {
    const replay = new ScriptedStore()
    replay.commits.push(
      failing,
      async () => failing(),
      () => 'lost',
    )
    const admissions: Admission[] = []
    const controller = new AbortController()
    const guard = new Guard(verifierFor({ replay }), { signal: controller.signal })
    for (const name of ['a', 'b'])
      guard.receive(deliveryOf([], name, fresh(), { handle: (given) => void admissions.push(given) }))
    expect(await admissions[0]?.commit()).toBe(true)
    replay.commits.push(failing, failing, failing, failing, failing, failing, failing)
    const given = admissions[1]?.commit()
    controller.abort()
    expect(await given).toBe(false)
  })

  it('what was released is not committed any more', () => {
    const replay = new ScriptedStore()
    let admission: Admission | undefined
    new Guard(verifierFor({ replay })).receive(
      deliveryOf([], 'a', fresh(), {
        handle: (given) => {
          admission = given
        },
      }),
    )
    admission?.release()
    admission?.release()
    expect(admission?.commit()).toBe(true)
    expect(replay.calls).toEqual(['begin', 'release'])
  })
})
