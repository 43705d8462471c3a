import type { ConsumeMessage } from 'amqplib'
import { Redis } from 'ioredis'
import { describe, expect, inject, it, onTestFinished, vi } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { RedisReplayStore } from '../../src/replay/redis-replay-store.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { bench } from './helpers.ts'

const [url, redisUrl] = [inject('amqpUrl'), inject('redisUrl')]

describe.skipIf(url === undefined || redisUrl === undefined)('two services that share a RedisReplayStore', () => {
  const at = bench(url)

  it.each<[string, boolean, readonly [string, string]]>([
    ['without tags', false, ['', '']],
    ['with tags of their own', false, ['billing', 'audit']],
    ['with one tag', false, ['reader', 'reader']],
    ['whose producer signs batches', true, ['', '']],
  ])('each get all of a stream, also when they read it again, and no copy: %s', async (_what, batch, tags) => {
    vi.spyOn(process, 'emitWarning').mockReturnValue()
    onTestFinished(() => {
      vi.restoreAllMocks()
    })
    const { signer, keys } = testKeys('shop')
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer, { batch })
    const queue = uniqueName('stream')
    await at.raw.assertQueue(queue, { arguments: { 'x-queue-type': 'stream' } })
    onTestFinished(async () => {
      await at.raw.deleteQueue(queue)
    })
    const send = async (...texts: string[]): Promise<void> => {
      for (const text of texts) producer.sendToQueue(queue, Buffer.from(text))
      await producer.waitForConfirms()
    }
    const service = (consumerTag: string) => {
      const redis = new Redis(redisUrl as string)
      onTestFinished(() => redis.disconnect())
      const codes: string[] = []
      const verifier = new Verifier({ keys, replay: new RedisReplayStore(redis, { timeoutSeconds: 60 }) })
      const read = async (): Promise<ConsumeMessage[]> => {
        const channel = await wrapConsumer(await at.connection(), verifier, {
          onVerdict: (verdict) => 'code' in verdict && verdict.code !== 'in-progress' && codes.push(verdict.code),
        }).createChannel()
        await channel.prefetch(10)
        const got: ConsumeMessage[] = []
        await channel.consume(
          queue,
          (message) => {
            if (message === null) return
            got.push(message)
            channel.ack(message)
          },
          { ...(consumerTag && { consumerTag }), arguments: { 'x-stream-offset': 'first' } },
        )
        return got
      }
      return { codes, read }
    }
    const texts = (got: readonly ConsumeMessage[]): string[] => got.map(({ content }) => content.toString())
    await send('a', 'b', 'c')
    const services = tags.map(service)
    const reading = await Promise.all(services.map(({ read }) => read()))
    for (const got of reading) await eventually(() => expect(texts(got)).toEqual(['a', 'b', 'c']))
    // As whoever can write to the stream publishes it once more.
    const [original] = reading[0] as [ConsumeMessage]
    at.raw.sendToQueue(queue, original.content, { headers: { queueauth: original.properties.headers?.queueauth } })
    await at.raw.waitForConfirms()
    await send('d')
    for (const got of reading) await eventually(() => expect(texts(got)).toEqual(['a', 'b', 'c', 'd']))
    for (const { codes } of services) await eventually(() => expect(codes).toEqual(['duplicate']))
    const again = await Promise.all(services.map(({ read }) => read()))
    for (const got of again) await eventually(() => expect(texts(got)).toEqual(['a', 'b', 'c', 'd']))
    for (const { codes } of services) await eventually(() => expect(codes).toEqual(['duplicate', 'duplicate']))
  })
})
