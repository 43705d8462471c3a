import { describe, expect, it } from 'vitest'
import type { DeadLetter } from '../../src/dead-letter.ts'
import { guardHandler, type HandledMessage, type PlainDelivery } from '../../src/guard-handler.ts'
import type { HeaderValue, ReceivedMessage } from '../../src/message.ts'
import { sentBy, testKeys } from '../../src/testing.ts'
import { inspectionOf, releaseForRetry, senderOf, unsignedHeaders, verdictOf } from '../../src/verdict.ts'
import { splitHeaders } from '../../src/view.ts'
import { bad, failing, fresh, Latch, type Log, listenDuringEachTest, ScriptedStore } from './deliveries.ts'
import { MESSAGE, receivedWith, tokenOf, verifierFor } from './helpers.ts'

listenDuringEachTest()

const hostile = (headers: Record<string, HeaderValue>): Record<string, HeaderValue> => {
  const table = Object.assign(Object.create(null), MESSAGE.headers, headers) as Record<string, HeaderValue>
  Object.defineProperty(table, '__proto__', { value: { polluted: true }, enumerable: true })
  Object.defineProperty(table, 'constructor', { value: 'x', enumerable: true })
  return table
}

function deliveryOf(log: Log, message: ReceivedMessage, acknowledge?: () => void): PlainDelivery {
  return {
    message,
    acknowledge: () => {
      log.push('acknowledge')
      acknowledge?.()
    },
    reject: () => {
      log.push('reject')
    },
  }
}

describe('guardHandler', () => {
  it('commits, then acknowledges, when the handler is through', async () => {
    const log: Log = []
    const replay = new ScriptedStore()
    const through = new Latch()
    const handling = guardHandler(deliveryOf(replay.calls, fresh()), verifierFor({ replay }), () => through.promise, {})
    expect(replay.calls).toEqual(['begin'])
    through.open()
    expect(await handling).toBe('handled')
    expect(replay.calls).toEqual(['begin', 'commit', 'acknowledge'])
    expect(log).toEqual([])
  })

  it('rejects with the handler\u2019s own error, settles nothing and lets the id go', async () => {
    const error = new Error('the user\u2019s own')
    for (const handler of [
      () => Promise.reject(error),
      () => {
        throw error
      },
    ]) {
      const replay = new ScriptedStore()
      await expect(guardHandler(deliveryOf(replay.calls, fresh()), verifierFor({ replay }), handler, {})).rejects.toBe(
        error,
      )
      expect(replay.calls).toEqual(['begin', 'release'])
    }
  })

  it('skips what was handled', async () => {
    const verifier = verifierFor()
    const log: Log = []
    const message = fresh()
    const handler = (): void => void log.push('handle')
    expect(await guardHandler(deliveryOf(log, message), verifier, handler, {})).toBe('handled')
    expect(await guardHandler(deliveryOf(log, message), verifier, handler, {})).toBe('settled')
    expect(log).toEqual(['handle', 'acknowledge', 'acknowledge'])
  })

  it.each([
    ['dead-letter', ['dead-letter body-mismatch', 'acknowledge']],
    ['reject', ['reject']],
    ['acknowledge', ['acknowledge']],
  ] as const)('onRejected: %s', async (onRejected, expected) => {
    const log: Log = []
    const deadLetter = async (letter: DeadLetter<ReceivedMessage>): Promise<void> =>
      void log.push(`dead-letter ${letter.reason}`)
    expect(await guardHandler(deliveryOf(log, bad()), verifierFor(), failing, { onRejected, deadLetter })).toBe(
      'settled',
    )
    expect(log).toEqual(expected)
  })

  it('without anywhere to put dead letters, settles nothing until it is let go', async () => {
    const log: Log = []
    const controller = new AbortController()
    const handling = guardHandler(deliveryOf(log, bad()), verifierFor(), failing, { signal: controller.signal })
    controller.abort()
    expect(await handling).toBe('let-go')
    expect(log).toEqual([])
  })
})

