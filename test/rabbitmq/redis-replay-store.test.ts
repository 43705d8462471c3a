import { connect } from 'amqplib'
import { Redis } from 'ioredis'
import { describe, expect, inject, it, onTestFinished, vi } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { RedisReplayStore } from '../../src/replay/redis-replay-store.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'

const [url, redisUrl] = [inject('amqpUrl'), inject('redisUrl')]

describe.skipIf(url === undefined || redisUrl === undefined)('RabbitMQ with a RedisReplayStore', () => {
  it('keeps the order of deliveries, and two consumers skip the copies of what either handled', async () => {
    vi.spyOn(process, 'emitWarning').mockReturnValue()
    onTestFinished(() => {
      vi.restoreAllMocks()
    })
    const { signer, keys } = testKeys('shop')
    const [plain, sending] = [await connect(url as string), wrapProducer(await connect(url as string), signer)]
    const queue = uniqueName('ordered')
    const channel = await plain.createConfirmChannel()
    await channel.assertQueue(queue)
    const producer = await sending.createConfirmChannel()
    const bodies = Array.from({ length: 200 }, (_, index) => String(index))
    for (const body of bodies) producer.sendToQueue(queue, Buffer.from(body))
    await producer.waitForConfirms()
    const handled: string[] = []
    const codes: string[] = []
    const consume = async (): Promise<void> => {
      const redis = new Redis(redisUrl as string)
      const verifier = new Verifier({ keys, replay: new RedisReplayStore(redis, { timeoutSeconds: 60 }) })
      const connection = wrapConsumer(await connect(url as string), verifier, {
        onVerdict: (verdict) => 'code' in verdict && codes.push(verdict.code),
      })
      onTestFinished(async () => {
        await connection.close()
        redis.disconnect()
      })
      const consumer = await connection.createChannel()
      await consumer.consume(queue, (message) => {
        if (message === null) return
        handled.push(message.content.toString())
        consumer.ack(message)
      })
    }
    onTestFinished(async () => {
      await channel.deleteQueue(queue)
      await channel.deleteQueue(`${queue}.dlq`)
      await plain.close()
      await sending.close()
    })
    await consume()
    await eventually(() => expect(handled).toHaveLength(200))
    expect(handled).toEqual(bodies)
    await consume()
    // Signed once, published three times.
    const token = signer.sign({ destination: `amqp:/${queue}`, payload: Buffer.from('copied'), headers: {} })
    for (let count = 0; count < 3; count++) {
      channel.sendToQueue(queue, Buffer.from('copied'), { headers: { queueauth: token } })
    }
    await eventually(() => expect(codes.filter((code) => code === 'duplicate')).toHaveLength(2))
    expect(handled.filter((body) => body === 'copied')).toHaveLength(1)
  })
})
