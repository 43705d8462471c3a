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
})
