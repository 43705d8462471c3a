import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Consumer, Kafka, KafkaJSNonRetriableError, logLevel } from 'kafkajs'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/kafka/index.ts'
import { uniqueName } from '../brokers/index.ts'
import { kafkajsLibrary } from './client-libraries.ts'
import { clientTests } from './clients.ts'
import { CuttableProxy } from './cuttable-proxy.ts'
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

  it('consumers refuse what cannot be asked for as plain ones do, and go on', async () => {
    const scene = await open()
    const outcomes: unknown[][] = []
    for (const wrapped of [true, false]) {
      const kafka = scene.kafka()
      if (wrapped) wrapConsumer(kafka, scene.verifier, { onVerdict: () => undefined })
      const consumer = scene.library.consumer(kafka, `group-${scene.topic}-${wrapped}`)
      onTestFinished(() => consumer.disconnect())
      await consumer.connect()
      const outcome = async (ask: () => unknown): Promise<unknown> => {
        try {
          return typeof (await ask())
        } catch (error) {
          return [(error as Error).name, (error as Error).message]
        }
      }
      const heard: unknown[] = []
      for (const subscription of [undefined, null, {}, { topic: 1 }, { topics: 1 }, { topics: {} }, { topics: [1] }]) {
        heard.push(await outcome(() => consumer.subscribe(subscription as never)))
      }
      await scene.send([{ value: 'good' }])
      const got: unknown[] = []
      await scene.library.run(consumer, [scene.topic], {
        eachBatch: async ({ commitOffsetsIfNecessary }) => {
          for (const offsets of [undefined, null, { topics: [] }, {}]) {
            got.push(await outcome(() => commitOffsetsIfNecessary(offsets as never)))
          }
        },
      })
      await expect.poll(() => got.length).toBeGreaterThanOrEqual(4)
      for (const topics of [undefined, null, 1, [], [{}], [{ topic: scene.topic, partitions: 'x' }]]) {
        heard.push(await outcome(() => consumer.pause(topics as never)))
        heard.push(await outcome(() => consumer.commitOffsets(topics as never)))
      }
      for (const position of [
        undefined,
        {},
        { topic: scene.topic },
        { topic: scene.topic, partition: 0, offset: '-5' },
      ]) {
        heard.push(await outcome(() => consumer.seek(position as never)))
      }
      outcomes.push([...heard, ...got.slice(0, 4)])
    }
    expect(outcomes[0]).toEqual(outcomes[1])
  })

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

  it.each([
    ['stop', 'at rest'],
    ['disconnect', 'at rest'],
    ['stop', 'while a dead letter is written'],
    ['disconnect', 'while a dead letter is written'],
  ] as const)('consumers end by %s though the broker has gone silent %s', async (end, when) => {
    const scene = await open()
    const proxy = await CuttableProxy.listen()
    proxy.target = brokers?.[0] as string
    const [host, port] = proxy.address.split(':')
    const clientId = uniqueName('silent')
    const kafka = new Kafka({
      clientId,
      brokers: [proxy.target],
      logLevel: logLevel.NOTHING,
      requestTimeout: 1_000,
      retry: { retries: 1, initialRetryTime: 20, maxRetryTime: 50 },
      socketFactory: ({ onConnect }) => connect({ host: host as string, port: Number(port) }, onConnect),
    })
    onTestFinished(() => proxy.close())
    await scene.send([{ value: 'good' }])
    const got: string[] = []
    wrapConsumer(kafka, scene.verifier, {
      onVerdict: ({ outcome }) => {
        if (outcome !== 'rejected') return
        got.push(outcome)
        proxy.silence(clientId)
      },
    })
    // kafkajs itself waits as long as a session for some answers.
    const quick = { maxWaitTimeInMs: 50, sessionTimeout: 2_000, heartbeatInterval: 200, rebalanceTimeout: 2_000 }
    const consumer = kafka.consumer({ groupId: `group-${scene.topic}`, ...quick })
    await consumer.connect()
    await scene.library.run(consumer, [scene.topic], { eachMessage: async () => void got.push('good') })
    await expect.poll(() => got).toEqual(['good'])
    if (when === 'at rest') proxy.silence(clientId)
    else {
      await scene.send(scene.forge(1), { signed: false })
      await expect.poll(() => got).toContain('rejected')
    }
    const outcome = await Promise.race([consumer[end]().then(() => 'ended'), sleep(60_000).then(() => 'hangs')])
    expect(outcome).toBe('ended')
    // What could not be written down comes again.
    const again: string[] = []
    await scene.consume({ eachMessage: async ({ message }) => void again.push(String(message.value)) })
    await scene.send([{ value: 'last' }])
    await expect.poll(() => again).toContain('last')
    if (when !== 'at rest') await scene.read(`${scene.topic}-dlt`, 1)
  })

  it('consumers that crash and do not begin anew leave nothing open, those that do go on', async () => {
    const scene = await open()
    await scene.send([{ value: '0' }])
    const kafka = scene.kafka()
    const producers = countProducers(kafka)
    wrapConsumer(kafka, scene.verifier, { onVerdict: () => undefined })
    let restart = true
    const consumer = kafka.consumer({
      groupId: `group-${scene.topic}`,
      maxWaitTimeInMs: 50,
      retry: { retries: 0, initialRetryTime: 20, restartOnFailure: async () => restart },
    })
    onTestFinished(() => consumer.disconnect())
    const crashes: boolean[] = []
    consumer.on(consumer.events.CRASH, ({ payload }) => void crashes.push(payload.restart))
    await consumer.connect()
    const got: string[] = []
    let failures = 2
    await scene.library.run(consumer, [scene.topic], {
      eachMessage: async ({ message }) => {
        if (failures-- > 0) throw new Error('the handler fails')
        got.push(String(message.value))
      },
    })
    await expect.poll(() => got).toEqual(['0'])
    expect(crashes).toEqual([true, true])
    await scene.send(scene.forge(1), { signed: false })
    await scene.read(`${scene.topic}-dlt`, 1)
    expect(producers.open).toBe(1)
    restart = false
    failures = 1
    await scene.send([{ value: '1' }])
    await expect.poll(() => crashes).toEqual([true, true, false])
    await expect.poll(() => producers.open).toBe(0)
    await consumer.connect()
    await scene.library.run(consumer, [scene.topic], {
      eachMessage: async ({ message }) => void got.push(String(message.value)),
    })
    await scene.send(scene.forge(1), { signed: false })
    await scene.read(`${scene.topic}-dlt`, 2)
    await expect.poll(() => scene.committed()).toBe('4')
    expect(got).toEqual(['0', '1'])
  })

  it('producers that connect again sign as before, and what was being sent when they disconnect is not lost quietly', async () => {
    const scene = await open()
    const values: string[] = []
    const producer = wrapProducer(scene.kafka().producer(), scene.keys.signer, { batch: true })
    for (const round of ['first', 'second']) {
      await producer.connect()
      const sending = producer.send({ topic: scene.topic, messages: [{ value: round }, { value: `${round} too` }] })
      const ending = producer.disconnect()
      const [sent] = await Promise.allSettled([sending, ending])
      if (sent.status === 'fulfilled') values.push(round, `${round} too`)
    }
    await producer.connect()
    await producer.send({ topic: scene.topic, messages: [{ value: 'last' }] })
    await producer.disconnect()
    const got: string[] = []
    await scene.consume({ eachMessage: async ({ message }) => void got.push(String(message.value)) })
    await expect.poll(() => got).toContain('last')
    expect(got).toEqual(expect.arrayContaining([...values, 'last']))
    expect(await scene.withAdmin((admin) => admin.listTopics())).toContain(`${scene.topic}-dlt`)
  })
})
