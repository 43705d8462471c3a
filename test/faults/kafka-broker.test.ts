import { afterAll, beforeAll, describe, inject, it } from 'vitest'
import { type KafkaServer, startKafka } from '../brokers/index.ts'
import { exited, KafkaScene, progress } from './kafka-scene.ts'

const startable = inject('startableBrokers').includes('kafka')

describe.skipIf(!startable)('Kafka: a broker that is killed and started again', () => {
  let server: KafkaServer
  let scene: KafkaScene
  beforeAll(async () => {
    server = await startKafka()
    scene = new KafkaScene(server.brokers)
    await scene.start()
  })
  afterAll(async () => {
    await scene.end()
    await server.stop()
  })

  it.each(['eachMessage', 'eachBatch'] as const)('loses nothing and mixes nothing up, %s', async (mode) => {
    const run = await scene.fill(3_000)
    const consumer = scene.consumer(run, mode)
    await progress(run, 200)
    await server.kill()
    await server.restart()
    await scene.expectAll(run)
    consumer.send('close')
    await exited(consumer)
  })
})
