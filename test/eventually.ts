import { vi } from 'vitest'

/** Tries again until it passes: for what happens in its own time. As patient as `expect.poll` (vitest.config.ts). */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 120_000, interval: 10 })
}
