import { expect, it } from 'vitest'
import { eventually } from '../eventually.ts'
import type { Delivered, Features, Harness } from './harness.ts'
import { openScene, settlements, text } from './scene.ts'
import { GatedStore } from './stores.ts'

/** The consumer's connection breaks between any two steps; another consumer takes over. The lease is short. */
export function crashTests(harness: Harness, features: Features): void {
  const leaseSeconds = 0.2

  it('before the handler: the message is handled by the next consumer', async () => {
    const replay = new GatedStore()
    const scene = await openScene(harness, { replay, leaseSeconds })
    const first = await scene.consume()
    await scene.send('x')
    await eventually(() => expect(replay.waiting).toBe(1))
    first.kill()
    await first.ended
    replay.open()
    const second = await scene.consume()
    await eventually(() => expect(settlements(second)).toEqual(['ack x']))
    // Where the loss shows only at the next heartbeat, the first may start as well.
    expect([...new Set(scene.handled)]).toEqual(['x'])
    if (!features.positions) expect(scene.handled).toHaveLength(1)
    expect(settlements(first)).toEqual([])
  })

  it('in the handler: the message is handled again when the lease is over', async () => {
    const scene = await openScene(harness, { leaseSeconds })
    const first = await scene.consume({ handler: () => undefined })
    await scene.send('x')
    await eventually(() => expect(scene.handled).toEqual(['x']))
    first.kill()
    await first.ended
    const second = await scene.consume()
    await eventually(() => expect(settlements(second)).toEqual(['ack x']))
    expect(scene.handled).toEqual(['x', 'x'])
    expect(scene.refusals.filter((code) => code !== 'in-progress')).toEqual([])
  })

  it('in the handler, whose acknowledgement throws: nothing counts as handled, and it comes again at once', async ({
    skip,
  }) => {
    skip(features.positions === true, 'the transport has positions, so the redelivery is handled')
    const scene = await openScene(harness, { leaseSeconds: 3_600 })
    const held: Delivered[] = []
    const first = await scene.consume({ handler: (delivered) => held.push(delivered) })
    await scene.send('x')
    await eventually(() => expect(held).toHaveLength(1))
    first.kill()
    await first.ended
    // Whoever calls it in a transaction rolls back.
    expect(() => held[0]?.ack()).toThrow()
    const second = await scene.consume()
    await eventually(() => expect(settlements(second)).toEqual(['ack x']))
    expect(scene.handled).toEqual(['x', 'x'])
    expect(scene.refusals).toEqual([])
  })

  it('after the handler, before the acknowledgement: the redelivery is skipped', async () => {
    const scene = await openScene(harness, { leaseSeconds })
    const first = await scene.consume()
    first.dieAtNextSettlement()
    await scene.send('x')
    await first.ended
    const second = await scene.consume()
    await eventually(() => expect(settlements(second)).toEqual(['ack x']))
    expect(scene.handled).toEqual(['x'])
    expect(scene.refusals).toEqual(['duplicate'])
    await scene.settled()
    expect(await harness.take(harness.deadLetterQueueOf(scene.queue))).toEqual([])
  })

  it('before the dead letter is stored: the next consumer stores it', async () => {
    const scene = await openScene(harness)
    await harness.breakDeadLetters(scene.queue)
    const first = await scene.consume()
    await scene.attack({ payload: Buffer.from('forged') })
    await eventually(() => expect(scene.refusals).toEqual(['token-missing']))
    if (!features.ordered) await scene.settled()
    first.kill()
    await first.ended
    await harness.repairDeadLetters(scene.queue)
    const second = await scene.consume()
    const [letter] = await scene.deadLetters(1)
    expect(text(letter?.payload ?? null)).toBe('forged')
    await eventually(() => expect(settlements(second)).toEqual(['ack forged']))
    expect(settlements(first)).toEqual([])
    expect(scene.handled).toEqual([])
  })

  it('after the dead letter is stored, before the acknowledgement: it is stored again, never lost', async ({
    skip,
  }) => {
    skip(features.atomicDeadLetters === true, 'the transport has atomicDeadLetters')
    const scene = await openScene(harness)
    const first = await scene.consume()
    first.dieAtNextSettlement()
    await scene.attack({ payload: Buffer.from('forged') })
    await first.ended
    await scene.deadLetters(1)
    const second = await scene.consume()
    await scene.deadLetters(1)
    await eventually(() => expect(settlements(second)).toEqual(['ack forged']))
    expect(scene.handled).toEqual([])
  })
}
