import type { Consumer, ConsumerRunConfig, EachBatchPayload, EachMessagePayload } from 'kafkajs'
import { expect, it } from 'vitest'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import { Verifier } from '../../src/verifier.ts'
import type { OpenScene, Scene } from './scene.ts'

const MODES = ['eachMessage', 'eachBatch'] as const

type Mode = (typeof MODES)[number]

/** Notes the bodies it gets. */
function runOf(mode: Mode, got: string[], more: ConsumerRunConfig = {}): ConsumerRunConfig {
  if (mode === 'eachMessage')
    return { ...more, eachMessage: async ({ message }) => void got.push(String(message.value)) }
  return { ...more, eachBatch: async ({ batch }) => void got.push(...batch.messages.map(({ value }) => String(value))) }
}

interface Rewinding {
  readonly scene: Scene
  readonly got: string[]
  readonly skipped: string[]
  /** another process of the same group: a verifier of its own, and the store that they share */
  start(run: ConsumerRunConfig, options?: StartOptions): Promise<Consumer>
}

interface StartOptions {
  reprocess?: boolean
  connected?: (consumer: Consumer) => void
}

/** A topic with the records 0, 1 and 2. */
async function openRewinding(open: OpenScene): Promise<Rewinding> {
  const replay = new MemoryReplayStore()
  const scene = await open({ replay })
  await scene.send(['0', '1', '2'].map((value) => ({ value })))
  const skipped: string[] = []
  const start: Rewinding['start'] = (run, options = {}) =>
    scene.consume(run, {
      verifier: new Verifier({ keys: scene.keys.keys, replay }),
      onVerdict: (verdict, { message }) => {
        if (verdict.outcome === 'skipped') skipped.push(`${verdict.code} ${message.offset}`)
      },
      ...options,
    })
  return { scene, got: [], skipped, start }
}

const ALL = ['0', '1', '2']
const SKIPPED = ALL.map((offset) => `duplicate ${offset}`)

