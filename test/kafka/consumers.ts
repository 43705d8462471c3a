import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import type { KafkaMessage } from 'kafkajs'
import { expect, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/kafka/index.ts'
import { subscribe } from '../../src/events.ts'
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts'
import { senderOf } from '../../src/verdict.ts'
import type { OpenScene } from './scene.ts'

/** @param open makes a scene of the client that is tested */
export function consumerTests(open: OpenScene): void {
  it('handle everything again after a seek back, in a new group from the beginning, and skip a copy', async () => {
    const scene = await open()
    await scene.send([{ value: '0' }, { value: '1' }, { value: '2' }])
    const [first] = await scene.read(scene.topic, 3)
    await scene.send([{ value: first?.value ?? null, headers: first?.headers ?? {} }], { signed: false })
    const got: string[] = []
    const eachMessage = async ({ message }: { message: { value: Buffer | null } }): Promise<void> =>
      void got.push(String(message.value))
    const consumer = await scene.consume({ eachMessage })
    await expect.poll(() => scene.committed()).toBe('4')
    expect(got).toEqual(['0', '1', '2'])
    consumer.seek({ topic: scene.topic, partition: 0, offset: '1' })
    await expect.poll(() => got).toEqual(['0', '1', '2', '1', '2'])
    got.length = 0
    await scene.consume({ eachMessage }, { groupId: `another-${scene.topic}` })
    await expect.poll(() => scene.committed(`another-${scene.topic}`)).toBe('4')
    expect(got).toEqual(['0', '1', '2'])
  })

  it('with eachBatch resolved by hand get good records only and pass the bad ones', async () => {
    const scene = await open()
    await scene.send(scene.forge(2), { signed: false })
    await scene.send([{ value: '0' }, { value: '1' }])
    await scene.send(scene.forge(3), { signed: false })
    const got: string[] = []
    let batches = 0
    await scene.consume({
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, resolveOffset, commitOffsetsIfNecessary, ...rest }) => {
        batches++
        expect(Object.keys({ ...batch })).toContain('highWatermark')
        // The client keeps all it fetched on its batch.
        expect(inspect({ ...batch }, { depth: null })).not.toContain(inspect(Buffer.from('bad 1')))
        expect(inspect(batch, { depth: null, showHidden: true })).not.toContain(inspect(Buffer.from('bad 1')))
        expect([batch.isEmpty(), rest.isRunning(), rest.isStale()]).toEqual([false, true, false])
        for (const message of batch.messages) {
          expect(senderOf(message)?.service).toBe('checkout')
          got.push(String(message.value))
          resolveOffset(message.offset)
        }
        await commitOffsetsIfNecessary()
      },
    })
    await expect.poll(() => scene.committed()).toBe('7')
    expect([got, batches]).toEqual([['0', '1'], 1])
    expect(await scene.read(`${scene.topic}-dlt`, 5)).toHaveLength(5)
  })

  it.each(['eachMessage', 'eachBatch'] as const)('see headers of their own, and no token; %s', async (mode) => {
    const scene = await open()
    await scene.send([{ value: '0', headers: { a: 'b', list: ['1', '2'] } }, { value: '1' }])
    const seen: unknown[] = []
    const look = async (message: KafkaMessage): Promise<void> => {
      const headers = message.headers ?? {}
      seen.push(Reflect.ownKeys(headers), headers.queueauth, 'queueauth' in headers)
      expect(Object.getPrototypeOf(headers)).toBe(Object.prototype)
      expect(inspect(message, { depth: null, showHidden: true })).not.toMatch(/queueauth:|token:/)
      // A copy, as frameworks hand it on, is still known.
      expect(senderOf({ ...message, value: 'decoded', headers: { ...headers } })?.service).toBe('checkout')
    }
    await scene.consume(
      mode === 'eachMessage'
        ? { eachMessage: ({ message }) => look(message) }
        : { eachBatch: async ({ batch }) => void (await Promise.all(batch.messages.map(look))) },
    )
    await expect.poll(() => scene.committed()).toBe('2')
    expect(seen).toEqual([['a', 'list'], undefined, false, [], undefined, false])
  })

  it('are not called for a batch of bad records, and are not given it again', async () => {
    const scene = await open()
    await scene.send(scene.forge(20), { signed: false })
    let calls = 0
    await scene.consume({ eachBatchAutoResolve: false, eachBatch: async () => void calls++ })
    await expect.poll(() => scene.committed()).toBe('20')
    await sleep(300)
    expect(calls).toBe(0)
    await scene.read(`${scene.topic}-dlt`, 20)
  })

  it('that commit by themselves find nothing committed for them, and hear where bad records stood', async () => {
    const scene = await open()
    await scene.send([{ value: '0' }])
    await scene.send(scene.forge(1), { signed: false })
    const positions: unknown[] = []
    const stop = subscribe(
      'queue-key-auth:settled',
      ({ queue, position }) => queue === scene.topic && positions.push(position),
    )
    let got = 0
    const consumer = await scene.consume({ autoCommit: false, eachMessage: async () => void got++ })
    await expect.poll(() => positions).toEqual([`${scene.topic}/0/1`])
    stop()
    expect(got).toBe(1)
    expect(await scene.committed()).toBe('-1')
    await consumer.commitOffsets([{ topic: scene.topic, partition: 0, offset: '1' }])
    expect(await scene.committed()).toBe('1')
  })

  it('of one partition wait for a dead letter that cannot be written, those of others do not', async () => {
    const scene = await open({ partitions: 2 })
    let broken = true
    const stored: string[] = []
    const deadLetter = async ({ message }: { message: { message: { offset: string } } }): Promise<void> => {
      if (broken) throw new Error('not now')
      stored.push(message.message.offset)
    }
    const to = (partition: number, messages: { value: string }[]) =>
      messages.map((message) => ({ ...message, partition }))
    await scene.send(to(0, scene.forge(1) as never), { signed: false })
    await scene.send([...to(0, [{ value: 'behind' }]), ...to(1, [{ value: 'a' }, { value: 'b' }])])
    const got: string[] = []
    await scene.consume(
      {
        partitionsConsumedConcurrently: 2,
        eachMessage: async ({ message }) => void got.push(String(message.value)),
      },
      { deadLetter },
    )
    await expect.poll(() => got).toEqual(['a', 'b'])
    expect(await scene.committed()).toBe('-1')
    broken = false
    await expect.poll(() => got).toEqual(['a', 'b', 'behind'])
    expect(stored).toEqual(['0'])
  })

  it('take records of mirrored and retry topics where destinations say so', async () => {
    const mirrored = 'us.orders'
    const scene = await open({ destinations: ['kafka:orders.us'] })
    const { signer } = scene.keys
    const sign = (destination: string, value: string) => ({
      value,
      headers: { queueauth: signer.sign({ destination, payload: Buffer.from(value) }) },
    })
    await scene.send([sign('kafka:orders.us', 'mirrored'), sign(`kafka:${mirrored}`, 'elsewhere')], { signed: false })
    const got: unknown[] = []
    await scene.consume({
      eachMessage: async ({ message, topic }) =>
        void got.push(String(message.value), topic, senderOf(message)?.destination),
    })
    const [letter] = await scene.read(`${scene.topic}-dlt`, 1)
    expect(String(letter?.headers?.['queueauth-reason'])).toBe('destination-mismatch')
    expect(got).toEqual(['mirrored', scene.topic, 'kafka:orders.us'])
  })

  it('of compacted topics take old records with maxAgeSeconds Infinity, and tombstones', async () => {
    const scene = await open({
      maxAgeSeconds: Number.POSITIVE_INFINITY,
      configEntries: [{ name: 'cleanup.policy', value: 'compact' }],
    })
    await scene.send([
      { key: 'a', value: 'x' },
      { key: 'a', value: null },
      { key: 'a', value: '' },
    ])
    const got: unknown[] = []
    await scene.consume({ eachMessage: async ({ message }) => void got.push(message.value?.toString() ?? null) })
    await expect.poll(() => got).toEqual(['x', null, ''])
  })

  it('see nothing of an aborted transaction, and remember nothing of it', async () => {
    const replay = new MemoryReplayStore()
    const scene = await open({ replay })
    const kafka = wrapProducer(scene.kafka(), scene.keys.signer)
    const producer = scene.library.transactionalProducer(kafka, scene.topic)
    await producer.connect()
    const aborted = await producer.transaction()
    await aborted.send({ topic: scene.topic, messages: [{ value: 'aborted' }] })
    await aborted.abort()
    const committed = await producer.transaction()
    await committed.sendBatch({ topicMessages: [{ topic: scene.topic, messages: [{ value: 'committed' }] }] })
    await committed.commit()
    await producer.disconnect()
    const got: string[] = []
    await scene.consume({ eachMessage: async ({ message }) => void got.push(String(message.value)) })
    await expect.poll(() => scene.committed()).not.toBe('-1')
    expect(got).toEqual(['committed'])
    expect(replay.gauge()).toMatchObject({ committed: 1, inProgress: 0 })
  })

  it('stand 1,000 malformed tokens in a row', async () => {
    const scene = await open()
    const good = (name: string) => Array.from({ length: 500 }, (_, index) => ({ value: `${name} ${index}` }))
    for (const mode of ['eachMessage', 'eachBatch'] as const) {
      const topic = `${scene.topic}-${mode}`
      await scene.createTopic(topic)
      await scene.send(good('before'), { topic })
      await scene.send(scene.forge(1_000), { signed: false, topic })
      await scene.send(good('after'), { topic })
      const got: { value: string; at: number }[] = []
      const note = (value: unknown): void => void got.push({ value: String(value), at: performance.now() })
      const started = performance.now()
      await scene.consume(
        {
          ...(mode === 'eachMessage' && { eachMessage: async ({ message }) => note(message.value) }),
          ...(mode === 'eachBatch' && {
            eachBatch: async ({ batch }) => batch.messages.map(({ value }) => value).forEach(note),
          }),
        },
        { groupId: `group-${topic}`, topic },
      )
      await expect.poll(() => got.length).toBe(1_000)
      expect(got.map(({ value }) => value)).toEqual([...good('before'), ...good('after')].map(({ value }) => value))
      const took = (got.at(-1)?.at ?? 0) - started
      console.log(`${mode}: 1,000 good records around 1,000 malformed ones in ${took.toFixed(0)} ms`)
      await scene.read(`${topic}-dlt`, 1_000)
    }
  })

  it('refuse to be wrapped once they run, and to run without dead letters', async () => {
    const scene = await open()
    const { library } = scene
    const running = library.consumer(scene.kafka(), `late-${scene.topic}`)
    await running.connect()
    await library.run(running, [scene.topic], { eachMessage: async () => undefined })
    const wrap = () => wrapConsumer(running, scene.verifier, { onRejected: 'acknowledge' })
    expect(wrap).toThrow(expect.objectContaining({ code: 'already-consuming' }))
    await running.disconnect()
    const lone = library.consumer(scene.kafka(), 'lone')
    // @ts-expect-error a single consumer has nowhere to write dead letters
    expect(() => wrapConsumer(lone, scene.verifier)).toThrow(
      expect.objectContaining({ code: 'dead-letters-unavailable' }),
    )
    // @ts-expect-error nor has it with other options
    expect(() => wrapConsumer(lone, scene.verifier, {})).toThrow()
    // @ts-expect-error Kafka has no dead-lettering of its own
    expect(() => wrapConsumer(scene.kafka(), scene.verifier, { onRejected: 'reject' })).toThrow(
      expect.objectContaining({ code: 'option-invalid' }),
    )
    const refusing = { deadLetterName: () => 'not a topic!' }
    await expect(scene.consume({ eachMessage: async () => undefined }, refusing)).rejects.toMatchObject({
      code: 'dead-letters-unavailable',
    })
  })

  it('alone write dead letters through the producer they are given, and know their group', async () => {
    const scene = await open()
    const deadLetterProducer = wrapProducer(scene.kafka().producer(), scene.keys.signer)
    await deadLetterProducer.connect()
    const consumer = scene.library.consumer(scene.kafka(), `lone-${scene.topic}`)
    wrapConsumer(consumer, scene.verifier, { deadLetterProducer, onVerdict: () => undefined })
    await scene.send(scene.forge(3), { signed: false })
    await scene.send([{ value: 'good' }])
    await consumer.connect()
    const got: string[] = []
    await scene.library.run(consumer, [scene.topic], {
      eachMessage: async ({ message }) => void got.push(String(message.value)),
    })
    await expect.poll(() => got).toEqual(['good'])
    const letters = await scene.read(`${scene.topic}-dlt`, 3)
    // As they came, not signed by the producer's wrapper.
    expect(letters.map(({ headers }) => String(headers?.queueauth))).toEqual(['no.to.ken', 'no.to.ken', 'no.to.ken'])
    await consumer.disconnect()
    await deadLetterProducer.disconnect()
  })
}
