import 'reflect-metadata'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { AmqpConnection, RabbitRPC, RabbitSubscribe } from '@golevelup/nestjs-rabbitmq'
import { Controller, type INestMicroservice, Inject, Injectable, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Ctx, EventPattern, MessagePattern, Payload, type RmqContext } from '@nestjs/microservices'
import { connect as connectManager } from 'amqp-connection-manager'
import type { Channel, ConsumeMessage, GetMessage } from 'amqplib'
import { firstValueFrom } from 'rxjs'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../../adapters/rabbitmq/index.ts'
import { AuthorizedKeys, Signer, senderOf, subscribe, Verifier } from '../../../src/index.ts'
import { uniqueName } from '../../brokers/index.ts'
import { Scene } from '../../faults/rabbitmq-scene.ts'
import { AuthorizedClientRMQ, AuthorizedServerRMQ, authorizedRabbitMQ } from './wrapped-nestjs.ts'

const url = inject('amqpUrl')

describe.skipIf(url === undefined)('RabbitMQ: frameworks', () => {
  const shop = Signer.generate('shop')
  const warehouse = Signer.generate('warehouse')
  const strangers = Signer.generate('stranger')
  // What a service may answer is what it may send to the pseudo-queue for answers.
  const keys = AuthorizedKeys.parse(
    [shop.authorizedKeysLine('**'), warehouse.authorizedKeysLine('amq.rabbitmq.reply-to')].join('\n'),
  )
  const letters: GetMessage[] = []
  let scene: Scene

  beforeAll(() => {
    scene = new Scene(url as string)
  })
  afterAll(() => scene.end())

  /**
   * Waits for a dead letter of that reason whose body has this text in it. There may be a second one of it, where a
   * connection was cut before the first was settled.
   */
  async function deadLetter(queue: string, reason: string, text: string): Promise<void> {
    await expect
      .poll(async () => {
        letters.push(...(await scene.drain(`${queue}.dlq`)))
        return letters.map(({ content, properties }) => `${properties.headers?.['queueauth-reason']}: ${content}`)
      })
      .toContainEqual(expect.stringMatching(new RegExp(`^${reason}: .*${text}`)))
  }

  it('amqp-connection-manager: authorized ones are handled and others dead-lettered, also after a reconnect', async () => {
    const queue = await scene.queue('manager')
    const handled: string[] = []
    const options = { heartbeatIntervalInSeconds: 60, reconnectTimeInSeconds: 0.05 }
    const manager = connectManager([url as string], options)
    wrapConsumer(wrapProducer(manager, shop), new Verifier({ keys }))
    scene.atEnd(() => manager.close())
    const channel = manager.createChannel({ json: true })
    await channel.consume(queue, (message) => {
      handled.push(`${senderOf(message)?.service}: ${message.content}`)
      channel.ack(message)
    })
    for (const round of [1, 2, 3]) {
      await channel.sendToQueue(queue, { round })
      ;(await scene.plain()).sendToQueue(queue, Buffer.from(`forged ${round}`))
      await expect.poll(() => handled).toContain(`shop: {"round":${round}}`)
      await deadLetter(queue, 'token-missing', `forged ${round}`)
      await cut(manager)
    }
    expect(handled).toHaveLength(3)
  })

  describe('NestJS', () => {
    const handled: { data: unknown; service: string | undefined }[] = []
    let queue: string
    let app: INestMicroservice
    let client: AuthorizedClientRMQ

    class Orders {
      created(data: unknown, context: RmqContext): void {
        handled.push({ data, service: senderOf(context.getMessage())?.service })
        context.getChannelRef().ack(context.getMessage())
      }
      sum(numbers: number[], context: RmqContext): { total: number; asked: string | undefined } {
        context.getChannelRef().ack(context.getMessage())
        return { total: numbers.reduce((a, b) => a + b, 0), asked: senderOf(context.getMessage())?.service }
      }
    }
    // Decorators are functions; this is what the syntax for them does.
    Controller()(Orders)
    for (const [name, pattern] of [
      ['created', EventPattern('order.created')],
      ['sum', MessagePattern('sum')],
    ] as const) {
      pattern(Orders.prototype, name, Object.getOwnPropertyDescriptor(Orders.prototype, name) as PropertyDescriptor)
      Payload()(Orders.prototype, name, 0)
      Ctx()(Orders.prototype, name, 1)
    }
    class App {}
    Module({ controllers: [Orders] })(App)

    beforeAll(async () => {
      queue = await scene.queue('nest')
      const options = {
        urls: [url as string],
        queue,
        queueOptions: { durable: true },
        socketOptions: { heartbeatIntervalInSeconds: 60, reconnectTimeInSeconds: 0.05 },
      }
      const strategy = new AuthorizedServerRMQ({ ...options, noAck: false }, warehouse, new Verifier({ keys }))
      app = await NestFactory.createMicroservice(App, { strategy, logger: false })
      scene.atEnd(() => app.close())
      await app.listen()
      client = new AuthorizedClientRMQ(options, shop, new Verifier({ keys }))
      scene.atEnd(async () => client.close())
      await client.connect()
    })

    it('events and requests reach handlers, which know who asked; others are dead-lettered', async () => {
      await firstValueFrom(client.emit('order.created', { id: 1 }), { defaultValue: undefined })
      await expect.poll(() => handled).toEqual([{ data: { id: 1 }, service: 'shop' }])
      expect(await firstValueFrom(client.send('sum', [1, 2, 3]))).toEqual({ total: 6, asked: 'shop' })

      const plain = await scene.plain()
      plain.sendToQueue(queue, Buffer.from(JSON.stringify({ pattern: 'order.created', data: 'forged' })))
      await deadLetter(queue, 'token-missing', 'forged')
      const stranger = await wrapProducer(await scene.connection(), strangers).createChannel()
      stranger.sendToQueue(queue, Buffer.from(JSON.stringify({ pattern: 'order.created', data: 'forged' })))
      await deadLetter(queue, 'key-unknown', 'forged')
      expect(handled).toHaveLength(1)
    })

    it('after both connections were cut, requests are answered again', async () => {
      for (const total of [1, 2, 3]) {
        await cut(app.unwrap())
        await cut(client.unwrap())
        await client.connect()
        expect(await firstValueFrom(client.send('sum', [total]))).toEqual({ total, asked: 'shop' })
      }
      await firstValueFrom(client.emit('order.created', { id: 2 }), { defaultValue: undefined })
      await expect.poll(() => handled.at(-1)).toEqual({ data: { id: 2 }, service: 'shop' })
      expect(await scene.drain(`${queue}.dlq`)).toEqual([])
    })

    it('an answer that nobody signed is not taken for one', async () => {
      const questions = await scene.queue('questions')
      const answering = await scene.connection()
      const channel = await answering.createChannel()
      const forge = channel.publish.bind(channel)
      wrapProducer(channel, warehouse)
      await channel.consume(questions, (question) => {
        if (question === null) return
        const { replyTo, correlationId } = question.properties
        const answer = (response: string): Buffer => Buffer.from(JSON.stringify({ response, isDisposed: true }))
        forge('', replyTo, answer('forged'), { correlationId })
        channel.sendToQueue(replyTo, answer('signed'), { correlationId })
        channel.ack(question)
      })
      const verdicts: string[] = []
      const unsubscribe = subscribe('queue-key-auth:verdict', (event) => {
        if (event.queue === 'amq.rabbitmq.reply-to') verdicts.push(event.verdict.outcome)
      })
      scene.atEnd(async () => unsubscribe())
      const asking = new AuthorizedClientRMQ({ urls: [url as string], queue: questions }, shop, new Verifier({ keys }))
      scene.atEnd(async () => asking.close())
      await asking.connect()
      expect(await firstValueFrom(asking.send('anything', 1))).toBe('signed')
      expect(verdicts).toEqual(['rejected', 'authorized'])
      unsubscribe()
    })
  })

  describe('@golevelup/nestjs-rabbitmq', () => {
    const handled: string[] = []
    const exchange = uniqueName('shop')
    let connection: AmqpConnection
    let queue: string
    let rpcQueue: string

    class Orders {
      created(order: { id: number }, raw: ConsumeMessage): void {
        handled.push(`${order.id} from ${senderOf(raw)?.service}`)
      }
      sum(numbers: number[], raw: ConsumeMessage): { total: number; asked: string | undefined } {
        return { total: numbers.reduce((a, b) => a + b, 0), asked: senderOf(raw)?.service }
      }
    }

    beforeAll(async () => {
      queue = await scene.queue('golevelup')
      rpcQueue = await scene.queue('golevelup-rpc')
      const descriptor = (name: 'created' | 'sum'): PropertyDescriptor =>
        Object.getOwnPropertyDescriptor(Orders.prototype, name) as PropertyDescriptor
      Injectable()(Orders)
      RabbitSubscribe({ exchange, routingKey: 'order.created', queue })(
        Orders.prototype,
        'created',
        descriptor('created'),
      )
      RabbitRPC({ exchange, routingKey: 'sum', queue: rpcQueue })(Orders.prototype, 'sum', descriptor('sum'))
      class Shop {
        readonly connection: AmqpConnection
        constructor(injected: AmqpConnection) {
          this.connection = injected
        }
      }
      Injectable()(Shop)
      Inject(AmqpConnection)(Shop, undefined, 0)
      class App {}
      const config = {
        uri: url as string,
        exchanges: [{ name: exchange, type: 'topic' }],
        connectionManagerOptions: { heartbeatIntervalInSeconds: 60, reconnectTimeInSeconds: 0.05 },
      }
      const rabbitmq = authorizedRabbitMQ(config, shop, new Verifier({ keys }))
      Module({ imports: [rabbitmq], providers: [Orders, Shop] })(App)
      const app = await NestFactory.createApplicationContext(App, { logger: false })
      await app.init()
      scene.atEnd(async () => (await scene.plain()).deleteExchange(exchange))
      scene.atEnd(() => app.close())
      connection = app.get(Shop).connection
    })

    it('subscribers and RPC work, others are dead-lettered, also after reconnects', async () => {
      for (const id of [1, 2, 3]) {
        await connection.publish(exchange, 'order.created', { id })
        await expect.poll(() => handled).toContain(`${id} from shop`)
        const request = { exchange, routingKey: 'sum', payload: [id, 10], timeout: 120_000 }
        expect(await connection.request(request)).toEqual({ total: id + 10, asked: 'shop' })
        const plain: Channel = await scene.plain()
        plain.publish(exchange, 'order.created', Buffer.from(`{"id":-${id}}`))
        await deadLetter(queue, 'token-missing', `"id":-${id}`)
        await cut(connection.managedConnection)
        await connection.managedChannel.waitForConnect()
      }
      expect(handled).toHaveLength(3)
      expect(await scene.drain(`${rpcQueue}.dlq`)).toEqual([])
    })
  })

  it('the code in docs/frameworks.md is the code of these tests', () => {
    const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')
    const blocks = read('../../../docs/frameworks.md').match(/(?<=```ts\n)[\s\S]*?(?=```)/g) ?? []
    const tested = read('wrapped-nestjs.ts').replaceAll('export ', '')
    const shown = blocks.filter((block) => !block.startsWith('//'))
    expect(shown.length).toBeGreaterThan(2)
    for (const block of shown) expect(tested).toContain(block.trim())
  })
})

/** Breaks the socket and waits until the manager is connected anew. */
async function cut(given: unknown): Promise<void> {
  const manager = given as ReturnType<typeof connectManager> & { _channels: { _unconfirmedMessages: unknown[] }[] }
  // A publish that is not confirmed yet is rejected, and Nest does not listen.
  const unconfirmed = (): unknown[] => manager._channels.flatMap((channel) => channel._unconfirmedMessages)
  await expect.poll(unconfirmed).toEqual([])
  const { stream } = (manager.connection as unknown as { connection: { stream: Socket } }).connection
  const again = new Promise((resolve) => manager.once('connect', resolve))
  stream.destroy(new Error('cut by a test'))
  await again
}
