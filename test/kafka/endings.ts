import { setTimeout as sleep } from 'node:timers/promises'
import type { Consumer, ConsumerRunConfig } from 'kafkajs'
import { expect, it } from 'vitest'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import { SilentStore } from '../contract/stores.ts'
import type { OpenScene, Scene } from './scene.ts'

const MODES = ['eachMessage', 'eachBatch'] as const

/** Consumers end, whatever does not answer, and what was in flight comes again. */
export function endingTests(open: OpenScene): void {
  const cases = MODES.flatMap((mode) => (['begin', 'commit', 'release'] as const).map((verb) => [verb, mode] as const))

  it.each(cases)('while the replay store never answers %s; %s', async (verb, mode) => {
    const store = new SilentStore()
    const scene = await open({ replay: store })
    await scene.send([{ value: '0' }])
    const got: string[] = []
    for (const end of endsOf(scene)) {
      store.silent.add(verb)
      const before = store.unanswered.length
      const failing = async (value: string): Promise<void> => {
        got.push(value)
        if (verb === 'release') throw new Error('the handler fails')
      }
      const consumer = await scene.consume(handling(mode, failing))
      await expect.poll(() => store.unanswered.length).toBeGreaterThan(before)
      expect(await ending(consumer, end)).toBe('ended')
    }
    store.silent.clear()
    got.length = 0
    await scene.consume(handling(mode, async (value) => void got.push(value)))
    await expect.poll(() => scene.committed()).toBe('1')
    expect(got).toEqual(['0'])
  })

  it.each(MODES)('while a handler that is through waits for the replay store to take its commit; %s', async (mode) => {
    const store = new SilentStore()
    const scene = await open({ replay: store })
    await scene.send([{ value: '0' }])
    store.silent.add('commit')
    for (const end of endsOf(scene)) {
      let begun = false
      let goOn: () => void = () => undefined
      const through = new Promise<void>((resolve) => {
        goOn = resolve
      })
      const consumer = await scene.consume(
        handling(mode, async () => {
          begun = true
          await through
        }),
      )
      await expect.poll(() => begun).toBe(true)
      const ended = ending(consumer, end)
      await sleep(100)
      goOn()
      expect(await ended).toBe('ended')
    }
    store.silent.clear()
    const got: string[] = []
    await scene.consume(handling(mode, async (value) => void got.push(value)))
    await expect.poll(() => scene.committed()).toBe('1')
    expect(got).toEqual(['0'])
  })

  it('with nothing remembered of what they could not commit', async () => {
    const replay = new MemoryReplayStore()
    const scene = await open({ replay })
    await scene.send([{ value: '0' }])
    const errors: unknown[] = []
    const remembered: number[] = []
    const { topic } = scene
    const commit = (): Promise<void> => consumer.commitOffsets([{ topic, partition: 0, offset: '1' }])
    // Below the wrapper, once.
    const kafka = scene.kafka()
    const make = kafka.consumer.bind(kafka)
    kafka.consumer = (config) => {
      const plain = make(config)
      const commitOffsets = plain.commitOffsets.bind(plain)
      let refuses = true
      plain.commitOffsets = async (offsets) => {
        if (!refuses) return commitOffsets(offsets)
        refuses = false
        throw new Error('the broker refuses')
      }
      return plain
    }
    const eachMessage = async (): Promise<void> => {
      try {
        await commit()
      } catch (error) {
        errors.push(error)
        throw error
      } finally {
        remembered.push(replay.gauge().committed)
      }
    }
    const consumer = await scene.consume({ autoCommit: false, eachMessage }, { kafka })
    await expect.poll(() => remembered).toEqual([0, 1])
    expect(errors).toHaveLength(1)
    await expect.poll(() => scene.committed()).toBe('1')
  })
}

/** The Confluent client has no stop. */
function endsOf(scene: Scene): readonly ('stop' | 'disconnect')[] {
  return scene.library.name === 'kafkajs' ? ['stop', 'disconnect'] : ['disconnect']
}

async function ending(consumer: Consumer, end: 'stop' | 'disconnect'): Promise<string> {
  return await Promise.race([consumer[end]().then(() => 'ended'), sleep(60_000).then(() => 'hangs')])
}

function handling(mode: (typeof MODES)[number], handle: (value: string) => Promise<void>): ConsumerRunConfig {
  if (mode === 'eachMessage') return { eachMessage: ({ message }) => handle(String(message.value)) }
  return {
    eachBatch: async ({ batch }) => {
      for (const { value } of batch.messages) await handle(String(value))
    },
  }
}
