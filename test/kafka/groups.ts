import { setTimeout as sleep } from 'node:timers/promises'
import type { ConsumerRunConfig } from 'kafkajs'
import { expect, it } from 'vitest'
import { wrapProducer } from '../../adapters/kafka/index.ts'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import { Verifier } from '../../src/verifier.ts'
import type { OpenScene } from './scene.ts'
import { createTopic } from './topics.ts'

const PARTITIONS = 6
const PIECES = 8
const PIECE = 30

/** Groups whose members come and go, and topics that change under them. */
export function groupTests(open: OpenScene): void {
  it.each(['eachMessage', 'eachBatch'] as const)(
    'handle each record once while members join and leave; %s',
    async (mode) => {
      const replay = new MemoryReplayStore()
      const scene = await open({ replay, partitions: PARTITIONS })
      const got: string[] = []
      const run: ConsumerRunConfig =
        mode === 'eachMessage'
          ? {
              partitionsConsumedConcurrently: 3,
              eachMessage: async ({ message }) => {
                await sleep(2)
                got.push(String(message.value))
              },
            }
          : {
              eachBatch: async ({ batch }) => {
                for (const { value } of batch.messages) {
                  await sleep(2)
                  got.push(String(value))
                }
              },
            }
      const join = () => scene.consume(run, { verifier: new Verifier({ keys: scene.keys.keys, replay }) })
      const producer = wrapProducer(scene.kafka().producer(), scene.keys.signer)
      await producer.connect()
      const sent: string[] = []
      const send = async (): Promise<void> => {
        for (let piece = 0; piece < PIECES; piece++) {
          const messages = Array.from({ length: PIECE }, (_, index) => ({
            value: `${sent.length + index}`,
            partition: index % PARTITIONS,
          }))
          sent.push(...messages.map(({ value }) => value))
          await producer.send({ topic: scene.topic, messages })
          await sleep(20)
        }
      }
      const all = (): Promise<void> => expect.poll(() => new Set(got).size).toBe(sent.length)
      const first = await join()
      await send()
      const [second] = await Promise.all([join(), send()])
      await all()
      const [third] = await Promise.all([join(), send(), first.disconnect()])
      await all()
      await Promise.all([second.disconnect(), send()])
      await all()
      await third.disconnect()
      await producer.disconnect()
      expect(got.toSorted()).toEqual(sent.toSorted())
    },
  )

  it('handle what is sent to a topic that was deleted and made anew, and skip copies of what was there before', async () => {
    const replay = new MemoryReplayStore()
    const scene = await open({ replay })
    const got: string[] = []
    const codes: string[] = []
    const start = () =>
      scene.consume(
        { eachMessage: async ({ message }) => void got.push(String(message.value)) },
        {
          verifier: new Verifier({ keys: scene.keys.keys, replay }),
          onVerdict: (verdict) => void codes.push(verdict.outcome),
        },
      )
    await scene.send(['0', '1'].map((value) => ({ value })))
    const before = await start()
    await expect.poll(() => scene.committed()).toBe('2')
    await before.disconnect()
    const old = await scene.read(scene.topic, 2)

    await scene.withAdmin(async (admin) => {
      await admin.deleteTopics({ topics: [scene.topic] })
      await expect.poll(() => admin.listTopics()).not.toContain(scene.topic)
      await createTopic(admin, { topic: scene.topic, numPartitions: 1 })
    })
    await scene.send(
      old.map(({ key, value, headers = {} }) => ({ key, value, headers })),
      { signed: false },
    )
    await scene.send(['2', '3'].map((value) => ({ value })))
    await start()
    await expect.poll(() => scene.committed()).toBe('4')
    expect(got).toEqual(['0', '1', '2', '3'])
    expect(codes).toEqual(['authorized', 'authorized', 'skipped', 'skipped', 'authorized', 'authorized'])
  })
}