describe('what the handler gets', () => {
  async function handled(
    message: ReceivedMessage,
    options: Parameters<typeof verifierFor>[0] = {},
  ): Promise<HandledMessage> {
    let seen: HandledMessage | undefined
    await guardHandler(
      deliveryOf([], message),
      verifierFor(options),
      (view) => {
        seen = view
      },
      {},
    )
    return seen as HandledMessage
  }

  it('is what was signed; the rest is kept apart', async () => {
    const message = fresh({ headers: hostile({ priority: 9, traceparent: '00-a', 'x-death': 'x' }) })
    const view = await handled(message)
    expect(view.headers).toEqual({ tenant: 'acme', 'x-attempt': 1, traceparent: '00-a' })
    expect(Object.getPrototypeOf(view.headers)).toBe(Object.prototype)
    expect(view.payload).toEqual(MESSAGE.payload)
    expect(view.destination).toBe(MESSAGE.destination)
    const apart = unsignedHeaders(view)
    expect(Object.getPrototypeOf(apart)).toBeNull()
    expect(Object.keys(apart)).toEqual(['priority', 'x-death', '__proto__', 'constructor'])
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
    expect(senderOf(view)).toMatchObject({ service: 'checkout', destination: MESSAGE.destination })
    expect(verdictOf(view)?.outcome).toBe('authorized')
  })

  it('keeps its sender on a spread copy, and nothing from the wire can set one', async () => {
    const view = await handled(fresh())
    expect(senderOf({ ...view })).toEqual(senderOf(view))
    expect(senderOf(JSON.parse(JSON.stringify(view)))).toBeUndefined()
    expect(senderOf(structuredClone({ 'queue-key-auth.inspection': 1, headers: view.headers }))).toBeUndefined()
    expect(Object.isFrozen(view)).toBe(false)
  })

  it('is what was checked, whatever becomes of the transport\u2019s message while the store is asked', async () => {
    const replay = new ScriptedStore()
    const headers = { ...MESSAGE.headers } as Record<string, HeaderValue>
    const properties = { ...MESSAGE.properties }
    const message = { ...fresh(), headers, properties }
    replay.begins.push(async (): Promise<'run'> => {
      headers.tenant = 'evil'
      properties.type = 'evil'
      message.payload = Buffer.from('evil')
      return 'run'
    })
    const view = await handled(message, { replay })
    expect(view.headers).toEqual(MESSAGE.headers)
    expect(view.properties).toEqual(MESSAGE.properties)
    expect(view.payload).toEqual(MESSAGE.payload)
  })

  describe('down to the bytes, where the transport uses its buffers again', () => {
    const kept = Buffer.from('kept')
    const SIGNED = {
      ...MESSAGE,
      headers: { blob: Buffer.from('blob'), list: [Buffer.from('in a list'), ['deeper']], table: { a: { b: 'c' } } },
      properties: { type: Buffer.from('order'), messageId: 'm-1' },
    }
    /** A message in buffers of a transport, and what it does with them next. */
    const reused = (payload: Uint8Array) => {
      const blob = Buffer.from('blob')
      const inList = Buffer.from('in a list')
      const deeper = ['deeper']
      const table = { a: { b: 'c' } }
      const type = Buffer.from('order')
      const message = receivedWith(tokenOf({ message: { ...SIGNED, payload: Buffer.from(payload) } }), {
        payload,
        headers: { blob, list: [inList, deeper], table },
        properties: { type, messageId: 'm-1' },
      })
      const reuse = (): void => {
        for (const bytes of [payload, blob, inList, type]) bytes.fill(0x78)
        deeper[0] = 'x'
        table.a.b = 'x'
      }
      return { message, reuse }
    }
    const payloads: [string, () => Uint8Array][] = [
      ['a Buffer', () => Buffer.from(kept)],
      ['a Uint8Array', () => new Uint8Array(kept)],
      ['memory that threads share', () => Buffer.from(new SharedArrayBuffer(4)).fill(kept)],
    ]

    it.each(payloads)('the handler gets what was checked: %s', async (_what, payload) => {
      for (const late of [true, false]) {
        const replay = new ScriptedStore()
        const { message, reuse } = reused(payload())
        replay.begins.push(async (): Promise<'run'> => {
          if (late) await Promise.resolve()
          reuse()
          return 'run'
        })
        const view = await handled(message, { replay })
        expect(Buffer.from(view.payload ?? []).toString()).toBe('kept')
        expect({ ...view.headers }).toEqual(SIGNED.headers)
        expect(view.properties).toEqual(SIGNED.properties)
      }
    })

    it('and so does a handler that waits itself, where the store is in memory', async () => {
      const { message, reuse } = reused(Buffer.from(kept))
      const view = await handled(message)
      reuse()
      expect(String(view.payload)).toBe('kept')
      expect({ ...view.headers }).toEqual(SIGNED.headers)
    })

    it('the dead letter has what was rejected', async () => {
      const { message, reuse } = reused(Buffer.from('evil'))
      const forged = { ...message, token: fresh().token }
      const letters: DeadLetter<ReceivedMessage>[] = []
      const deadLetter = async (letter: DeadLetter<ReceivedMessage>): Promise<void> => {
        reuse()
        letters.push(letter)
      }
      await guardHandler(deliveryOf([], forged), verifierFor(), () => undefined, { deadLetter })
      expect(letters[0]?.reason).toBe('body-mismatch')
      for (const { payload } of [letters[0]?.received, letters[0]?.message] as ReceivedMessage[]) {
        expect(String(payload)).toBe('evil')
      }
    })

    it('headers that are nested too deeply to be signed, or go round in a circle, do no harm', async () => {
      let deep: HeaderValue = 'x'
      for (let depth = 0; depth < 50_000; depth++) deep = [deep]
      const round: HeaderValue[] = []
      round.push(round)
      const view = await handled(fresh({ headers: { ...MESSAGE.headers, deep, round } }))
      expect(Object.keys(view.headers)).toEqual(['tenant', 'x-attempt'])
    })
  })

  it('the signed address where the address of the delivery was not compared', async () => {
    const message = fresh({ deliveredBy: ['amqp:/retry'] })
    expect((await handled(message, { destinations: ['amqp:orders/*.*'] })).destination).toBe(MESSAGE.destination)
  })

  it('everything as it came where the policy observes or accepts unsigned messages, and no sender', async () => {
    const message = receivedWith(undefined, { headers: hostile({ priority: 9 }) })
    for (const options of [{ rollout: 'observe' }, { acceptUnsignedUntil: '2100-01-01' }] as const) {
      const view = await handled(message, options)
      expect(Object.keys(view.headers)).toEqual(['tenant', 'x-attempt', 'priority', '__proto__', 'constructor'])
      expect(view.headers.polluted).toBeUndefined()
      expect(senderOf(view)).toBeUndefined()
      expect(verdictOf(view)?.outcome).toBe('rollout' in options ? 'rejected' : 'unsigned')
      expect(unsignedHeaders(view)).toEqual({})
    }
  })

  it('can be let go for a retry with its old token', async () => {
    const verifier = verifierFor()
    const log: Log = []
    const message = fresh()
    const retrying = (view: HandledMessage): Promise<void> => releaseForRetry(view)
    await guardHandler(deliveryOf(log, message), verifier, retrying, {})
    await guardHandler(deliveryOf(log, message), verifier, () => void log.push('handled again'), {})
    expect(log).toEqual(['acknowledge', 'handled again', 'acknowledge'])
  })

  it('the broker\u2019s own headers by exact name, where a transport lists them', () => {
    const { visible, unsigned } = splitHeaders(
      { a: 1, 'x-delivery-count': 2, 'x-delivery': 3 },
      ['a'],
      new Set(['x-delivery-count']),
    )
    expect([visible, { ...unsigned }]).toEqual([{ a: 1, 'x-delivery-count': 2 }, { 'x-delivery': 3 }])
  })
})

