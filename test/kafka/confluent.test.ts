import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { wrapConsumer } from '../../adapters/kafka/index.ts'
import { confluentLibrary } from './client-libraries.ts'
import { clientTests } from './clients.ts'
import { findConfluent, HOW_TO_GET_CONFLUENT } from './find-confluent.ts'
import { type OpenScene, Scene } from './scene.ts'

const brokers = inject('kafkaBrokers')
const client = brokers && findConfluent()

describe.skipIf(brokers === undefined)('with the Confluent client', () => {
  if (client === undefined) {
    it('works as with kafkajs', ({ skip }) => skip(HOW_TO_GET_CONFLUENT))
    return
  }
  const open: OpenScene = (options) =>
    Scene.open(brokers, { ...options, library: confluentLibrary(client, brokers ?? []) })
  clientTests(open)

  it.each([
    ['does not wait for all replicas', { acks: 1 }],
    ['is in transactions', { transactionalId: 'loop' }],
  ])('a producer of dead letters that %s is refused', async (_what, settings) => {
    const scene = await open()
    const { library } = scene
    const deadLetterProducer = scene.kafka().producer({ kafkaJS: settings } as never)
    const consumer = library.consumer(scene.kafka(), `group-${scene.topic}`)
    onTestFinished(async () => void (await Promise.all([consumer.disconnect(), deadLetterProducer.disconnect()])))
    await deadLetterProducer.connect()
    wrapConsumer(consumer, scene.verifier, { deadLetterProducer })
    await consumer.connect()
    await expect(library.run(consumer, [scene.topic], { eachMessage: async () => undefined })).rejects.toMatchObject({
      code: 'dead-letters-unavailable',
    })
  })
})
