import type { Message } from 'kafkajs'
import { expect, it } from 'vitest'
import { releaseForRetry, senderOf } from '../../src/verdict.ts'
import type { OpenScene } from './scene.ts'

/** Records that an application passes on with their first sender's token, through a client that is not wrapped. */
export function retryTests(open: OpenScene): void {
  it.each([
    ['are handled again where they were released', true],
    ['are skipped where they were not', false],
  ])('go to a retry topic and come back, and %s', async (_what, released) => {
    const scene = await open({ queues: { '*-retry': { destinations: ['kafka:orders-*'] } } })
    const retryTopic = `${scene.topic}-retry`
    await scene.createTopic(retryTopic)
    const handled: string[] = []
    const skipped: string[] = []
    await scene.consume(
      {
        eachMessage: async ({ topic, message }) => {
          expect(senderOf(message)?.destination).toBe(`kafka:${scene.topic}`)
          handled.push(`${message.value} in ${topic}`)
          if (handled.length > 2) return
          if (released) await releaseForRetry(message)
          const { key, value, headers } = message
          const copy = { key, value, headers } as Message
          await scene.send([copy], { signed: false, topic: topic === retryTopic ? scene.topic : retryTopic })
        },
      },
      {
        topics: [scene.topic, retryTopic],
        onVerdict: (verdict, { topic }) => {
          if (verdict.outcome === 'skipped') skipped.push(`${verdict.code} in ${topic}`)
        },
      },
    )
    await scene.send([{ key: 'k', value: 'x', headers: { a: 'b' } }])
    await expect.poll(() => scene.committed()).toBe('2')
    const once = [`x in ${scene.topic}`, `x in ${retryTopic}`]
    expect(handled).toEqual(released ? [...once, `x in ${scene.topic}`] : once)
    expect(skipped).toEqual(released ? [] : [`duplicate in ${scene.topic}`])
  })

  it('are refused in a topic of the same group whose policy does not expect them', async () => {
    const scene = await open({ queues: { '*-retry': { destinations: ['kafka:orders-*'] } } })
    const [retryTopic, other] = [`${scene.topic}-retry`, `${scene.topic}-other`]
    for (const topic of [retryTopic, other]) await scene.createTopic(topic)
    await scene.send([{ value: 'x', headers: { a: 'b' } }])
    const [{ value, headers } = { value: null }] = await scene.read(scene.topic, 1)
    for (const topic of [retryTopic, other]) {
      await scene.send([{ value, headers: headers ?? {} }], { signed: false, topic })
    }
    const handled: string[] = []
    await scene.consume(
      { eachMessage: async ({ topic }) => void handled.push(topic) },
      { topics: [scene.topic, retryTopic, other] },
    )
    const [letter] = await scene.read(`${other}-dlt`, 1)
    expect(String(letter?.headers?.['queueauth-reason'])).toBe('destination-mismatch')
    await expect.poll(() => handled.sort()).toEqual([scene.topic, retryTopic].sort())
  })
}
