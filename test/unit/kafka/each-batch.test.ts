import { createRequire } from 'node:module'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { BatchLike, EachBatchPayload, KafkaMessage } from '../../../adapters/kafka/client.ts'
import { guardEachBatch } from '../../../adapters/kafka/each-batch.ts'
import { Partition } from '../../../adapters/kafka/partition.ts'
import { subscribe } from '../../../src/events.ts'
import { testKeys } from '../../../src/testing.ts'
import { Verifier } from '../../../src/verifier.ts'
import { remoteStore } from '../../contract/stores.ts'

/** The client's own batches. */
const Batch = createRequire(import.meta.url)('kafkajs/src/consumer/batch.js') as new (
  topic: string,
  fetchedOffset: string,
  partitionData: object,
) => BatchLike

const { signer, keys } = testKeys('checkout')

/** A record of the log: what it is, and whether a first try to dead-letter it fails. */
type Kind = 'good' | 'bad' | 'bad, hard to store' | 'copy of the one before' | 'control'

function makeLog(kinds: readonly Kind[]): (KafkaMessage & { isControlRecord: boolean })[] {
  let token = ''
  let value = Buffer.alloc(0)
  return kinds.map((kind, offset) => {
    if (kind !== 'copy of the one before' || token === '') {
      value = Buffer.from(`${kind.slice(0, 4)} ${offset}`)
      token = kind.startsWith('bad')
        ? `no.to.ken${offset}`
        : signer.sign({ destination: 'kafka:orders', payload: value })
    }
    const headers = { queueauth: Buffer.from(token) }
    return { key: null, value, headers, timestamp: '0', offset: String(offset), isControlRecord: kind === 'control' }
  })
}

/** What the user's code does with a batch. */
interface Habit {
  readonly autoResolve: boolean
  /** fails, leaves or pauses after so many records, then never again */
  readonly troubles: readonly { readonly after: number; readonly how: 'throws' | 'leaves' | 'pauses' }[]
  readonly resolves: 'each' | 'at the end'
}

const habits: fc.Arbitrary<Habit> = fc.record({
  autoResolve: fc.boolean(),
  troubles: fc.array(fc.record({ after: fc.nat(12), how: fc.constantFrom('throws', 'leaves', 'pauses') }), {
    maxLength: 4,
  }),
  resolves: fc.constantFrom('each', 'at the end'),
})
const logs = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant<Kind>('good') },
    { weight: 4, arbitrary: fc.constant<Kind>('bad') },
    { weight: 1, arbitrary: fc.constantFrom<Kind>('bad, hard to store', 'copy of the one before', 'control') },
  ),
  { minLength: 1, maxLength: 30 },
)

describe('eachBatch', () => {
  // Someone listens, so nothing is said as a warning.
  beforeAll(() => subscribe('queue-key-auth:dead-letter-failed', () => undefined))

  it.each(['in memory', 'remote'] as const)(
    'never resolves past a record that is neither handled nor stored; replay store %s',
    async (store) => {
      const property = fc.asyncProperty(
        logs,
        habits,
        fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1 }),
        async (kinds, habit, sizes) => {
          const log = makeLog(kinds)
          const bodies = new Map(log.map(({ offset, value }) => [Number(offset), String(value)]))
          const handled = new Set<string>()
          const stored = new Set<string>()
          const failedOnce = new Set<string>()
          const verifier = new Verifier({ keys, ...(store === 'remote' && { replay: remoteStore() }) })
          const partition = new Partition('orders', 0, {
            verifier,
            options: { onVerdict: () => undefined },
            groupId: () => 'group',
            leaseSignal: () => new AbortController().signal,
            storeDeadLetter: async ({ message: { message } }) => {
              for (let turns = Number(message.offset) % 4; turns > 0; turns--) await turn()
              const body = String(message.value)
              if (kinds[Number(message.offset)] === 'bad, hard to store' && !failedOnce.has(body)) {
                failedOnce.add(body)
                throw new Error('not now')
              }
              stored.add(body)
            },
          })
          const troubles = [...habit.troubles]
          let position = 0
          const isDone = (offset: number): boolean => {
            const body = bodies.get(offset) ?? ''
            return log[offset]?.isControlRecord || (body.startsWith('bad') ? stored : handled).has(body)
          }
          const resolveOffset = (offset: string): void => {
            for (let before = 0; before <= Number(offset); before++) expect(isDone(before)).toBe(true)
            position = Number(offset) + 1
          }
          for (let round = 0; position < log.length; round++) {
            expect(round).toBeLessThan(200)
            const messages = log.slice(position, position + (sizes[round % sizes.length] ?? 1))
            const batch = new Batch('orders', String(position), {
              partition: 0,
              highWatermark: String(log.length),
              abortedTransactions: [],
              messages,
            })
            if (batch.messages.length === 0) {
              position += messages.length
              continue
            }
            const last = batch.messages.at(-1)?.offset
            const payload: EachBatchPayload = {
              batch,
              // What the client does with the last record before a control record.
              resolveOffset: (offset) => resolveOffset(offset === last ? batch.lastOffset() : offset),
              heartbeat: async () => undefined,
              commitOffsetsIfNecessary: async () => undefined,
              isRunning: () => true,
              isStale: () => false,
              pause: () => {
                paused = true
              },
            }
            let paused = false
            const bug = new Error('a bug')
            const eachBatch = async ({
              batch: seen,
              resolveOffset: resolve,
              pause,
            }: EachBatchPayload): Promise<void> => {
              // What is paused gets nothing more before it is fetched again.
              expect(paused).toBe(false)
              expect(seen).toBeInstanceOf(Batch)
              const trouble = troubles.shift()
              for (const [index, message] of seen.messages.entries()) {
                if (trouble?.after === index && trouble.how === 'throws') throw bug
                if (trouble?.after === index && trouble.how === 'pauses') pause()
                // Leaving says that all is done where the client resolves by itself.
                if (trouble?.after === index && trouble.how === 'leaves' && !habit.autoResolve) return
                await turn()
                expect(String(message.value)).toMatch(/^(?:good|cont|copy)/)
                handled.add(String(message.value))
                if (habit.resolves === 'each') resolve(message.offset)
              }
              if (habit.resolves === 'at the end') resolve(seen.lastOffset())
            }
            await guardEachBatch(payload, eachBatch, partition, habit.autoResolve, undefined).catch(
              (error: unknown) => {
                expect(error).toBe(bug)
              },
            )
          }
          const expected = log.filter(({ isControlRecord }) => !isControlRecord).map(({ value }) => String(value))
          expect([...handled].sort()).toEqual([...new Set(expected.filter((body) => !body.startsWith('bad')))].sort())
          expect([...stored].sort()).toEqual([...new Set(expected.filter((body) => body.startsWith('bad')))].sort())
        },
      )
      await fc.assert(property, { numRuns: 100, timeout: 60_000 })
    },
  )
})
