import { afterAll, beforeAll, describe, inject, it } from 'vitest'
import { HOW_TO_GET_CONFLUENT, pathOfConfluent } from '../kafka/find-confluent.ts'
import { brokerFaults, consumerFaults, exactlyOnceFaults } from './kafka-consumers.ts'
import { KafkaScene } from './kafka-scene.ts'

const brokers = inject('kafkaBrokers')
const startable = inject('startableBrokers').includes('kafka')
const confluent = pathOfConfluent()

describe.skipIf(brokers === undefined)(
  'the Confluent client: every good record handled, every bad one dead-lettered, none both',
  () => {
    if (confluent === undefined) {
      it('as with kafkajs', ({ skip }) => skip(HOW_TO_GET_CONFLUENT))
      return
    }
    const scene = new KafkaScene(brokers ?? ['none'], confluent)
    beforeAll(() => scene.open())
    afterAll(() => scene.close())
    consumerFaults(scene)
    exactlyOnceFaults(scene)

    describe.skipIf(!startable)('with a broker of its own', () => brokerFaults(confluent))
  },
)