/** What comes again at its own offset, because somebody moved the group or because this consumer sought it. */
export function rewindTests(open: OpenScene): void {
  it.each(MODES)('after offsets that somebody reset skip what was handled, however often; %s', async (mode) => {
    const { scene, got, skipped, start } = await openRewinding(open)
    const groupId = `group-${scene.topic}`
    for (let round = 0; round < 2; round++) {
      const consumer = await start(runOf(mode, got))
      await expect.poll(() => scene.committed()).toBe('3')
      await consumer.disconnect()
      await scene.withAdmin((admin) =>
        admin.setOffsets({ groupId, topic: scene.topic, partitions: [{ partition: 0, offset: '0' }] }),
      )
    }
    expect(got).toEqual(ALL)
    expect(skipped).toEqual(SKIPPED)
    const again = await start(runOf(mode, got), { reprocess: true })
    await expect.poll(() => scene.committed()).toBe('3')
    await again.disconnect()
    expect(got).toEqual([...ALL, ...ALL])
  })

  it.each(MODES)('after a crash before the offset was committed skip what was handled; %s', async (mode) => {
    const { scene, got, skipped, start } = await openRewinding(open)
    const consumer = await start(runOf(mode, got, { autoCommit: false }))
    await expect.poll(() => got).toEqual(ALL)
    // The last handler has returned, and its commit to the store is as synchronous as the store.
    await consumer.disconnect()
    expect(await scene.committed()).not.toBe('3')
    await start(runOf(mode, got))
    await expect.poll(() => scene.committed()).toBe('3')
    expect(got).toEqual(ALL)
    expect(skipped).toEqual(SKIPPED)
  })

  it.each(MODES)('seek back as soon as they run, and get everything from there again, once; %s', async (mode) => {
    const { scene, got, skipped, start } = await openRewinding(open)
    const first = await start(runOf(mode, got))
    await expect.poll(() => scene.committed()).toBe('3')
    await first.disconnect()
    const seek = (sought: Consumer): void => sought.seek({ topic: scene.topic, partition: 0, offset: '1' })
    // The Confluent client takes it before it runs. One that comes while it is given its partitions was lost now and then.
    const early = scene.library.name === 'confluent'
    const consumer = await start(runOf(mode, got), early ? { connected: seek } : {})
    if (!early) seek(consumer)
    await expect.poll(() => [got, skipped]).toEqual([[...ALL, '1', '2'], []])
    const [record] = await scene.read(scene.topic, 3)
    await scene.send([{ value: record?.value ?? null, headers: record?.headers ?? {} }], { signed: false })
    await scene.send([{ value: '3' }])
    await expect.poll(() => scene.committed()).toBe('5')
    expect(got).toEqual([...ALL, '1', '2', '3'])
    expect(skipped).toEqual(['duplicate 3'])
    consumer.seek({ topic: scene.topic, partition: 0, offset: '0' })
    await expect.poll(() => got).toEqual([...ALL, '1', '2', '3', ...ALL, '3'])
    await expect.poll(() => scene.committed()).toBe('5')
  })

  it('that are told to run while they do go on to what they sought', async ({ skip }) => {
    const { scene, got, skipped, start } = await openRewinding(open)
    skip(scene.library.name === 'confluent', 'it refuses a second run')
    const consumer = await start(runOf('eachMessage', got))
    await expect.poll(() => scene.committed()).toBe('3')
    consumer.seek({ topic: scene.topic, partition: 0, offset: '0' })
    await consumer.run(runOf('eachMessage', got))
    await expect.poll(() => [got, skipped]).toEqual([[...ALL, ...ALL], []])
  })

  it('whose handler fails in the middle of what was sought get that again, and not what they had got by then', async () => {
    const { scene, got, skipped, start } = await openRewinding(open)
    let failures = 0
    const consumer = await start({
      eachMessage: async ({ message }: EachMessagePayload) => {
        const value = String(message.value)
        got.push(value)
        if (got.length > ALL.length && value === '1' && failures++ < 1) throw new Error('not yet')
      },
    })
    await expect.poll(() => scene.committed()).toBe('3')
    consumer.seek({ topic: scene.topic, partition: 0, offset: '0' })
    await expect.poll(() => got).toEqual([...ALL, '0', '1', '1', '2'])
    await expect.poll(() => scene.committed()).toBe('3')
    expect(skipped).toEqual([])
  })

  it('that run again after they stopped have forgotten what was sought', async ({ skip }) => {
    const { scene, got, skipped, start } = await openRewinding(open)
    skip(scene.library.name === 'confluent', 'it cannot stop')
    const consumer = await start(runOf('eachMessage', got))
    await expect.poll(() => scene.committed()).toBe('3')
    let reached: () => void = () => undefined
    const there = new Promise<void>((resolve) => {
      reached = resolve
    })
    let stopping: Promise<void> | undefined
    const running = runOf('eachMessage', got, { autoCommit: false })
    await consumer.stop()
    await consumer.run({
      ...running,
      eachMessage: async ({ message }) => {
        got.push(String(message.value))
        stopping ??= consumer.stop()
        reached()
      },
    })
    consumer.seek({ topic: scene.topic, partition: 0, offset: '0' })
    await there
    await stopping
    expect(got).toEqual([...ALL, '0'])
    await scene.withAdmin((admin) =>
      admin.setOffsets({
        groupId: `group-${scene.topic}`,
        topic: scene.topic,
        partitions: [{ partition: 0, offset: '0' }],
      }),
    )
    await consumer.run(runOf('eachMessage', got))
    await expect.poll(() => skipped).toEqual(SKIPPED)
    expect(got).toEqual([...ALL, '0'])
  })

  it('whose handler said that it was through and failed then are not given the record again', async () => {
    const { got, skipped, start } = await openRewinding(open)
    let consumer: Consumer | undefined
    consumer = await start({
      autoCommit: false,
      eachMessage: async ({ message, topic, partition }: EachMessagePayload) => {
        got.push(String(message.value))
        if (message.offset !== '1') return
        await consumer?.commitOffsets([{ topic, partition, offset: '2' }])
        throw new Error('too late')
      },
    })
    await expect.poll(() => got).toEqual(ALL)
    expect(skipped).toEqual(['duplicate 1'])
  })

  it('whose batch fails half-way are not given again what they resolved', async () => {
    const { scene, got, skipped, start } = await openRewinding(open)
    let failures = 0
    await start({
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, resolveOffset }: EachBatchPayload) => {
        for (const { value, offset } of batch.messages) {
          got.push(String(value))
          if (offset === '1' && failures++ < 1) throw new Error('not yet')
          resolveOffset(offset)
        }
      },
    })
    await expect.poll(() => scene.committed()).toBe('3')
    expect(got).toEqual(['0', '1', '1', '2'])
    expect(skipped).toEqual([])
  })
}
