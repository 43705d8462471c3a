import { describe, expect, it } from 'vitest'
import type { HeaderValue } from '../../src/message.ts'
import { Verifier } from '../../src/verifier.ts'
import { eventually } from '../eventually.ts'
import { numbered } from './fidelity.ts'
import type { Delivered, Features, Harness, TestMessage } from './harness.ts'
import { keys, shop } from './keys.ts'
import { openScene, settlements } from './scene.ts'
import { remoteStore } from './stores.ts'

/** What a wrapped client does with authorized traffic is what the plain client does. */
export function transparencyTests(harness: Harness, features: Features): void {
  it('publish returns what the plain client returns', async () => {
    const scene = await openScene(harness)
    const message = { payload: Buffer.from('x') }
    // Of two promises only the values can be compared, and those say where each message stands.
    const [ours, theirs] = [scene.producer, scene.attacker].map((producer) => {
      const returned = producer.publish(scene.queue, message)
      return returned instanceof Promise ? 'a promise' : { returned }
    })
    expect(ours).toEqual(theirs)
  })

  it.for([
    ['a body of another type', false],
    ['a client that is closed', true],
  ] as const)('publish throws what the plain client throws: %s', async ([, closed], { skip }) => {
    skip(!closed && features.anyBody === true, 'the transport has anyBody')
    const scene = await openScene(harness)
    const [signing, plain] = [await harness.openProducer(shop.signer), await harness.openProducer()]
    if (closed) await Promise.all([signing.close(), plain.close()])
    const payload = (closed ? Buffer.from('x') : 12) as Uint8Array
    const [ours, theirs] = (await Promise.all(
      [signing, plain].map((producer) => errorOf(() => producer.publish(scene.queue, { payload }))),
    )) as [Error, Error]
    expect(theirs).toBeInstanceOf(Error)
    expect([ours.constructor, ours.message]).toEqual([theirs.constructor, theirs.message])
    if (!closed) await Promise.all([signing.close(), plain.close()])
  })

  it('publish refuses reserved headers before anything is sent', async () => {
    const scene = await openScene(harness)
    const message = { payload: Buffer.from('x'), headers: { 'queueauth-reason': 'x' } }
    expect(await errorOf(() => scene.producer.publish(scene.queue, message))).toMatchObject({ code: 'header-reserved' })
    await scene.send('good')
    expect((await harness.take(scene.queue)).map(({ payload }) => String(payload))).toEqual(['good'])
  })

  it('publish leaves what it was given alone, and does not keep it', async () => {
    const scene = await openScene(harness)
    await scene.consume()
    const headers: Record<string, HeaderValue> = { text: 'x', bytes: Buffer.from('x') }
    if (features.structuredHeaders) Object.assign(headers, { list: [1, { a: 'b' }], table: { c: ['d'] } })
    const payload = Buffer.from('frozen')
    const frozen: TestMessage = deepFreeze({ payload, headers, properties: { type: 'order' } })
    scene.producer.publish(scene.queue, frozen)
    expect(payload.toString()).toBe('frozen')
    const own = { payload: Buffer.from('changed'), headers: { later: 'no' } }
    scene.producer.publish(scene.queue, own)
    own.headers.later = 'yes'
    await scene.settled()
    expect(scene.handled).toEqual(['frozen', 'changed'])
    expect(scene.deliveries.map((delivered) => String(delivered.headers.later))).toEqual(['undefined', 'no'])
  })

  it('deliveries keep their order while a remote replay store answers out of order', async () => {
    const scene = await openScene(harness, { replay: remoteStore() })
    const bodies = numbered(100)
    const messages = bodies.map((body) => scene.sign(body))
    messages.splice(50, 0, { payload: Buffer.from('forged') })
    await scene.attack(...messages)
    const consumer = await scene.consume()
    await scene.settled()
    expect(scene.handled).toEqual(bodies)
    await eventually(() => expect(settlements(consumer)).toHaveLength(101))
  })

  it('a copy of a message settles it', async () => {
    const scene = await openScene(harness)
    const consumer = await scene.consume({ handler: (delivered) => delivered.ack({ ...delivered.message }) })
    await scene.send('x')
    await eventually(() => expect(settlements(consumer)).toEqual(['ack x']))
    await scene.settled()
  })

  describe.each([
    ['the replay store in memory', () => undefined],
    ['a remote replay store', remoteStore],
  ])('a handler that fails, with %s', (_where, makeStore) => {
    // To a client that waits for its handlers both are the same.
    const ways = ['throwing', ...(features.awaitsHandler ? ['rejecting' as const] : [])] as const

    it.for(ways)('by %s ends as it does on the plain client', async (how, { skip }) => {
      skip(features.handlersSettle === true, 'the transport has handlersSettle')
      const endWith = async (wrapped: boolean): Promise<unknown> => {
        const replay = makeStore()
        const scene = await openScene(harness, replay && { replay })
        const bug = new Error('a bug in the handler')
        const handler = (): Promise<never> => {
          if (how === 'rejecting') return Promise.reject(bug)
          throw bug
        }
        const consumer = await scene.consume({ handler, ...(!wrapped && { verifier: undefined }) })
        await scene.send('x')
        const error = await consumer.ended
        const left = await eventually(async () => {
          const taken = await harness.take(scene.queue)
          expect(taken).not.toEqual([])
          return taken.map(({ payload }) => String(payload))
        })
        return { error: error === bug ? 'the very error' : describeError(error), left, settled: settlements(consumer) }
      }
      expect(await endWith(true)).toEqual(await endWith(false))
    })

    if (features.awaitsHandler) return

    it('by rejecting is an unhandled rejection, as on the plain client', async () => {
      const rejectedWith = async (wrapped: boolean): Promise<unknown> => {
        const replay = makeStore()
        const scene = await openScene(harness, replay && { replay })
        const bug = new Error('a bug in the handler')
        const heard = nextUnhandledRejection()
        const handler = async (): Promise<never> => {
          throw bug
        }
        const consumer = await scene.consume({ handler, ...(!wrapped && { verifier: undefined }) })
        await scene.send('x')
        const reason = await heard
        await scene.settled()
        return { reason: reason === bug, settled: settlements(consumer) }
      }
      expect(await rejectedWith(true)).toEqual(await rejectedWith(false))
    })
  })

  it('close waits for commits and dead letters under way', async () => {
    const scene = await openScene(harness, { replay: remoteStore() })
    let stored = (): void => undefined
    const storing = new Promise<void>((resolve) => {
      stored = resolve
    })
    let letters = 0
    const deadLetter = (): Promise<void> => {
      letters++
      return storing
    }
    const inHand: Delivered[] = []
    const consumer = await scene.consume({ options: { deadLetter }, handler: (delivered) => inHand.push(delivered) })
    // Where messages are settled in order, none is in hand while a dead letter is under way.
    const others = features.ordered ? [] : ['x']
    await scene.attack({ payload: Buffer.from('forged') }, ...others.map((other) => scene.sign(other)))
    await eventually(() => expect([letters, inHand.length]).toEqual([1, others.length]))
    inHand[0]?.ack()
    const closing = consumer.close()
    expect(settlements(consumer)).toEqual([])
    stored()
    await closing
    expect(settlements(consumer).sort()).toEqual(['ack forged', ...others.map((other) => `ack ${other}`)])
  })

  it('a second acknowledgement does not overtake the first', async () => {
    const store = remoteStore()
    const order: string[] = []
    const replay = {
      ...store,
      commit: async (...args: Parameters<typeof store.commit>) => {
        const result = await store.commit(...args)
        order.push('committed')
        return result
      },
    }
    const scene = await openScene(harness, {})
    const consumer = await scene.consume({
      verifier: new Verifier({ keys, replay }),
      handler: (delivered) => {
        delivered.ack()
        order.push(...settlements(consumer))
        void errorOf(() => delivered.ack())
        order.push(...settlements(consumer))
      },
    })
    await scene.send('x')
    await eventually(() => expect(order).toEqual(['committed']))
  })
}

/** Also of an asynchronous client. */
async function errorOf(action: () => unknown): Promise<unknown> {
  try {
    return await action()
  } catch (error) {
    return error
  }
}

function describeError(error: unknown): unknown {
  return error instanceof Error ? [error.constructor.name, error.message] : error
}

/** Bytes cannot be frozen. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  for (const item of Object.values(value)) deepFreeze(item)
  return Object.freeze(value)
}

/** The test runner takes unhandled rejections for failures, so it must not hear of this one. */
function nextUnhandledRejection(): Promise<unknown> {
  const listeners = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  return new Promise((resolve) => {
    process.once('unhandledRejection', (reason) => {
      for (const listener of listeners) process.on('unhandledRejection', listener)
      resolve(reason)
    })
  })
}
