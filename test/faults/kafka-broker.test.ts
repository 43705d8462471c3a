import { describe, inject } from 'vitest'
import { brokerFaults } from './kafka-consumers.ts'

const startable = inject('startableBrokers').includes('kafka')

describe.skipIf(!startable)('Kafka: every good record handled, every bad one dead-lettered, none both', () => {
  brokerFaults()
})
