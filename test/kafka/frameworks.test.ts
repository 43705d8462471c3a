import 'reflect-metadata'
import { createRequire } from 'node:module'
import { Controller, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import {
  ClientKafka,
  Ctx,
  EventPattern,
  type KafkaContext,
  type KafkaOptions,
  MessagePattern,
  Payload,
  ServerKafka,
} from '@nestjs/microservices'
import { KafkaJsInstrumentation } from '@opentelemetry/instrumentation-kafkajs'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import type { Kafka } from 'kafkajs'
import { lastValueFrom } from 'rxjs'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { headersToForward, wrapConsumer, wrapProducer } from '../../adapters/kafka/index.ts'
import { senderOf, unsignedHeaders } from '../../src/verdict.ts'
import { Scene } from './scene.ts'

const brokers = inject('kafkaBrokers')

describe.skipIf(brokers === undefined)("OpenTelemetry's instrumentation of kafkajs", () => {
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const instrumentation = new KafkaJsInstrumentation({ enabled: false })

  beforeAll(() => {
    provider.register()
    instrumentation.setTracerProvider(provider)
  })
  afterAll(() => provider.shutdown())

  it.each(['below', 'above'] as const)('traces from producer to handler %s the wrapper', async (where) => {
    exporter.reset()
    const scene = await Scene.open(brokers)
    if (where === 'below') instrumentation.enable()
    // The instrumentation looks at what is required from now on, unless it was required before: NestJS comes later.
    createRequire(import.meta.url)('kafkajs')
    const kafka = wrapConsumer(wrapProducer(scene.kafka(), scene.keys.signer), scene.verifier, {
      onVerdict: () => undefined,
    })
    if (where === 'above') {
      const patches = instrumentation as unknown as Record<string, () => (original: unknown) => never>
      kafka.producer = patches._getProducerPatch?.()(kafka.producer) as never
      kafka.consumer = patches._getConsumerPatch?.()(kafka.consumer) as never
    }
    const producer = kafka.producer()
    const consumer = kafka.consumer({ groupId: scene.topic, maxWaitTimeInMs: 50 })
    instrumentation.disable()
    await producer.connect()
    await producer.send({ topic: scene.topic, messages: [{ value: 'good' }] })
    await scene.send(scene.forge(1), { signed: false })
    await consumer.connect()
    await consumer.subscribe({ topic: scene.topic, fromBeginning: true })
    const got: unknown[] = []
    await consumer.run({
      eachMessage: async ({ message }) => {
        const traced = String(message.headers?.traceparent).startsWith('00-')
        got.push(String(message.value), senderOf(message)?.service, Object.keys(unsignedHeaders(message)), traced)
      },
    })
    await expect.poll(() => got).toEqual(['good', 'checkout', [], true])
    const [letter] = await scene.read(`${scene.topic}-dlt`, 1)
    expect(String(letter?.headers?.queueauth)).toBe('no.to.ken')
    await Promise.all([consumer.disconnect(), producer.disconnect()])
    const spans = exporter.getFinishedSpans()
    const sent = spans.find(({ name }) => name.startsWith('send'))
    const handled = spans.filter(({ name }) => name.startsWith('process'))
    expect(handled.map((span) => span.spanContext().traceId)).toContain(sent?.spanContext().traceId)
  })
})

describe.skipIf(brokers === undefined)('NestJS on Kafka', () => {
  it('serves authorized messages only, events and requests', async () => {
    const scene = await Scene.open(brokers)
    const { signer } = scene.keys
    const asked = `${scene.topic}.ask`
    await scene.createTopic(asked)
    await scene.createTopic(`${asked}.reply`)
    const secure = (kafka: Kafka): Kafka =>
      wrapConsumer(wrapProducer(kafka, signer), scene.verifier, { onVerdict: () => undefined })
    class SecureServer extends ServerKafka {
      override createClient<T>(): T {
        return secure(super.createClient<Kafka>()) as T
      }
    }
    class SecureClient extends ClientKafka {
      override createClient<T>(): T {
        return secure(super.createClient<Kafka>()) as T
      }
    }
    const events: unknown[] = []
    const seen: unknown[] = []
    const forwarded: number[] = []
    class Orders {
      created(order: unknown, context: KafkaContext): void {
        const message = context.getMessage()
        seen.push(senderOf(message)?.service, Object.keys(message.headers ?? {}))
        forwarded.push(String(headersToForward(message as never).queueauth).split('.').length)
        events.push(order)
      }
      answer(question: { n: number }): { twice: number } {
        return { twice: question.n * 2 }
      }
    }
    // What the decorators would do.
    EventPattern(scene.topic)(
      Orders.prototype,
      'created',
      Object.getOwnPropertyDescriptor(Orders.prototype, 'created') as never,
    )
    MessagePattern(asked)(
      Orders.prototype,
      'answer',
      Object.getOwnPropertyDescriptor(Orders.prototype, 'answer') as never,
    )
    Payload()(Orders.prototype, 'created', 0)
    Ctx()(Orders.prototype, 'created', 1)
    Payload()(Orders.prototype, 'answer', 0)
    Controller()(Orders)
    class App {}
    Module({ controllers: [Orders] })(App)
    const options: NonNullable<KafkaOptions['options']> = {
      client: { brokers: [...(brokers ?? [])], logLevel: 0 },
      consumer: { groupId: scene.topic, maxWaitTimeInMs: 50 },
      subscribe: { fromBeginning: true },
    }
    await scene.send([{ value: '{"forged":true}' }], { signed: false })
    const app = await NestFactory.createMicroservice(App, { strategy: new SecureServer(options), logger: false })
    await app.listen()
    const client = new SecureClient(options)
    client.subscribeToResponseOf(asked)
    await client.connect()
    await lastValueFrom(client.emit(scene.topic, { id: 1 }))
    expect(await lastValueFrom(client.send(asked, { n: 21 }))).toEqual({ twice: 42 })
    await expect.poll(() => events).toEqual([{ id: 1 }])
    expect([seen, forwarded]).toEqual([['checkout', []], [3]])
    const [letter] = await scene.read(`${scene.topic}-dlt`, 1)
    expect(String(letter?.value)).toBe('{"forged":true}')
    await client.close()
    await app.close()
  })
})
