import type { Consumer, Kafka } from 'kafkajs'
import { KafkaJSNonRetriableError } from 'kafkajs'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { wrapConsumer } from '../../adapters/kafka/index.ts'
import { kafkajsLibrary } from './client-libraries.ts'
import { clientTests } from './clients.ts'
import { type OpenScene, Scene } from './scene.ts'

const brokers = inject('kafkaBrokers')

describe.skipIf(brokers === undefined)('with kafkajs', () => {
  const open: OpenScene = (options) => Scene.open(brokers, options)
  clientTests(open)

  /** Notes how many producers below the wrapper are connected. */
  function countProducers(kafka: Kafka): { open: number } {
    const count = { open: 0 }
    const make = kafka.producer.bind(kafka)
    kafka.producer = (config) => {
      const producer = make(config)
      producer.on(producer.events.CONNECT, () => void count.open++)
      producer.on(producer.events.DISCONNECT, () => void count.open--)
      return producer
    }
    return count
  }

  it.each(['stop', 'disconnect'] as const)(
    'consumers that run again after %s write dead letters, and leave nothing open',
    async (end) => {
      const scene = await open()
      const kafka = scene.kafka()
      const producers = countProducers(kafka)
      wrapConsumer(kafka, scene.verifier, { onVerdict: () => undefined })
      const consumer = scene.library.consumer(kafka, `group-${scene.topic}`)
      onTestFinished(() => consumer.disconnect())
      const got: string[] = []
      for (const round of [1, 2, 3]) {
        if (round === 1 || end === 'disconnect') await consumer.connect()
        await scene.send(scene.forge(1), { signed: false })
        await scene.send([{ value: `good ${round}` }])
        await scene.library.run(consumer, [scene.topic], {
          eachMessage: async ({ message }) => void got.push(String(message.value)),
        })
        await expect.poll(() => scene.committed()).toBe(String(2 * round))
        await consumer[end]()
        expect(producers.open).toBe(end === 'stop' ? 1 : 0)
      }
      await consumer.disconnect()
      expect(producers.open).toBe(0)
      expect(got).toEqual(['good 1', 'good 2', 'good 3'])
      await scene.read(`${scene.topic}-dlt`, 3)
    },
  )

  it.each(['eachMessage', 'eachBatch'] as const)(
    "handlers' errors that cannot be retried end the consumer as they are; %s",
    async (mode) => {
      const scene = await open()
      await scene.send([{ value: '0' }])
      const library = kafkajsLibrary(brokers ?? [], true)
      const endWith = async (wrapped: boolean): Promise<unknown> => {
        const { kafka } = library.open()
        if (wrapped) wrapConsumer(kafka, scene.verifier, { onVerdict: () => undefined })
        const consumer: Consumer = library.consumer(kafka, `group-${scene.topic}-${wrapped}`)
        onTestFinished(() => consumer.disconnect())
        const ended = new Promise((resolve) => library.onEnd(consumer, resolve))
        await consumer.connect()
        let calls = 0
        const bug = new KafkaJSNonRetriableError('no use')
        const handler = async (): Promise<void> => {
          calls++
          throw bug
        }
        await library.run(consumer, [scene.topic], { [mode]: handler })
        return {
          same: (await ended) === bug,
          calls,
          committed: await scene.committed(`group-${scene.topic}-${wrapped}`),
        }
      }
      expect(await endWith(true)).toEqual(await endWith(false))
    },
  )

  it('consumers that join their group anew have forgotten what they sought', async () => {
    const scene = await open()
    await scene.send(['0', '1', '2'].map((value) => ({ value })))
    const [got, skipped]: [string[], string[]] = [[], []]
    const kafka = wrapConsumer(scene.kafka(), scene.verifier, {
      onVerdict: (verdict, { message }) => {
        if (verdict.outcome === 'skipped') skipped.push(message.offset)
      },
    })
    const retry = { retries: 0, initialRetryTime: 20, maxRetryTime: 50 }
    const consumer = kafka.consumer({ groupId: `group-${scene.topic}`, maxWaitTimeInMs: 50, retry })
    onTestFinished(() => consumer.disconnect())
    await consumer.connect()
    let joins = 0
    consumer.on(consumer.events.GROUP_JOIN, () => void joins++)
    await scene.library.run(consumer, [scene.topic], {
      eachMessage: async ({ message }) => {
        // The second time it fails, which ends the consumer, and kafkajs begins anew.
        if (got.push(String(message.value)) === 5) throw new Error('not now')
      },
    })
    await expect.poll(() => scene.committed()).toBe('3')
    consumer.seek({ topic: scene.topic, partition: 0, offset: '0' })
    await expect.poll(() => skipped.slice(-2)).toEqual(['1', '2'])
    expect(got).toEqual(['0', '1', '2', '0', '1'])
    expect(joins).toBe(2)
  })
})