describe('a message that nobody checked', () => {
  it('has no sender, no verdict and nothing unsigned, and letting it go is harmless', async () => {
    for (const message of [{}, Object.create(null) as object, [], Buffer.from('x')]) {
      expect([senderOf(message), verdictOf(message), inspectionOf(message)]).toEqual([undefined, undefined, undefined])
      expect(Object.keys(unsignedHeaders(message))).toEqual([])
      await releaseForRetry(message)
    }
    expect(inspectionOf(null)).toBeUndefined()
    expect(Object.isFrozen(unsignedHeaders({}))).toBe(true)
  })
})

describe('queue-key-auth/testing', () => {
  it('testKeys sign and verify, for the queues that were asked', () => {
    const { signer, keys, verifier } = testKeys('checkout', 'orders')
    const message = { queue: 'orders', deliveredBy: ['memory:orders'], payload: null }
    const token = signer.sign({ destination: 'memory:orders', payload: null })
    expect(verifier.verify({ ...message, token }).sender.service).toBe('checkout')
    expect([keys.can('checkout', 'orders'), keys.can('checkout', 'other')]).toEqual([true, false])
  })

  it('sentBy makes a message look signed', () => {
    const message = { body: 1 }
    expect(sentBy('checkout', message)).toBe(message)
    expect(senderOf(message)?.service).toBe('checkout')
  })
})
