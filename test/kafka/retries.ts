import type { KafkaMessage, Message } from 'kafkajs'
import { expect, it, onTestFinished } from 'vitest'
import { headersToForward, wrapProducer } from '../../adapters/kafka/index.ts'
import { releaseForRetry, senderOf } from '../../src/verdict.ts'
import { Verifier } from '../../src/verifier.ts'
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
          const { key, value } = message
          const headers = { ...headersToForward(message), 'x-attempt': String(handled.length) }
          const copy: Message = { key, value, headers }
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

  const passers: [string, (message: KafkaMessage) => Message][] = [
    ['the record itself', (message) => message],
    ['a spread copy', (message) => ({ ...message, headers: { ...message.headers, 'x-attempt': '2' } })],
    ['its headers', ({ key, value, headers = {} }) => ({ key, value, headers })],
    [
      'its headers and more',
      (message) => ({ value: message.value, headers: { ...headersToForward(message), 'x-attempt': '2' } }),
    ],
  ]

  it.each(passers)(
    'go through a producer that keeps tokens as %s, and are handled; as others see them',
    async (_what, pass) => {
      const scene = await open({ queues: { '*-retry': { destinations: ['kafka:orders-*'] } } })
      const retryTopic = `${scene.topic}-retry`
      await scene.createTopic(retryTopic)
      const producer = wrapProducer(scene.kafka().producer(), scene.keys.signer, { preserveToken: true })
      onTestFinished(() => producer.disconnect())
      await producer.connect()
      await scene.send([
        { value: 'one by one', headers: { a: 'b' } },
        { value: 'a batch', headers: { a: 'b' } },
      ])
      const tokens = (await scene.read(scene.topic, 2)).map(({ headers }) => String(headers?.queueauth))
      for (const [value, mode] of [
        ['one by one', 'eachMessage'],
        ['a batch', 'eachBatch'],
      ] as const) {
        const handle = async (message: KafkaMessage): Promise<void> => {
          if (String(message.value) === value) await producer.send({ topic: retryTopic, messages: [pass(message)] })
        }
        await scene.consume(
          mode === 'eachMessage'
            ? { eachMessage: ({ message }) => handle(message) }
            : { eachBatch: async ({ batch }) => void (await Promise.all(batch.messages.map(handle))) },
          // A replay store of its own: each of the two is to handle both.
          { groupId: `${mode}-${scene.topic}`, verifier: new Verifier({ keys: scene.keys.keys }) },
        )
        await expect.poll(() => scene.committed(`${mode}-${scene.topic}`)).toBe('2')
      }
      const passed = await scene.read(retryTopic, 2)
      expect(passed.map(({ headers }) => String(headers?.queueauth))).toEqual(tokens)
      const got: unknown[] = []
      await scene.consume(
        { eachMessage: async ({ message }) => void got.push(String(message.value), senderOf(message)?.destination) },
        { topic: retryTopic, groupId: `retry-${scene.topic}` },
      )
      await expect
        .poll(() => got)
        .toEqual(['one by one', 'a batch'].flatMap((value) => [value, `kafka:${scene.topic}`]))
    },
  )

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
