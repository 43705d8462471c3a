import { afterAll, beforeAll, describe, inject } from 'vitest'
import { type KafkaServer, startKafka } from '../brokers/index.ts'
import { brokerFaults } from './kafka-consumers.ts'
import { KafkaScene } from './kafka-scene.ts'

const startable = inject('startableBrokers').includes('kafka')

describe.skipIf(!startable)('Kafka: every good record handled, every bad one dead-lettered, none both', () => {
  let server: KafkaServer
  let scene: KafkaScene
  beforeAll(async () => {
    server = await startKafka()
    scene = new KafkaScene(server.brokers)
    await scene.open()
  })
  afterAll(async () => {
    await scene.close()
    await server.stop()
  })
  brokerFaults(
    () => scene,
    () => server,
  )
})
