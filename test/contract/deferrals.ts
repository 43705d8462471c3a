import { describe, expect, it } from 'vitest'
import type { KeySource } from '../../src/authorized-keys/snapshot.ts'
import type { DeferCode } from '../../src/reasons.ts'
import type { VerifierOptions } from '../../src/verifier.ts'
import { eventually } from '../eventually.ts'
import type { Features, Harness } from './harness.ts'
import { keys } from './keys.ts'
import { openScene, settlements } from './scene.ts'
import { FlakyStore } from './stores.ts'

interface Fault {
  readonly options: Partial<VerifierOptions>
  begin(): void
  end(): void
}

function keysUnavailable(): Fault {
  let up = true
  const source: KeySource = {
    get snapshot() {
      return up ? keys.snapshot : undefined
    },
  }
  return {
    options: { keys: source },
    begin: () => {
      up = false
    },
    end: () => {
      up = true
    },
  }
}

function storeUnavailable(): Fault {
  const replay = new FlakyStore()
  return {
    options: { replay },
    begin: () => {
      replay.up = false
    },
    end: () => {
      replay.up = true
    },
  }
}

function clockJump(): Fault {
  let [wall, monotonic] = [0, 0]
  const clock = { now: () => Date.now() + wall, monotonic: () => performance.now() + monotonic }
  return {
    options: { clock },
    begin: () => {
      wall += 3_600_000
    },
    end: () => {
      wall += 31_000
      monotonic += 31_000
    },
  }
}

const faults: readonly (readonly [DeferCode, () => Fault])[] = [
  ['keys-unavailable', keysUnavailable],
  ['store-unavailable', storeUnavailable],
  ['clock-unreliable', clockJump],
]

export function deferralTests(harness: Harness, features: Features): void {
  describe.each(faults)('%s', (code, makeFault) => {
    it('holds messages, settles and dead-letters nothing, and hands them on after it', async () => {
      const fault = makeFault()
      const scene = await openScene(harness, fault.options)
      const consumer = await scene.consume()
      await scene.send('before')
      await scene.settled()
      fault.begin()
      await scene.send('during 1')
      await scene.send('during 2')
      await eventually(() => expect(scene.refusals).toEqual(features.ordered ? [code] : [code, code]))
      expect(scene.handled).toEqual(['before'])
      await eventually(() => expect(settlements(consumer)).toEqual(['ack before']))
      expect(await harness.take(harness.deadLetterQueueOf(scene.queue))).toEqual([])
      fault.end()
      await eventually(() =>
        expect(settlements(consumer).sort()).toEqual(['ack before', 'ack during 1', 'ack during 2']),
      )
      expect(scene.handled.sort()).toEqual(['before', 'during 1', 'during 2'])
      await scene.settled()
      expect(await harness.take(harness.deadLetterQueueOf(scene.queue))).toEqual([])
    })

    it('lets go of held messages when the client closes', async () => {
      const fault = makeFault()
      const scene = await openScene(harness, fault.options)
      const first = await scene.consume()
      fault.begin()
      await scene.send('x')
      await eventually(() => expect(scene.refusals).toEqual([code]))
      await first.close()
      fault.end()
      const second = await scene.consume()
      await eventually(() => expect(settlements(second)).toEqual(['ack x']))
      expect(settlements(first)).toEqual([])
      expect(scene.handled).toEqual(['x'])
    })
  })

  it('a commit that cannot be written keeps its message from being acknowledged until it can', async () => {
    const replay = new FlakyStore()
    const scene = await openScene(harness, { replay })
    const consumer = await scene.consume({
      handler: (delivered) => {
        // Once: the message behind it may be handled before the commit is tried again.
        if (scene.handled.length === 1) replay.up = false
        delivered.ack()
      },
    })
    await scene.send('x')
    await eventually(() => expect(scene.handled).toEqual(['x']))
    await scene.send('later')
    if (!features.ordered) await eventually(() => expect(scene.refusals).toEqual(['store-unavailable']))
    expect(settlements(consumer)).toEqual([])
    replay.up = true
    await eventually(() => expect(settlements(consumer).sort()).toEqual(['ack later', 'ack x']))
  })
}
