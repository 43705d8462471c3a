import { describe, inject } from 'vitest'
import { adapterContract } from './adapter-contract.ts'
import type { Features } from './harness.ts'
import { kafkaHarness } from './kafka-harness.ts'

const brokers = inject('kafkaBrokers')

const features: Features = {
  nullPayload: true,
  repeatedHeaders: true,
  structuredHeaders: false,
  brokerDeadLetters: false,
  requeue: true,
  ordered: true,
  positions: true,
  awaitsHandler: true,
  properties: ['key', 'contentType', 'contentEncoding'],
}

describe.skipIf(brokers === undefined)('on a real Kafka, with kafkajs', () => {
  adapterContract('kafka', kafkaHarness(brokers ?? []), features)
  adapterContract('kafka, in batches', kafkaHarness(brokers ?? [], true), features)
})
