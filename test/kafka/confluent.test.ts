import { describe, inject, it } from 'vitest'
import { confluentLibrary } from './client-libraries.ts'
import { consumerTests } from './consumers.ts'
import { exactlyOnceTests } from './exactly-once.ts'
import { findConfluent, HOW_TO_GET_CONFLUENT } from './find-confluent.ts'
import { holdingTests } from './holding.ts'
import { producerTests } from './producers.ts'
import { retryTests } from './retries.ts'
import { type OpenScene, Scene } from './scene.ts'

const brokers = inject('kafkaBrokers')
const client = brokers && findConfluent()

describe.skipIf(brokers === undefined)('with the Confluent client', { timeout: 60_000 }, () => {
  if (client === undefined) {
    it('works as with kafkajs', ({ skip }) => skip(HOW_TO_GET_CONFLUENT))
    return
  }
  const open: OpenScene = (options) =>
    Scene.open(brokers, { ...options, library: confluentLibrary(client, brokers ?? []) })
  describe('producers', () => producerTests(open))
  describe('consumers', () => consumerTests(open))
  describe('retries', () => retryTests(open))
  describe('exactly once', () => exactlyOnceTests(open))
  describe('consumers that hold a record', () => holdingTests(open))
})
