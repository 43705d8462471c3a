import { describe, inject } from 'vitest'
import { kafkajsLibrary } from '../kafka/client-libraries.ts'
import { adapterContract } from './adapter-contract.ts'
import { kafkaFeatures, kafkaHarness } from './kafka-harness.ts'

const brokers = inject('kafkaBrokers')

describe.skipIf(brokers === undefined)('on a real Kafka, with kafkajs', () => {
  const library = kafkajsLibrary(brokers ?? [], true)
  adapterContract('kafka', kafkaHarness(brokers ?? [], library), kafkaFeatures)
  adapterContract('kafka, in batches', kafkaHarness(brokers ?? [], library, true), kafkaFeatures)
})
