import { defineConfig } from 'vitest/config'

/** Projects of users with the packed package installed: `npm run test:packaging`. They install much, so they are apart. */
export default defineConfig({
  test: {
    name: 'packaging',
    include: ['test/packaging/**/*.test.ts'],
    globalSetup: 'test/packaging/setup.ts',
    maxWorkers: 2,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
})
