import { expect, it, onTestFinished } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/kafka/index.ts'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import { senderOf } from '../../src/verdict.ts'
import type { OpenScene, Scene } from './scene.ts'

/** Consume, transform, produce: what comes in, what goes out and the offset are one transaction. */
export function exactlyOnceTests(open: OpenScene): void {
  it('one record a transaction: outputs once, bad ones dead-lettered, the offset where the last output left it', async () => {
    const replay = new MemoryReplayStore()
    const scene = await open({ replay })
    await fill(scene)
    const { library, topic } = scene
    const { producer, consumer, out, groupId } = await openLoop(scene)
    const failures = new Set(['1'])
    await library.run(consumer, [topic], {
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        const value = String(message.value)
        const transaction = await producer.transaction()
        await transaction.send({ topic: out, messages: [{ value: `out of ${value}` }] })
        const offset = String(Number(message.offset) + 1)
        await library.sendOffset(transaction, consumer, groupId, { topic, partition, offset })
        if (failures.delete(value)) {
          await transaction.abort()
          throw new Error('not yet')
        }
        await transaction.commit()
      },
    })
    await expectOutputs(scene, out)
    // The last record is bad: it is dead-lettered, but no transaction passes it.
    await scene.read(`${topic}-dlt`, BAD)
    expect(await scene.committed(groupId)).toBe(String(TOTAL - 1))
    await expect.poll(() => replay.gauge()).toMatchObject({ committed: GOOD + GOOD, inProgress: 0 })
  })

  it('one batch a transaction: the same, and the offset passes the bad ones behind as well', async () => {
    const scene = await open()
    await fill(scene)
    const { library, topic } = scene
    const { producer, consumer, out, groupId } = await openLoop(scene)
    let failures = 1
    await library.run(consumer, [topic], {
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, resolveOffset }) => {
        const transaction = await producer.transaction()
        const messages = batch.messages.map(({ value }) => ({ value: `out of ${value}` }))
        await transaction.send({ topic: out, messages })
        const last = batch.lastOffset()
        const offset = String(Number(last) + 1)
        await library.sendOffset(transaction, consumer, groupId, { topic, partition: batch.partition, offset })
        if (failures-- > 0) {
          await transaction.abort()
          throw new Error('not yet')
        }
        await transaction.commit()
        resolveOffset(last)
      },
    })
    await expectOutputs(scene, out)
    await expect.poll(() => scene.committed(groupId)).toBe(String(TOTAL))
  })
}

const [GOOD, BAD] = [3, 4]
const TOTAL = GOOD + BAD

/** bad, 0, bad, bad, 1, 2, bad */
async function fill(scene: Scene): Promise<void> {
  const good = (...values: string[]): Promise<void> => scene.send(values.map((value) => ({ value })))
  const bad = (count: number): Promise<void> => scene.send(scene.forge(count), { signed: false })
  await bad(1)
  await good('0')
  await bad(2)
  await good('1', '2')
  await bad(1)
}

async function openLoop(scene: Scene) {
  const out = `${scene.topic}-out`
  await scene.createTopic(out)
  const kafka = wrapProducer(scene.kafka(), scene.keys.signer)
  wrapConsumer(kafka, scene.verifier, { onVerdict: () => undefined })
  const groupId = `group-${scene.topic}`
  const producer = scene.library.transactionalProducer(kafka, scene.topic)
  const consumer = scene.library.consumer(kafka, groupId, false)
  onTestFinished(async () => {
    await consumer.disconnect()
    await producer.disconnect()
  })
  await producer.connect()
  await consumer.connect()
  return { producer, consumer, out, groupId }
}

/** A read-committed consumer, which checks too, sees each output once. */
async function expectOutputs(scene: Scene, out: string): Promise<void> {
  const outputs: string[] = []
  await scene.consume(
    {
      eachMessage: async ({ message }) => {
        expect(senderOf(message)?.service).toBe('checkout')
        outputs.push(String(message.value))
      },
    },
    { topic: out, groupId: `reader-${out}` },
  )
  await expect.poll(() => outputs).toEqual(['out of 0', 'out of 1', 'out of 2'])
}
