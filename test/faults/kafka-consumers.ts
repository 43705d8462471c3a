import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { exited, type KafkaScene, progress } from './kafka-scene.ts'

const COUNT = Number(process.env.FAULT_MESSAGES ?? 5_000)
const KILLS = 5

/** What may happen to a consumer: every good record is handled, every bad one dead-lettered, none is both. */
export function consumerFaults(scene: KafkaScene): void {
  it.each(['eachMessage', 'eachBatch'] as const)(
    'through kill -9 of the consumer at random points, %s',
    { timeout: 180_000 },
    async (mode) => {
      const run = await scene.fill(COUNT)
      for (let kills = 0; kills < KILLS; kills++) {
        const child = scene.consumer(run, mode)
        await progress(run, 1 + Math.floor((Math.random() * COUNT) / 12))
        child.kill('SIGKILL')
        await exited(child)
      }
      const last = scene.consumer(run, mode)
      await scene.expectAll(run)
      last.send('close')
      await exited(last)
    },
  )

  it.each(['eachMessage', 'eachBatch'] as const)(
    'through a second consumer that joins and leaves, %s',
    { timeout: 120_000 },
    async (mode) => {
      const run = await scene.fill(COUNT)
      const staying = scene.consumer(run, mode)
      await progress(run, 100)
      const guest = scene.consumer(run, mode)
      await progress(run, COUNT / 10)
      await sleep(300)
      guest.send('close')
      await exited(guest)
      await scene.expectAll(run)
      staying.send('close')
      await exited(staying)
    },
  )
}

/** Exactly once: a good record has one output, however often the process in between is killed. */
export function exactlyOnceFaults(scene: KafkaScene): void {
  it.each([
    ['eachMessage', 900],
    ['eachBatch', COUNT],
  ] as const)('through kill -9 in the middle of transactions, %s', { timeout: 240_000 }, async (mode, count) => {
    const run = await scene.fill(count)
    const outputs = await scene.readOutputs(run)
    for (let kills = 0; kills < KILLS; kills++) {
      const child = scene.consumer(run, mode, 'kafka-exactly-once')
      const from = outputs.values.length
      const more = 1 + Math.floor((Math.random() * count) / 12)
      await expect
        .poll(() => outputs.values.length, { timeout: 60_000, interval: 5 })
        .toBeGreaterThanOrEqual(from + more)
      child.kill('SIGKILL')
      await exited(child)
    }
    const last = scene.consumer(run, mode, 'kafka-exactly-once')
    await scene.expectOutputs(run, outputs.values)
    last.send('close')
    await exited(last)
    await outputs.close()
  })
}

/** The same through the broker's own death. */
export function brokerFaults(
  scene: () => KafkaScene,
  broker: () => { kill(): Promise<void>; restart(): Promise<void> },
): void {
  it.each(['eachMessage', 'eachBatch'] as const)(
    'through kill -9 of the broker, which is started again, %s',
    { timeout: 180_000 },
    async (mode) => {
      const run = await scene().fill(3_000)
      const consumer = scene().consumer(run, mode)
      await progress(run, 200)
      await broker().kill()
      await broker().restart()
      await scene().expectAll(run)
      consumer.send('close')
      await exited(consumer)
    },
  )
}
