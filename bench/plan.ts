import type { Algorithm } from '../src/keys/algorithms.ts'
import type { Durations } from './end-to-end/runner.ts'
import type { Effort } from './measure.ts'

/** How much a run measures. */
export interface Plan {
  readonly effort: Effort
  readonly opensslSeconds: number
  readonly algorithms: readonly Algorithm[]
  /** bytes */
  readonly bodies: readonly number[]
  /** messages in a batch */
  readonly sizes: readonly number[]
  /** how many messages to look at memory after, by kind of token */
  readonly growth: { readonly single: readonly number[]; readonly batch: readonly number[] }
  readonly endToEnd: {
    readonly durations: Durations
    /** rounds where as much is sent as goes through, and where messages come at a pace */
    readonly rounds: { readonly saturated: number; readonly paced: number }
    /** leaves out what the goals are not about */
    readonly short: boolean
  }
}

export const FULL: Plan = {
  effort: { warmUp: 200, rounds: 7, millis: 60 },
  opensslSeconds: 2,
  algorithms: ['Ed25519', 'ES256', 'RS256'],
  bodies: [100, 1024, 10_240, 102_400],
  sizes: [1, 8, 64, 256, 1024],
  growth: {
    single: [1_000, 10_000, 100_000, 1_000_000],
    batch: [1_000, 10_000, 100_000, 1_000_000, 3_000_000, 10_000_000],
  },
  endToEnd: {
    durations: { brokerWarmUp: 100_000, warmUp: 10_000, measured: 2 },
    rounds: { saturated: 3, paced: 2 },
    short: false,
  },
}

export const QUICK: Plan = {
  effort: { warmUp: 200, rounds: 3, millis: 20 },
  opensslSeconds: 1,
  algorithms: ['Ed25519'],
  bodies: [1024],
  sizes: FULL.sizes,
  growth: { single: [1_000, 10_000], batch: [1_000, 10_000, 100_000] },
  endToEnd: {
    durations: { brokerWarmUp: 30_000, warmUp: 3_000, measured: 0.6 },
    rounds: { saturated: 1, paced: 1 },
    short: true,
  },
}
