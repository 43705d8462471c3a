import { getEventListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { EachBatchPayload, KafkaMessage } from '../../../adapters/kafka/client.ts'
import { guardEachBatch } from '../../../adapters/kafka/each-batch.ts'
import { guardEachMessage } from '../../../adapters/kafka/each-message.ts'
import { LetGoError } from '../../../adapters/kafka/hold.ts'
import { Partition } from '../../../adapters/kafka/partition.ts'
import type { ReplayStore } from '../../../src/replay/replay-store.ts'
import { testKeys } from '../../../src/testing.ts'
import { Verifier } from '../../../src/verifier.ts'
import { FlakyStore, remoteStore } from '../../contract/stores.ts'

const { signer, keys } = testKeys('checkout')

const unended = new AbortController().signal

function record(value: string, offset: number): KafkaMessage {
  const payload = Buffer.from(value)
  const headers = { queueauth: Buffer.from(signer.sign({ destination: 'kafka:orders', payload })) }
  return { key: null, value: payload, headers, offset: String(offset), timestamp: '0' }
}

function partitionWith(replay: ReplayStore, leaseSeconds: number = 30): Partition {
  return new Partition('orders', 0, {
    verifier: new Verifier({ keys, replay, leaseSeconds }),
    options: { onVerdict: () => undefined },
    groupId: () => 'group',
    leaseSignal: () => unended,
    storeDeadLetter: async () => undefined,
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

describe('a partition', () => {
  const well = async (): Promise<void> => undefined

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
