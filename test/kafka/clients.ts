import { describe } from 'vitest'
import { consumerTests } from './consumers.ts'
import { deadLetteringTests } from './dead-lettering.ts'
import { endingTests } from './endings.ts'
import { exactlyOnceTests } from './exactly-once.ts'
import { groupTests } from './groups.ts'
import { holdingTests } from './holding.ts'
import { producerTests } from './producers.ts'
import { retryTests } from './retries.ts'
import { rewindTests } from './rewinds.ts'
import type { OpenScene } from './scene.ts'
import { unawaitedTests } from './unawaited.ts'

/** What is asked of every client. */
export function clientTests(open: OpenScene): void {
  describe('producers', () => producerTests(open))
  describe('consumers', () => consumerTests(open))
  describe('a run that is not waited for', () => unawaitedTests(open))
  describe('dead-lettering', () => deadLetteringTests(open))
  describe('retries', () => retryTests(open))
  describe('exactly once', () => exactlyOnceTests(open))
  describe('consumers that are moved', () => rewindTests(open))
  describe('groups that change', () => groupTests(open))
  describe('consumers end', () => endingTests(open))
  describe('consumers that hold a record', () => holdingTests(open))
}
