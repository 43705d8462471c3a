import { connect, type Socket } from 'node:net'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import { wrapConsumer } from '../../adapters/kafka/index.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { type Cluster, startKafkaCluster } from '../brokers/clusters.ts'
import { uniqueName } from '../brokers/index.ts'
import type { KafkaServer } from '../brokers/kafka.ts'
import { createTopic } from '../kafka/topics.ts'

const startable = inject('startableBrokers').includes('kafka')

/** The number of requests that write records. */
const PRODUCE = 0

describe.skipIf(!startable)('dead letters of one moment, for several leaders', () => {
  let cluster: Cluster<KafkaServer>
  let brokers: string[]
  beforeAll(async () => {
    cluster = await startKafkaCluster()
    brokers = cluster.nodes.flatMap((node) => node.brokers)
  })
  afterAll(() => cluster?.stop())

  const retry = { initialRetryTime: 50, retries: 200, maxRetryTime: 200 }

  /** @param isLost whether what goes to the first node to be written is lost, with its connection */
  function open(isLost: () => boolean = () => false): Kafka {
    return new Kafka({
      brokers,
      logLevel: logLevel.NOTHING,
      retry,
      socketFactory: ({ host, port, onConnect }) => {
        const socket: Socket = connect({ host, port }, onConnect)
        const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
        socket.write = (...args: unknown[]) => {
          const [request] = args as [Buffer]
          const isFirst = brokers[0]?.endsWith(`:${port}`)
          if (!isFirst || request.readInt16BE(4) !== PRODUCE || !isLost()) return write(...args)
          socket.destroy(new Error('the connection was cut'))
          return false
        }
        return socket
      },
    })
  }

  it.each([
    ['a connection is cut', false, false],
    ['a connection is cut', false, true],
    ['a leader changes', true, false],
    ['a leader changes', true, true],
  ])('are all stored when %s; new leader: %s, producer of the user: %s', async (_what, moves, given) => {
    const topic = uniqueName('orders')
    const letters = `${topic}-dlt`
    const admin = open().admin()
    const plain = open().producer()
    await Promise.all([admin.connect(), plain.connect()])
    onTestFinished(async () => void (await Promise.all([admin.disconnect(), plain.disconnect()])))
    await createTopic(admin, { topic, numPartitions: 1, replicationFactor: 3 })
    await createTopic(admin, {
      topic: letters,
      replicaAssignment: [
        { partition: 0, replicas: [1] },
        { partition: 1, replicas: [2] },
      ],
      configEntries: [{ name: 'min.insync.replicas', value: '1' }],
    })

    let cuts = 0
    let isMoved = false
    const move = async (): Promise<void> => {
      await admin.alterPartitionReassignments({
        topics: [{ topic: letters, partitionAssignment: [{ partition: 0, replicas: [2] }] }],
      })
      const leader = async () => (await admin.fetchTopicMetadata({ topics: [letters] })).topics[0]?.partitions
      await expect.poll(leader).toSatisfy((all) => all.every((entry: { leader: number }) => entry.leader === 2))
      isMoved = true
    }
    let moving: Promise<void> | undefined
    const kafka = open(() => {
      const isLost = moves ? !isMoved : cuts === 0
      if (!isLost) return false
      cuts++
      if (moves) moving ??= move()
      return true
    })
    const deadLetterProducer = given ? kafka.producer() : undefined
    await deadLetterProducer?.connect()
    const verifier = new Verifier({ keys: testKeys('checkout').keys })
    wrapConsumer(kafka, verifier, { onVerdict: () => undefined, ...(given && { deadLetterProducer }) })
    const groupId = `group-${topic}`
    const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50, heartbeatInterval: 200 })
    onTestFinished(async () => {
      await consumer.disconnect()
      await deadLetterProducer?.disconnect()
    })

    // An odd number: what goes round the partitions goes the other way at the next try.
    const values = Array.from({ length: 9 }, (_, index) => `bad ${index}`)
    await plain.send({ topic, messages: values.map((value) => ({ value })) })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({ eachBatch: async () => undefined })
    const committed = async () => (await admin.fetchOffsets({ groupId, topics: [topic] }))[0]?.partitions[0]?.offset
    await expect.poll(committed).toBe('9')
    await moving
    expect(cuts).toBeGreaterThan(0)

    const stored = new Set<string>()
    const reader = open().consumer({ groupId: uniqueName('reader'), maxWaitTimeInMs: 50 })
    onTestFinished(() => reader.disconnect())
    await reader.connect()
    await reader.subscribe({ topic: letters, fromBeginning: true })
    await reader.run({ eachMessage: async ({ message }) => void stored.add(String(message.value)) })
    await expect.poll(() => [...stored].sort(), { timeout: 20_000 }).toEqual(values)
  })
})
