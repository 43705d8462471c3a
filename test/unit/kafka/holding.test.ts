import { getEventListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { EachBatchPayload, KafkaMessage } from '../../../adapters/kafka/client.ts'
import { guardEachBatch } from '../../../adapters/kafka/each-batch.ts'
import { guardEachMessage } from '../../../adapters/kafka/each-message.ts'
import { LetGoError } from '../../../adapters/kafka/hold.ts'
import { Partition, type PartitionSetup } from '../../../adapters/kafka/partition.ts'
import { MemoryReplayStore } from '../../../src/replay/memory-replay-store.ts'
import type { ReplayStore } from '../../../src/replay/replay-store.ts'
import { testKeys } from '../../../src/testing.ts'
import { Verifier } from '../../../src/verifier.ts'
import { FlakyStore, GatedStore, remoteStore } from '../../contract/stores.ts'

const { signer, keys } = testKeys('checkout')

const unended = new AbortController().signal

function record(value: string, offset: number): KafkaMessage {
  const payload = Buffer.from(value)
  const headers = { queueauth: Buffer.from(signer.sign({ destination: 'kafka:orders', payload })) }
  return { key: null, value: payload, headers, offset: String(offset), timestamp: '0' }
}

function partitionWith(replay: ReplayStore, leaseSeconds: number = 30, ready?: PartitionSetup['ready']): Partition {
  return new Partition('orders', 0, {
    verifier: new Verifier({ keys, replay, leaseSeconds }),
    options: { onVerdict: () => undefined },
    groupId: () => 'group',
    leaseSignal: () => unended,
    storeDeadLetter: async () => undefined,
    ...(ready && { ready }),
  })
}

function batchOf(
  messages: readonly KafkaMessage[],
  heartbeat: () => Promise<void>,
  resolved: string[] = [],
): EachBatchPayload {
  const [first, last] = [messages[0]?.offset as string, messages.at(-1)?.offset as string]
  return {
    batch: { topic: 'orders', partition: 0, messages, firstOffset: () => first, lastOffset: () => last },
    heartbeat,
    resolveOffset: (offset) => void resolved.push(offset),
    commitOffsetsIfNecessary: async () => undefined,
    isRunning: () => true,
    isStale: () => false,
    pause: () => undefined,
  }
}

/** The client is no longer in its group, and says so at the next heartbeat. */
const rebalance = new Error('the group is rebalancing')
const heartbeat = (): Promise<void> => Promise.reject(rebalance)

describe('a heartbeat that fails while a record is held', () => {
  it('ends eachMessage as it is', async () => {
    const store = new FlakyStore()
    store.up = false
    const handled: string[] = []
    const payload = { topic: 'orders', partition: 0, message: record('0', 0), heartbeat }
    const eachMessage = async ({ message }: { message: KafkaMessage }): Promise<void> =>
      void handled.push(String(message.value))
    const ending = guardEachMessage(payload, eachMessage, partitionWith(store), undefined)
    await expect(ending).rejects.toBe(rebalance)
    store.up = true
    expect(handled).toEqual([])
  })

  it('ends eachMessage as it is also while its commit is waited for', async () => {
    const store = new FlakyStore()
    const payload = { topic: 'orders', partition: 0, message: record('0', 0), heartbeat }
    const eachMessage = async (): Promise<void> => {
      store.up = false
    }
    await expect(guardEachMessage(payload, eachMessage, partitionWith(store), undefined)).rejects.toBe(rebalance)
  })

  it('ends eachBatch as it is, after what could be handled', async () => {
    const store = new FlakyStore()
    const handled: string[] = []
    const resolved: string[] = []
    const messages = [record('0', 0), record('1', 1), record('2', 2)]
    const begin = store.begin.bind(store)
    store.begin = async (claim) => {
      if (claim.position === 'orders/0/1') throw new Error('down for this one')
      return await begin(claim)
    }
    const payload = batchOf(messages, heartbeat, resolved)
    const eachBatch = async ({ batch }: EachBatchPayload): Promise<void> =>
      void handled.push(...batch.messages.map(({ value }) => String(value)))
    await expect(guardEachBatch(payload, eachBatch, partitionWith(store), true, undefined)).rejects.toBe(rebalance)
    expect([handled, resolved]).toEqual([['0'], ['0']])
  })
})

describe('the longest wait', () => {
  it('is not used up by the handler itself', async () => {
    const store = new FlakyStore()
    const payload = { topic: 'orders', partition: 0, message: record('0', 0), heartbeat: async () => undefined }
    const eachMessage = async (): Promise<void> => {
      await sleep(2_200)
      store.up = false
      setTimeout(() => {
        store.up = true
      }, 600)
    }
    await guardEachMessage(payload, eachMessage, partitionWith(store), 2)
  })

  it('ends', async () => {
    const store = new FlakyStore()
    store.up = false
    const payload = { topic: 'orders', partition: 0, message: record('0', 0), heartbeat: async () => undefined }
    const waiting = guardEachMessage(payload, async () => undefined, partitionWith(store), 1)
    await expect(waiting).rejects.toBeInstanceOf(LetGoError)
  })
})

const well = async (): Promise<void> => undefined

describe('a partition', () => {
  it('keeps nothing of the records that are through', async () => {
    const partition = partitionWith(remoteStore())
    const { signal } = partition
    for (let round = 0; round < 20; round++) {
      const [first, second] = [record('first', 2 * round), record('second', 2 * round + 1)]
      const payload = { topic: 'orders', partition: 0, message: first, heartbeat: well }
      await guardEachMessage(payload, well, partition, undefined)
      await guardEachBatch(batchOf([second], well), well, partition, true, undefined)
    }
    expect(partition.signal).toBe(signal)
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('that lets go keeps the leases of what is in hand', async () => {
    const store = remoteStore()
    let renewals = 0
    let renewed: () => void = () => undefined
    const renewedTwice = new Promise<void>((resolve) => {
      renewed = resolve
    })
    store.renew = () => {
      if (++renewals === 2) renewed()
    }
    const partition = partitionWith(store, 0.1)
    const payload = { topic: 'orders', partition: 0, message: record('0', 0), heartbeat: well }
    const eachMessage = async (): Promise<void> => {
      partition.letGo()
      await renewedTwice
    }
    await guardEachMessage(payload, eachMessage, partition, undefined)
  })
})

describe('offsets that cannot be committed', () => {
  it.each([
    ['named', { topics: [{ topic: 'orders', partitions: [{ partition: 0, offset: '1' }] }] }, 0],
    ['of another partition', { topics: [{ topic: 'orders', partitions: [{ partition: 1, offset: '1' }] }] }, 0],
    ['of another topic', { topics: [{ topic: 'invoices', partitions: [{ partition: 0, offset: '1' }] }] }, 0],
  ])('by the handler of a batch leave nothing remembered; %s', async (_what, offsets, expected) => {
    const store = new MemoryReplayStore()
    const refused = new Error('the broker refuses')
    const payload = { ...batchOf([record('0', 0)], well), commitOffsetsIfNecessary: () => Promise.reject(refused) }
    const seen: number[] = []
    const eachBatch = async ({ commitOffsetsIfNecessary }: EachBatchPayload): Promise<void> => {
      await commitOffsetsIfNecessary(offsets).finally(() => seen.push(store.gauge().committed))
    }
    await expect(guardEachBatch(payload, eachBatch, partitionWith(store), false, undefined)).rejects.toBe(refused)
    expect([...seen, store.gauge().committed, store.gauge().inProgress]).toEqual([expected, 0, 0])
  })

  it('and those that can be are remembered, up to the one that is named', async () => {
    const store = new MemoryReplayStore()
    const messages = [record('0', 0), record('1', 1), record('2', 2)]
    const told: unknown[] = []
    const payload = {
      ...batchOf(messages, well),
      commitOffsetsIfNecessary: async (offsets: unknown) => void told.push(offsets),
    }
    const offsets = (partition: number, offset: string) => ({
      topics: [{ topic: 'orders', partitions: [{ partition, offset }] }],
    })
    const seen: number[] = []
    const eachBatch = async ({ commitOffsetsIfNecessary }: EachBatchPayload): Promise<void> => {
      for (const named of [offsets(1, '3'), offsets(0, '0'), offsets(0, '2')]) {
        await commitOffsetsIfNecessary(named)
        seen.push(store.gauge().committed)
      }
    }
    await guardEachBatch(payload, eachBatch, partitionWith(store), false, undefined)
    expect([seen, told.length]).toEqual([[0, 0, 2], 3])
    expect(store.gauge()).toMatchObject({ committed: 2, inProgress: 0 })
  })
})

describe('records that come before dead letters can be written', () => {
  const modes = {
    eachMessage: (partition: Partition, got: string[], beat: () => Promise<void>) =>
      guardEachMessage(
        { topic: 'orders', partition: 0, message: record('0', 0), heartbeat: beat },
        async () => void got.push('0'),
        partition,
        undefined,
      ),
    eachBatch: (partition: Partition, got: string[], beat: () => Promise<void>) =>
      guardEachBatch(batchOf([record('0', 0)], beat), async () => void got.push('0'), partition, true, undefined),
  }

  it.each(Object.entries(modes))('wait, with heartbeats, and are delivered then; %s', async (_mode, guard) => {
    let open: () => void = () => undefined
    let ready: Promise<void> | undefined = new Promise<void>((resolve) => {
      open = resolve
    })
    const partition = partitionWith(remoteStore(), 30, () => ready)
    const got: string[] = []
    const beaten = new Promise<void>((resolve) => {
      const beat = async (): Promise<void> => resolve()
      void guard(partition, got, beat)
    })
    await beaten
    expect(got).toEqual([])
    ready = undefined
    open()
    await expect.poll(() => got).toEqual(['0'])
  })

  it.each(Object.entries(modes))(
    'are let go with all others, and not delivered afterwards; %s',
    async (_mode, guard) => {
      let open: () => void = () => undefined
      const ready = new Promise<void>((resolve) => {
        open = resolve
      })
      const partition = partitionWith(remoteStore(), 30, () => ready)
      const got: string[] = []
      const ended = guard(partition, got, well).then(
        () => 'ended',
        (error: unknown) => error instanceof LetGoError && 'ended',
      )
      partition.letGo()
      expect(await ended).toBe('ended')
      open()
      await sleep(20)
      expect(got).toEqual([])
    },
  )
})

describe('a batch', () => {
  it('that is let go before the replay store has answered keeps no lease', async () => {
    const store = new GatedStore()
    const released: string[] = []
    const release = store.release.bind(store)
    store.release = (claim) => {
      released.push(claim.position ?? '')
      release(claim)
    }
    const partition = partitionWith(store)
    const handled: string[] = []
    const eachBatch = async ({ batch }: EachBatchPayload): Promise<void> =>
      void handled.push(...batch.messages.map(({ value }) => String(value)))
    const ended = guardEachBatch(batchOf([record('0', 0), record('1', 1)], well), eachBatch, partition, true, undefined)
    await expect.poll(() => store.waiting).toBe(2)
    partition.letGo()
    await ended
    store.open()
    await expect.poll(() => released).toEqual(['orders/0/0', 'orders/0/1'])
    expect(handled).toEqual([])
  })

  it('of which more is committed than was delivered remembers what was delivered, and the rest when it is', async () => {
    const memory = new MemoryReplayStore()
    const store = new FlakyStore()
    let isUp = false
    store.begin = async (claim) => {
      if (claim.position === 'orders/0/1' && !isUp) throw new Error('down for this one')
      return memory.begin(claim)
    }
    store.commit = async (...args) => memory.commit(...args)
    store.release = async (claim) => memory.release(claim)
    const partition = partitionWith(store)
    const remembered: number[] = []
    const eachBatch = async (): Promise<void> => {
      await partition.commitUpTo(10n)
      remembered.push(memory.gauge().committed)
      isUp = true
    }
    const messages = [record('0', 0), record('1', 1), record('2', 2)]
    await guardEachBatch(batchOf(messages, well), eachBatch, partition, true, undefined)
    expect(remembered).toEqual([1, 3])
    expect(memory.gauge()).toMatchObject({ committed: 3, inProgress: 0 })
  })
})
