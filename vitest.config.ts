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

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      { test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: withBrokers, testTimeout: 30_000 } },
      {
        test: {
          name: 'brokers',
          include: withBrokers,
          globalSetup: 'test/brokers/global-setup.ts',
          testTimeout: 30_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
