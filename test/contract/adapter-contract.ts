import { afterAll, beforeAll, describe } from 'vitest'
import { crashTests } from './crashes.ts'
import { deferralTests } from './deferrals.ts'
import { fidelityTests } from './fidelity.ts'
import type { Features, Harness } from './harness.ts'
import { refusalTests } from './refusals.ts'
import { replayTests } from './replay.ts'
import { returnTests } from './returns.ts'
import { transparencyTests } from './transparency.ts'

/** What every adapter promises, tried on a transport. */
export function adapterContract(name: string, harness: Harness, features: Features): void {
  describe(`${name} adapter`, () => {
    beforeAll(() => harness.start())
    afterAll(() => harness.stop())
    describe('refusals', () => refusalTests(harness, features))
    describe('a dead letter that comes back', () => returnTests(harness, features))
    describe('fidelity', () => fidelityTests(harness, features))
    describe('transparency', () => transparencyTests(harness, features))
    describe('redelivery and copies', () => replayTests(harness, features))
    describe('faults on our side', () => deferralTests(harness, features))
    describe('crashes', () => crashTests(harness, features))
  })
}
