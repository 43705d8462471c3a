import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, inject, it } from 'vitest'
import { exited, KafkaScene, progress } from './kafka-scene.ts'

const brokers = inject('kafkaBrokers')
const COUNT = Number(process.env.FAULT_MESSAGES ?? 5_000)
const KILLS = 5

describe.skipIf(brokers === undefined)(
  'Kafka: every good record handled, every bad one dead-lettered, none both',
  () => {
    const scene = new KafkaScene(brokers ?? ['none'])
    beforeAll(() => scene.start())
    afterAll(() => scene.end())

    it.each(['eachMessage', 'eachBatch'] as const)(
      'through kill -9 of the consumer at random points, %s',
      async (mode) => {
        const run = await scene.fill(COUNT)
        for (let kills = 0; kills < KILLS; kills++) {
          // Few enough that all of them find something to do, however fast they are.
          await scene.killed(run, scene.consumer(run, mode, 1 + Math.floor((Math.random() * COUNT) / 20)))
        }
        const last = scene.consumer(run, mode)
        await scene.expectAll(run)
        last.send('close')
        await exited(last)
      },
    )

    it.each(['eachMessage', 'eachBatch'] as const)(
      'through a second consumer that joins and leaves, %s',
      async (mode) => {
        const run = await scene.fill(COUNT)
        const staying = scene.consumer(run, mode)
        await progress(run, 100)
        const guest = scene.consumer(run, mode)
        await scene.joined(guest)
        await sleep(Math.random() * 300)
        guest.send('close')
        await exited(guest)
        await scene.expectAll(run)
        staying.send('close')
        await exited(staying)
      },
    )
  },
)
