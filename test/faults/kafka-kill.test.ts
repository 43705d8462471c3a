import { afterAll, beforeAll, describe, inject } from 'vitest'
import { consumerFaults, exactlyOnceFaults } from './kafka-consumers.ts'
import { KafkaScene } from './kafka-scene.ts'

const brokers = inject('kafkaBrokers')

describe.skipIf(brokers === undefined)(
  'Kafka: every good record handled, every bad one dead-lettered, none both',
  () => {
    const scene = new KafkaScene(brokers ?? ['none'])
    beforeAll(() => scene.open())
    afterAll(() => scene.close())
    consumerFaults(scene)
    exactlyOnceFaults(scene)
  },
)
