import { setTimeout as sleep } from 'node:timers/promises'
import type { ConsumerRunConfig } from 'kafkajs'
import { expect, it, onTestFinished } from 'vitest'
import { Verifier } from '../../src/verifier.ts'
import { FlakyStore } from '../contract/stores.ts'
import { expectNothingPassed, type OpenScene, type Scene } from './scene.ts'

type Mode = 'eachMessage' | 'eachBatch'
const MODES: readonly Mode[] = ['eachMessage', 'eachBatch']

/** What happens to a consumer while a record waits because of a fault on our side. */
export function holdingTests(open: OpenScene): void {
  it.each(MODES)('end at once, and settle nothing; %s', async (mode) => {
    const { scene, store, held, got, run } = await openHolding(open, mode)
    await scene.send([{ value: '0' }])
    // The Confluent client has no stop.
    const ends = scene.library.name === 'kafkajs' ? (['stop', 'disconnect'] as const) : (['disconnect'] as const)
    for (const end of ends) {
      held.length = 0
      const consumer = await scene.consume(run, { onVerdict: note(held) })
      await expect.poll(() => held).toEqual(['store-unavailable'])
      // Heartbeats go on meanwhile.
      if (end === 'disconnect') await sleep(3_500)
      const outcome = await Promise.race([consumer[end]().then(() => 'ended'), sleep(5_000).then(() => 'hangs')])
      expect(outcome).toBe('ended')
      expect([...new Set(held)]).toEqual(['store-unavailable'])
    }
    await expectNothingPassed(scene)
    store.up = true
    await scene.consume(run)
    await expect.poll(() => scene.committed()).toBe('1')
    expect(got).toEqual(['0'])
    expect(await scene.withAdmin((admin) => admin.listTopics())).toContain(`${scene.topic}-dlt`)
  })

  it.each(MODES)('and are paused get it when they are resumed, not before; %s', async (mode) => {
    const { scene, store, held, got, run } = await openHolding(open, mode)
    await scene.send([{ value: '0' }])
    const consumer = await scene.consume(run, { onVerdict: note(held) })
    await expect.poll(() => held).toEqual(['store-unavailable'])
    consumer.pause([{ topic: scene.topic }])
    store.up = true
    await sleep(1_500)
    expect(got).toEqual([])
    await expectNothingPassed(scene)
    consumer.resume([{ topic: scene.topic }])
    await expect.poll(() => scene.committed()).toBe('1')
    expect(got).toEqual(['0'])
  })

  it('and are paused by their handler of a batch get no more of it before they are resumed', async () => {
    const { scene, store, got } = await openHolding(open, 'eachBatch')
    await scene.send([{ value: '0' }, { value: '1' }, { value: '2' }])
    store.refuse = 1
    store.up = true
    let resume: (() => void) | undefined
    await scene.consume({
      eachBatch: async ({ batch, pause }) => {
        got.push(...batch.messages.map(({ value }) => String(value)))
        if (resume === undefined) resume = pause() as () => void
      },
    })
    await expect.poll(() => got).toEqual(['0'])
    store.refuse = undefined
    await sleep(1_500)
    expect(got).toEqual(['0'])
    resume?.()
    await expect.poll(() => scene.committed()).toBe('3')
    expect([...new Set(got)]).toEqual(['0', '1', '2'])
  })

  it.each(MODES)('and seek back get everything from there; %s', async (mode) => {
    const { scene, store, held, got, run } = await openHolding(open, mode)
    store.up = true
    await scene.send([{ value: '0' }])
    const consumer = await scene.consume(run, { onVerdict: note(held) })
    await expect.poll(() => scene.committed()).toBe('1')
    store.up = false
    await scene.send([{ value: '1' }])
    await expect.poll(() => held).toContain('store-unavailable')
    consumer.seek({ topic: scene.topic, partition: 0, offset: '0' })
    store.up = true
    await expect.poll(() => got).toEqual(['0', '0', '1'])
    await expect.poll(() => scene.committed()).toBe('2')
  })

  it('and seek back while a commit is waited for get everything from there', async () => {
    const { scene, store, got } = await openHolding(open, 'eachMessage')
    store.up = true
    await scene.send([{ value: '0' }, { value: '1' }])
    const consumer = await scene.consume({
      eachMessage: async ({ message }) => {
        got.push(String(message.value))
        if (got.length === 2) store.up = false
      },
    })
    await expect.poll(() => got).toEqual(['0', '1'])
    consumer.seek({ topic: scene.topic, partition: 0, offset: '0' })
    store.up = true
    await expect.poll(() => got).toEqual(['0', '1', '0', '1'])
    await expect.poll(() => scene.committed()).toBe('2')
  })

  it.each(MODES)('lose it to another that takes over its partition; %s', async (mode) => {
    const { scene, store, held, got, run } = await openHolding(open, mode, 2)
    const messages = [0, 1].map((partition) => ({ value: `of ${partition}`, partition }))
    await scene.send(messages)
    await scene.consume({ ...run, partitionsConsumedConcurrently: 2 }, { onVerdict: note(held) })
    await expect.poll(() => held.length).toBeGreaterThanOrEqual(2)
    // The other process has a verifier of its own, which can reach its replay store.
    const other: string[] = []
    const verifier = new Verifier({ keys: scene.keys.keys })
    await scene.consume(runOf(mode, other), { verifier })
    await expect.poll(() => other).toHaveLength(1)
    expect(got).toEqual([])
    store.up = true
    await expect.poll(() => got).toHaveLength(1)
    expect([...got, ...other].sort()).toEqual(['of 0', 'of 1'])
  })
}

/** A replay store that can be lost, or refuse the record of one offset. */
class RefusingStore extends FlakyStore {
  refuse: number | undefined

  override async begin(...[claim]: Parameters<FlakyStore['begin']>): ReturnType<FlakyStore['begin']> {
    if (claim.position?.endsWith(`/${this.refuse}`)) throw new Error('the store is down for this one')
    return await super.begin(claim)
  }
}

interface Holding {
  readonly scene: Scene
  readonly store: RefusingStore
  /** the reasons why records were held */
  readonly held: string[]
  /** the bodies handed over */
  readonly got: string[]
  readonly run: ConsumerRunConfig
}

async function openHolding(open: OpenScene, mode: Mode, partitions = 1): Promise<Holding> {
  const store = new RefusingStore()
  store.up = false
  onTestFinished(() => {
    store.up = true
  })
  const got: string[] = []
  const scene = await open({ replay: store, partitions })
  return { scene, store, held: [], got, run: runOf(mode, got) }
}

function runOf(mode: Mode, got: string[]): ConsumerRunConfig {
  return mode === 'eachMessage'
    ? { eachMessage: async ({ message }) => void got.push(String(message.value)) }
    : { eachBatch: async ({ batch }) => void got.push(...batch.messages.map(({ value }) => String(value))) }
}

function note(held: string[]): (verdict: { readonly outcome: string; readonly code?: string }) => void {
  return ({ outcome, code = '' }) => {
    if (outcome === 'deferred') held.push(code)
  }
}
