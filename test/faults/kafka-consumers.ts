import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, it } from 'vitest'
import { type KafkaServer, startKafka } from '../brokers/index.ts'
import { exited, KafkaScene, progress } from './kafka-scene.ts'

const COUNT = Number(process.env.FAULT_MESSAGES ?? 5_000)
const KILLS = 5

/** What may happen to a consumer: every good record is handled, every bad one dead-lettered, none is both. */
export function consumerFaults(scene: KafkaScene): void {
  it.each(['eachMessage', 'eachBatch'] as const)(
    'through kill -9 of the consumer at random points, %s',
    async (mode) => {
      const run = await scene.fill(COUNT)
      for (let kills = 0; kills < KILLS; kills++) {
        // Few enough that all of them find something to do, however fast they are.
        const dieAfter = 1 + Math.floor((Math.random() * COUNT) / 20)
        await scene.killed(run, scene.start(run, { mode, dieAfter }))
      }
      const last = scene.start(run, { mode })
      await scene.expectAll(run)
      last.send('close')
      await exited(last)
    },
  )

  it.each(['eachMessage', 'eachBatch'] as const)(
    'through a second consumer that joins and leaves, %s',
    async (mode) => {
      const run = await scene.fill(COUNT)
      const staying = scene.start(run, { mode })
      await progress(run, 100)
      const guest = scene.start(run, { mode })
      await scene.joined(guest)
      await sleep(Math.random() * 300)
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
  ] as const)('through kill -9 in the middle of transactions, %s', async (mode, count) => {
    const run = await scene.fill(count)
    const outputs = await scene.readOutputs(run)
    const program = 'kafka-exactly-once'
    for (let kills = 0; kills < KILLS; kills++) {
      const dieAfter = 1 + Math.floor((Math.random() * count) / 20)
      await scene.killed(run, scene.start(run, { mode, program, dieAfter }))
    }
    const last = scene.start(run, { mode, program })
    await scene.expectOutputs(run, outputs)
    last.send('close')
    await exited(last)
    await outputs.close()
  })
}

/** The same through the death of a broker that is started for it. @param confluent where the Confluent client is; default: kafkajs */
export function brokerFaults(confluent?: string): void {
  let server: KafkaServer
  let scene: KafkaScene
  beforeAll(async () => {
    server = await startKafka()
    scene = new KafkaScene(server.brokers, confluent)
    await scene.open()
  })
  afterAll(async () => {
    await scene.close()
    await server.stop()
  })

  it.each(['eachMessage', 'eachBatch'] as const)(
    'through kill -9 of the broker, which is started again, %s',
    async (mode) => {
      const run = await scene.fill(3_000)
      const consumer = scene.start(run, { mode })
      await progress(run, 200)
      await server.kill()
      await server.restart()
      await scene.expectAll(run)
      consumer.send('close')
      await exited(consumer)
    },
  )
}
