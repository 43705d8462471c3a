import { expect, it, onTestFinished } from 'vitest'
import { MAX_READ_HEADERS } from '../../adapters/kafka/message.ts'
import { subscribe } from '../../src/events.ts'
import { expectNothingPassed, type OpenScene } from './scene.ts'

/** Where dead letters go, and what waits for them. */
export function deadLetteringTests(open: OpenScene): void {
  it('of a record with very many headers has some of them, and says so', async () => {
    const scene = await open()
    // kafkajs itself takes minutes for as many different names.
    const many = Array<string>(10_000).fill('x')
    await scene.send([{ key: 'k', value: 'bad', headers: { many, queueauth: 'no.to.ken' } }], { signed: false })
    await scene.send([{ value: 'good' }])
    const got: string[] = []
    await scene.consume({ eachMessage: async ({ message }) => void got.push(String(message.value)) })
    await expect.poll(() => scene.committed()).toBe('2')
    const [letter] = await scene.read(`${scene.topic}-dlt`, 1)
    expect([String(letter?.key), String(letter?.value), got]).toEqual(['k', 'bad', ['good']])
    const { headers = {} } = letter ?? {}
    expect(headers.many).toHaveLength(MAX_READ_HEADERS)
    expect([headers.queueauth, headers['queueauth-headers-cut']].map(String)).toEqual(['no.to.ken', '2048'])
    expect(String(headers['queueauth-offset'])).toBe('0')
  })

  it('of a pattern of topics ends with the first letter: the dead-letter topics that match it get none of their own', async () => {
    const scene = await open()
    const [a, b] = [`${scene.topic}.a`, `${scene.topic}.b`]
    for (const topic of [a, b]) await scene.createTopic(topic)
    // From the start, since kafkajs looks at the names of topics only once.
    for (const topic of [a, b]) await scene.createTopic(`${topic}-dlt`)
    const pattern = new RegExp(`^${scene.topic}\\..*`)
    const got: string[] = []
    const settled: string[] = []
    const stop = subscribe('queue-key-auth:settled', ({ queue, how }) => {
      if (pattern.test(queue)) settled.push(`${queue.slice(scene.topic.length)} ${how}`)
    })
    onTestFinished(stop)
    for (const topic of [a, b]) {
      await scene.send(scene.forge(2), { topic, signed: false })
      await scene.send([{ value: `good in ${topic}` }], { topic })
    }
    await scene.consume(
      { eachMessage: async ({ message }) => void got.push(String(message.value)) },
      { topics: [pattern] },
    )
    await expect.poll(() => got.sort()).toEqual([`good in ${a}`, `good in ${b}`])
    await expect.poll(() => settled.length).toBe(8)
    expect(settled.sort()).toEqual(
      ['.a dead-lettered', '.a-dlt acknowledged', '.b dead-lettered', '.b-dlt acknowledged'].flatMap((what) => [
        what,
        what,
      ]),
    )
    for (const topic of [a, b]) await scene.read(`${topic}-dlt`, 2)
    const topics = await scene.withAdmin((admin) => admin.listTopics())
    expect(topics.filter((topic) => topic.endsWith('-dlt-dlt'))).toEqual([])
  })

  it('in a topic that was asked for by its name goes to one of its own, whatever the name', async () => {
    const scene = await open()
    const topic = `${scene.topic}-dlt`
    await scene.createTopic(topic)
    await scene.send(scene.forge(1), { topic, signed: false })
    await scene.consume({ eachMessage: async () => undefined }, { topic, groupId: `group-${topic}` })
    await scene.read(`${topic}-dlt`, 1)
  })

  it('makes no topic for those of a topic that is missing', async () => {
    const scene = await open()
    const topic = `${scene.topic}-misspelt`
    const consuming = scene.consume({ eachMessage: async () => undefined }, { topic, groupId: `group-${topic}` })
    // Whether it runs is the broker's to say, which may make the topic.
    await consuming.catch(() => undefined)
    const topics = await scene.withAdmin((admin) => admin.listTopics())
    expect(topics).not.toContain(`${topic}-dlt`)
  })

  it.each(['eachMessage', 'eachBatch'] as const)(
    'keeps the offset back until it is confirmed, however often offsets are committed; %s',
    async (mode) => {
      const scene = await open({ partitions: 2 })
      const to = (partition: number, values: string[]) => values.map((value) => ({ value, partition }))
      const forged = { value: 'forged', partition: 0, headers: { queueauth: 'no.to.ken' } }
      await scene.send(to(0, ['0']))
      await scene.send([forged], { signed: false })
      // All at once: kafkajs fetches again only when every partition is through.
      await scene.send([...to(0, ['2', '3']), ...to(1, ['a', 'b', 'c', 'd'])])
      let confirm: () => void = () => undefined
      const confirmed = new Promise<void>((resolve) => {
        confirm = resolve
      })
      let letters = 0
      const deadLetter = async (): Promise<void> => {
        letters++
        await confirmed
      }
      const got: string[] = []
      // As often as can be: the Confluent client commits every 100 ms.
      const often = scene.library.name === 'kafkajs' ? { autoCommitThreshold: 1, autoCommitInterval: 10 } : {}
      await scene.consume(
        {
          ...often,
          partitionsConsumedConcurrently: 2,
          ...(mode === 'eachMessage' && { eachMessage: async ({ message }) => void got.push(String(message.value)) }),
          ...(mode === 'eachBatch' && {
            eachBatch: async ({ batch, resolveOffset, commitOffsetsIfNecessary }) => {
              for (const { value, offset } of batch.messages) {
                got.push(String(value))
                resolveOffset(offset)
                await commitOffsetsIfNecessary()
              }
            },
          }),
        },
        { deadLetter },
      )
      await expect.poll(() => letters).toBe(1)
      await expect.poll(() => scene.committed(undefined, 1)).toBe('4')
      expect(['-1', '0', '1']).toContain(await scene.committed())
      expect(got).not.toContain('2')
      confirm()
      await expect.poll(() => scene.committed()).toBe('4')
      expect(got.filter((value) => /\d/.test(value))).toEqual(['0', '2', '3'])
    },
  )

  it.each(['eachMessage', 'eachBatch'] as const)(
    'does not keep a consumer from ending, and is no failure then; %s',
    async (mode) => {
      const scene = await open()
      await scene.send(scene.forge(1), { signed: false })
      const failures: string[] = []
      onTestFinished(
        subscribe('queue-key-auth:dead-letter-failed', ({ queue, code }) => {
          if (queue === scene.topic) failures.push(code)
        }),
      )
      let letters = 0
      let stored: () => void = () => undefined
      const storing = new Promise<void>((resolve) => {
        stored = resolve
      })
      const deadLetter = (): Promise<void> => {
        letters++
        return storing
      }
      const consumer = await scene.consume({ [mode]: async () => undefined }, { deadLetter })
      await expect.poll(() => letters).toBe(1)
      await consumer.disconnect()
      await expectNothingPassed(scene)
      stored()
      await scene.consume({ [mode]: async () => undefined }, { deadLetter })
      await expect.poll(() => scene.committed()).toBe('1')
      expect(letters).toBe(2)
      expect(failures).toEqual([])
    },
  )

  it('of records before the first good one of a batch happens once, though the handler fails', async () => {
    const scene = await open()
    await scene.send(scene.forge(2), { signed: false })
    await scene.send([{ value: 'good' }])
    let calls = 0
    await scene.consume({
      eachBatch: async () => {
        if (calls++ < 2) throw new Error('not yet')
      },
    })
    await expect.poll(() => scene.committed()).toBe('3')
    expect(calls).toBe(3)
    expect(await scene.read(`${scene.topic}-dlt`, 2)).toHaveLength(2)
  })
}
