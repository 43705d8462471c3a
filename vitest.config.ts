import { defineConfig } from 'vitest/config'

/** What talks to a real broker; test/brokers/global-setup.ts says which there are. */
const withBrokers = [
  'test/contract/**/*.test.ts',
  'test/rabbitmq/**/*.test.ts',
  'test/kafka/**/*.test.ts',
  'test/redis-streams/**/*.test.ts',
  'test/faults/**/*.test.ts',
  'test/examples.test.ts',
]

/** What installs the packed package into projects of its own: vitest.packaging.config.ts. */
const packaging = 'test/packaging/**'

/** For a machine that is slow and does other things too: no test is about how long something takes. */
const patient = {
  testTimeout: 300_000,
  hookTimeout: 300_000,
  expect: { poll: { timeout: 120_000, interval: 20 } },
}

/** `TEST_CLIENTS=oldest`: the oldest amqplib that package.json declares; the oldest ioredis is in every run. */
const alias = process.env.TEST_CLIENTS === 'oldest' ? { 'amqplib-0.10': 'amqplib-0.10.0' } : {}

export default defineConfig({
  resolve: { alias },
  test: {
    maxWorkers: 2,
    maxConcurrency: 20,
    projects: [
      {
        extends: true,
        test: {
          ...patient,
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...withBrokers, packaging],
        },
      },
      {
        extends: true,
        test: { ...patient, name: 'brokers', include: withBrokers, globalSetup: 'test/brokers/global-setup.ts' },
      },
    ],
  },
})
