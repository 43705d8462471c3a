import { expect, it } from 'vitest'
import { releaseForRetry } from '../../src/verdict.ts'
import { eventually } from '../eventually.ts'
import type { Delivered, Features, Harness } from './harness.ts'
import { openScene, settlements } from './scene.ts'

export function replayTests(harness: Harness, features: Features): void {
  it('a message that is given back is handled again', async ({ skip }) => {
    skip(!features.requeue, 'the transport has no requeue')
    const scene = await openScene(harness)
    let deliveries = 0
    const consumer = await scene.consume({
      handler: (delivered) => (++deliveries < 3 ? delivered.nack() : delivered.ack()),
    })
    await scene.send('x')
    await eventually(() => expect(settlements(consumer)).toEqual(['requeue x', 'requeue x', 'ack x']))
    expect(scene.handled).toEqual(['x', 'x', 'x'])
    expect(scene.refusals).toEqual([])
  })

  it('a message that was not settled when its client closed is handled again', async ({ skip }) => {
    skip(features.awaitsHandler === true, 'the client waits for its handlers before it closes')
    const scene = await openScene(harness, { leaseSeconds: 0.2 })
    const first = await scene.consume({ handler: () => undefined })
    await scene.send('x')
    await eventually(() => expect(scene.handled).toEqual(['x']))
    await first.close()
    const second = await scene.consume()
    await eventually(() => expect(settlements(second)).toEqual(['ack x']))
    expect(settlements(first)).toEqual([])
    expect(scene.handled).toEqual(['x', 'x'])
  })

  it('a copy of a message that was handled is skipped', async () => {
    const scene = await openScene(harness)
    const consumer = await scene.consume()
    const message = scene.sign('x')
    await scene.attack(message)
    await scene.settled()
    await scene.attack(message, message)
    await eventually(() => expect(settlements(consumer)).toEqual(['ack x', 'ack x', 'ack x']))
    expect(scene.handled).toEqual(['x'])
    expect(scene.refusals).toEqual(['duplicate', 'duplicate'])
    await scene.settled()
    expect(await harness.take(harness.deadLetterQueueOf(scene.queue))).toEqual([])
  })

  it('a copy of a message in hand waits, without holding up others, and is skipped after it', async ({ skip }) => {
    skip(features.ordered === true, 'the transport settles in order')
    const scene = await openScene(harness)
    let inHand: Delivered | undefined
    const consumer = await scene.consume({
      handler: (delivered) => {
        inHand = delivered
      },
    })
    const message = scene.sign('x')
    await scene.attack(message, message)
    await scene.settled()
    expect(scene.handled).toEqual(['x'])
    expect(scene.refusals).toEqual(['in-progress'])
    expect(settlements(consumer)).toEqual([])
    inHand?.ack()
    await eventually(() => expect(settlements(consumer)).toEqual(['ack x', 'ack x']))
    expect(scene.refusals).toEqual(['in-progress', 'duplicate'])
    expect(scene.handled).toEqual(['x'])
  })

  it('a copy of a message that was given back is handled', async ({ skip }) => {
    skip(!features.requeue, 'the transport has no requeue')
    skip(features.ordered === true, 'the transport settles in order')
    const scene = await openScene(harness)
    const held: Delivered[] = []
    const consumer = await scene.consume({ handler: (delivered) => held.push(delivered) })
    const message = scene.sign('x')
    await scene.attack(message, message)
    await scene.settled()
    held.shift()?.nack()
    await eventually(() => expect(scene.handled).toEqual(['x', 'x']))
    held.shift()?.ack()
    await eventually(() => expect(settlements(consumer)).toEqual(['requeue x', 'ack x', 'ack x']))
    expect(scene.handled).toEqual(['x', 'x'])
  })

  it.each([
    ['is handled again where it was released before', true],
    ['is skipped where it was not', false],
  ])('a message that its handler publishes again with its token %s', async (_what, released) => {
    const scene = await openScene(harness)
    const message = scene.sign('x')
    const consumer = await scene.consume({
      handler: async (delivered) => {
        if (scene.handled.length === 1) {
          if (released) await releaseForRetry(delivered.message)
          await scene.attack(message)
        }
        delivered.ack()
      },
    })
    await scene.attack(message)
    await eventually(() => expect(settlements(consumer)).toEqual(['ack x', 'ack x']))
    expect(scene.handled).toEqual(released ? ['x', 'x'] : ['x'])
    expect(scene.refusals.filter((code) => code !== 'in-progress')).toEqual(released ? [] : ['duplicate'])
    await scene.settled()
    expect(await harness.take(harness.deadLetterQueueOf(scene.queue))).toEqual([])
  })

  it('a message that was copied to another queue is refused there', async () => {
    const [here, there] = [await openScene(harness), await openScene(harness)]
    const consumer = await there.consume()
    await there.attack(here.sign('x'))
    await there.deadLetters(1)
    expect(there.refusals).toEqual(['destination-mismatch'])
    await eventually(() => expect(settlements(consumer)).toEqual(['ack x']))
    expect(there.handled).toEqual([])
  })
}
