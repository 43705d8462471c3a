import type { Consumer } from 'kafkajs'
import { expect, it, onTestFinished } from 'vitest'
import { wrapConsumer } from '../../adapters/kafka/index.ts'
import type { OpenScene, Scene } from './scene.ts'

type Act = (consumer: Consumer, topic: string) => unknown

const VERBS: Readonly<Record<string, Act>> = {
  seek: (consumer, topic) => consumer.seek({ topic, partition: 0, offset: '0' }),
  pause: (consumer, topic) => consumer.pause([{ topic, partitions: [0] }]),
  paused: (consumer) => consumer.paused(),
  resume: (consumer, topic) => consumer.resume([{ topic, partitions: [0] }]),
  commitOffsets: (consumer, topic) => consumer.commitOffsets([{ topic, partition: 0, offset: '0' }]),
  subscribe: (consumer, topic) => consumer.subscribe({ topics: [topic] }),
  run: (consumer) => consumer.run({ eachMessage: async () => undefined }),
  disconnect: (consumer) => consumer.disconnect(),
}

/** A promise of `run` that nobody waits for: the clients' documentation does not ask for it. */
export function unawaitedTests(open: OpenScene): void {
  it.each(Object.entries(VERBS))('right before %s is as it is with a plain consumer', async (_verb, act) => {
    const scene = await open()
    expect(await outcomes(scene, act, true)).toEqual(await outcomes(scene, act, false))
  })

  it('right before a seek gets what stands there', async () => {
    const scene = await open()
    await scene.send([{ value: '0' }, { value: '1' }, { value: '2' }])
    const consumer = await subscribed(scene, true)
    const got: string[] = []
    void consumer.run({ eachMessage: async ({ message }) => void got.push(String(message.value)) })
    consumer.seek({ topic: scene.topic, partition: 0, offset: '2' })
    await expect.poll(() => scene.committed()).toBe('3')
    expect(got).toEqual(['2'])
  })

  it('and one that is waited for is over before the first record comes', async () => {
    const scene = await open()
    await scene.send([{ value: '0' }])
    const consumer = await subscribed(scene, true)
    let isOver = false
    const got: boolean[] = []
    await consumer.run({ eachMessage: async () => void got.push(isOver) })
    isOver = true
    await expect.poll(() => got).toEqual([true])
  })

  it('hears that dead letters cannot be written, delivers nothing, and can be called again', async () => {
    const scene = await open()
    await scene.send([{ value: '0' }, { value: '1' }])
    let name = 'not a topic!'
    const consumer = await subscribed(scene, true, () => name)
    const got: string[] = []
    const run = (): Promise<void> =>
      consumer.run({ eachMessage: async ({ message }) => void got.push(String(message.value)) })
    await expect(run()).rejects.toMatchObject({ code: 'dead-letters-unavailable' })
    expect(got).toEqual([])
    expect(await scene.committed()).toBe('-1')
    name = `${scene.topic}-dlt`
    await run()
    await expect.poll(() => scene.committed()).toBe('2')
    expect(got).toEqual(['0', '1'])
  })
}

/** What comes of running and of doing something else before that is through. */
async function outcomes(scene: Scene, act: Act, wrapped: boolean): Promise<unknown[]> {
  const consumer = await subscribed(scene, wrapped)
  const running = outcome(() => consumer.run({ eachMessage: async () => undefined }))
  const acting = outcome(() => act(consumer, scene.topic))
  return await Promise.all([running, acting])
}

async function outcome(act: () => unknown): Promise<unknown> {
  try {
    const answer = act()
    if (!(answer instanceof Promise)) return ['returns', typeof answer]
    return await answer.then(
      () => ['resolves'],
      (error: Error) => ['rejects', error.name, error.message],
    )
  } catch (error) {
    return ['throws', (error as Error).name, (error as Error).message]
  }
}

async function subscribed(scene: Scene, wrapped: boolean, deadLetterName?: () => string): Promise<Consumer> {
  const kafka = scene.kafka()
  if (wrapped) {
    wrapConsumer(kafka, scene.verifier, { onVerdict: () => undefined, ...(deadLetterName && { deadLetterName }) })
  }
  const consumer = scene.library.consumer(kafka, `group-${scene.topic}${wrapped ? '' : '-plain'}`)
  onTestFinished(() => consumer.disconnect())
  await consumer.connect()
  const fromBeginning = scene.library.name === 'kafkajs' ? { fromBeginning: true } : {}
  await consumer.subscribe({ topics: [scene.topic], ...fromBeginning })
  return consumer
}
