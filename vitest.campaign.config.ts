import { defineConfig } from 'vitest/config'

/** The long campaign of faults, one scenario after the other: npm run test:faults */
export default defineConfig({
  test: {
    include: ['test/campaign/**/*.campaign.ts'],
    fileParallelism: false,
    testTimeout: 3_600_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 300_000 } },
    provide: { amqpUrl: undefined, redisUrl: undefined, kafkaBrokers: undefined, startableBrokers: [] },
  },
})
