import { describe, inject } from 'vitest'
import { consumerTests } from './consumers.ts'
import { exactlyOnceTests } from './exactly-once.ts'
import { holdingTests } from './holding.ts'
import { producerTests } from './producers.ts'
import { retryTests } from './retries.ts'
import { type OpenScene, Scene } from './scene.ts'

const brokers = inject('kafkaBrokers')

describe.skipIf(brokers === undefined)('with kafkajs', { timeout: 60_000 }, () => {
  const open: OpenScene = (options) => Scene.open(brokers, options)
  describe('producers', () => producerTests(open))
  describe('consumers', () => consumerTests(open))
  describe('retries', () => retryTests(open))
  describe('exactly once', () => exactlyOnceTests(open))
  describe('consumers that hold a record', () => holdingTests(open))
})
