import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { context, propagation, type Span, trace } from '@opentelemetry/api'
import { AmqplibInstrumentation } from '@opentelemetry/instrumentation-amqplib'
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node'
import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage } from 'amqplib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../../adapters/rabbitmq/index.ts'
import { senderOf } from '../../../src/index.ts'
import { testKeys } from '../../../src/testing.ts'
import { uniqueName } from '../../brokers/index.ts'

const url = inject('amqpUrl')

/** What the instrumentation does to the modules of amqplib. */
interface Patches {
  patchChannelModel(exports: object, version: string): void
  unpatchChannelModel(exports: object): void
}

/**
 * The instrumentation's hook knows amqplib below version 2 only, and by that name. So its patches are put on by hand: on
 * the version it knows, and on the one it will have to know.
 */
describe.skipIf(url === undefined).each(['amqplib-0.10', 'amqplib'])('RabbitMQ: OpenTelemetry on %s', (name) => {
  const require = createRequire(import.meta.url)
  const { connect } = require(name) as typeof import('amqplib')
  const channelModel = require(join(dirname(require.resolve(name)), 'lib', 'channel_model.js')) as object
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const ends: string[] = []
  const instrumentation = new AmqplibInstrumentation({
    consumeEndHook: (_span, { endOperation }) => ends.push(endOperation),
  })
  const patches = instrumentation as unknown as Patches
  const open: ChannelModel[] = []
  let plain: Channel
  let queue: string

  beforeAll(async () => {
    provider.register()
    instrumentation.setTracerProvider(provider)
    plain = await (await connection()).createChannel()
  })
  afterAll(async () => {
    for (const made of open) await made.close()
    await provider.shutdown()
    for (const api of [trace, context, propagation]) api.disable()
  })
  beforeEach(async () => {
    exporter.reset()
    ends.length = 0
    queue = uniqueName('traced')
    await plain.assertQueue(queue)
    await plain.assertQueue(`${queue}.dlq`)
  })
  afterEach(async () => {
    patches.unpatchChannelModel(channelModel)
    await plain.deleteQueue(queue)
    await plain.deleteQueue(`${queue}.dlq`)
  })

  async function connection(): Promise<ChannelModel> {
    const made = await connect(url as string)
    open.push(made)
    return made
  }

  /** Spans that have ended, by the beginning of their name. */
  function spans(name: string): ReadableSpan[] {
    return exporter.getFinishedSpans().filter((span) => span.name.startsWith(name))
  }

  /** Three good ones, of which the second is turned down once by the handler, and a forged one between them. */
  async function run(producer: ConfirmChannel, consumer: Channel, signer: { sign: unknown }): Promise<void> {
    const sign = vi.spyOn(signer as { sign: () => string }, 'sign')
    const handled: { text: string; service: string | undefined; span: Span | undefined }[] = []
    for (const text of ['one', 'two', 'three']) {
      const span = provider.getTracer('test').startSpan(`request ${text}`)
      await context.with(trace.setSpan(context.active(), span), async () => {
        producer.sendToQueue(queue, Buffer.from(text), { headers: { tenant: 'a' } })
        await producer.waitForConfirms()
      })
      span.end()
      plain.sendToQueue(queue, Buffer.from('forged'))
    }
    await consumer.consume(queue, (message: ConsumeMessage | null) => {
      if (message === null) return
      const text = message.content.toString()
      handled.push({ text, service: senderOf(message)?.service, span: trace.getActiveSpan() })
      if (text === 'two' && handled.filter((one) => one.text === 'two').length === 1) consumer.nack(message)
      else consumer.ack(message)
    })
    await expect.poll(() => handled.length).toBe(4)
    await expect.poll(async () => (await plain.checkQueue(`${queue}.dlq`)).messageCount).toBe(3)
    expect(handled.map(({ service }) => service)).toEqual(Array(4).fill('checkout'))
    expect(sign).toHaveBeenCalledTimes(3)
    const letter = await plain.get(`${queue}.dlq`, { noAck: true })
    expect(letter).toMatchObject({ properties: { headers: { 'queueauth-reason': 'token-missing' } } })

    // request → publish → process, in one trace, also in the handler itself.
    for (const { text, span } of handled) {
      const request = spans(`request ${text}`)[0]?.spanContext()
      const publish = spans('publish').find(({ parentSpanContext }) => parentSpanContext?.spanId === request?.spanId)
      const process = spans(`${queue} process`).filter(
        ({ parentSpanContext }) => parentSpanContext?.spanId === publish?.spanContext().spanId,
      )
      expect(request).toBeDefined()
      expect(publish?.spanContext().traceId).toBe(request?.traceId)
      expect(process).toHaveLength(text === 'two' ? 2 : 1)
      expect(process.map((ended) => ended.spanContext().spanId)).toContain(span?.spanContext().spanId)
    }
  }

  it('below: patched before anything is wrapped', async () => {
    patches.patchChannelModel(channelModel, '')
    const { signer, verifier } = testKeys('checkout')
    const producer = await wrapProducer(await connection(), signer).createConfirmChannel()
    const consumer = await wrapConsumer(await connection(), verifier).createChannel()
    await run(producer, consumer, signer)
    // It sees every delivery, also those the handler does not: each ends by how it was settled.
    await expect.poll(() => [...ends].sort()).toEqual(['ack', 'ack', 'ack', 'ack', 'ack', 'ack', 'nack'])
    expect(spans(`${queue} process`)).toHaveLength(7)
  })

  it('below: patched when connections are wrapped already', async () => {
    const { signer, verifier } = testKeys('checkout')
    const producing = wrapProducer(await connection(), signer)
    const consuming = wrapConsumer(await connection(), verifier)
    patches.patchChannelModel(channelModel, '')
    const [producer, consumer] = [await producing.createConfirmChannel(), await consuming.createChannel()]
    await run(producer, consumer, signer)
    await expect.poll(() => [...ends].sort()).toEqual(['ack', 'ack', 'ack', 'ack', 'ack', 'ack', 'nack'])
  })

  it('above: patches over the methods of wrapped channels', async () => {
    const { signer, verifier } = testKeys('checkout')
    const producer = await wrapProducer(await connection(), signer).createConfirmChannel()
    const consumer = await wrapConsumer(await connection(), verifier).createChannel()
    // The patches that the instrumentation puts on the prototypes, on these two objects.
    const channels = { Channel: { prototype: consumer }, ConfirmChannel: { prototype: producer } }
    patches.patchChannelModel(channels, '')
    await run(producer, consumer, signer)
    // Here it sees what the handler sees.
    await expect.poll(() => [...ends].sort()).toEqual(['ack', 'ack', 'ack', 'nack'])
    expect(spans(`${queue} process`)).toHaveLength(4)
  })
})
