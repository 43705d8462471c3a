import { connect as manage } from 'amqp-connection-manager'
import { type Channel, type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import { type Channel as CallbackChannel, connect as connectCallback } from 'amqplib/callback_api'
import { beforeAll, beforeEach, describe, expect, inject, it, onTestFinished } from 'vitest'
import { type RabbitmqConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { type KeySource, subscribe, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { bench } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

class FailingKeys implements KeySource {
  reachable = true
  get snapshot(): KeySource['snapshot'] {
    return this.reachable ? keys.snapshot : undefined
  }
}

const numbered = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`)

const HELD = numbered('held', 5)
const MEANWHILE = numbered('meanwhile', 50)

describe.skipIf(url === undefined)('an outage of the keys', () => {
  const at = bench(url)
  let producer: ConfirmChannel
  let source: FailingKeys

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  beforeEach(() => {
    source = new FailingKeys()
  })

  async function send(queue: string, texts: readonly string[]): Promise<void> {
    for (const text of texts) producer.sendToQueue(queue, Buffer.from(text))
    await producer.waitForConfirms()
  }

  function notices(queue: string): string[] {
    const heard: string[] = []
    onTestFinished(subscribe('queue-key-auth:notice', (event) => event.queue === queue && heard.push(event.notice)))
    return heard
  }

  function wrapped<Client extends object>(client: Client, options: RabbitmqConsumerOptions = {}): Client {
    wrapConsumer(client as ChannelModel, new Verifier({ keys: source }), { maxHoldSeconds: 0.3, ...options })
    return client
  }

  /** Has the keys away for longer than messages are held, and says when they were paused for. */
  async function outage(queue: string, meanwhile: () => Promise<unknown> = async () => undefined): Promise<void> {
    const heard = notices(queue)
    source.reachable = false
    await send(queue, HELD)
    await eventually(() => expect(heard).toContain('consumer-paused'))
    await send(queue, MEANWHILE)
    await meanwhile()
    source.reachable = true
  }

  const all = [...HELD, ...MEANWHILE].sort()

  const KINDS = [
    ['a classic queue', {}],
    ['an auto-delete queue', { autoDelete: true }],
    ['a quorum queue', { arguments: { 'x-queue-type': 'quorum' } }],
    ['a stream', { arguments: { 'x-queue-type': 'stream' } }],
  ] as const

  describe.each(KINDS)('%s', (_kind, declared) => {
    let queue: string

    beforeEach(async () => {
      queue = uniqueName('outage')
      await at.raw.assertQueue(queue, declared)
    })

    it('with the callback API', async () => {
      const got: string[] = []
      const channel = await new Promise<CallbackChannel>((resolve, reject) => {
        connectCallback(url, (error, made) => {
          if (error) return reject(error)
          onTestFinished(() => made.close())
          wrapped(made).createChannel((failed, opened) => (failed ? reject(failed) : resolve(opened)))
        })
      })
      channel.prefetch(10)
      await new Promise((resolve) => {
        channel.consume(
          queue,
          (message) => {
            if (message === null) return
            got.push(message.content.toString())
            channel.ack(message)
          },
          {},
          resolve,
        )
      })
      await outage(queue)
      await eventually(() => expect([...got].sort()).toEqual(all))
    })

    it('several consumers on one channel, each with a queue of its own and one of both', async () => {
      const other = await at.queue()
      const channel = await wrapped(await at.connection()).createChannel()
      await channel.prefetch(10)
      const got: string[][] = [[], [], []]
      for (const [index, name] of [queue, other, other].entries()) {
        await channel.consume(name, (message) => {
          if (message === null) return
          got[index]?.push(message.content.toString())
          channel.ack(message)
        })
      }
      await outage(queue, async () => await send(other, ['o', 'p', 'q']))
      await eventually(() => expect([...(got[0] as string[])].sort()).toEqual(all))
      await eventually(() => expect(got.slice(1).flat().sort()).toEqual(['o', 'p', 'q']))
      await channel.checkQueue(queue)
    })

    it.each(['amqplib with recovery', 'amqp-connection-manager'])(
      '%s, whose connection breaks meanwhile',
      async (client) => {
        const got: string[] = []
        const seen = (): number => got.length
        // A reader of a stream says itself where it goes on.
        const setUp = async (channel: Channel): Promise<void> => {
          // Its user declares the queue it needs, as always where a queue goes with its consumer.
          await channel.assertQueue(queue, declared)
          await channel.prefetch(10)
          const table = 'arguments' in declared && declared.arguments['x-queue-type'] === 'stream'
          await channel.consume(
            queue,
            (message) => {
              if (message === null) return
              got.push(message.content.toString())
              channel.ack(message)
            },
            table ? { arguments: { 'x-stream-offset': seen() } } : {},
          )
        }
        // Without a consumer the broker would delete it while the connection is away, wrapped or not.
        if ('autoDelete' in declared) {
          const keeping = await (await at.connection()).createChannel()
          await keeping.prefetch(1)
          await send(queue, ['kept'])
          await keeping.consume(queue, () => undefined, { priority: 100 })
          await eventually(async () => expect(await at.ready(queue)).toBe(0))
        }
        let socket: () => { destroy(error: Error): void }
        if (client === 'amqplib with recovery') {
          let current: ChannelModel | undefined
          const recovering = await connect(url, {
            recovery: {
              initialDelay: 20,
              waitForConnect: false,
              setup: async (model: ChannelModel) => {
                current = model
                await setUp(await model.createChannel())
              },
            },
          })
          onTestFinished(() => recovering.close())
          recovering.on('error', () => undefined)
          await wrapped(recovering).waitForConnect()
          socket = () => socketOf(current as ChannelModel)
        } else {
          const manager = manage([url], { reconnectTimeInSeconds: 0.1 } as object)
          onTestFinished(() => manager.close())
          wrapped(manager)
          await manager.createChannel({ setup: setUp }).waitForConnect()
          socket = () => socketOf(manager.connection as object)
        }
        await outage(queue, async () => socket().destroy(new Error('the connection broke')))
        await eventually(() => expect([...got].sort()).toEqual(all))
      },
    )
  })

  it('with noAck, messages wait in the process for as long as it takes', async () => {
    const queue = await at.queue()
    const channel = await wrapped(await at.connection(), { noAck: 'drop' }).createChannel()
    const got: string[] = []
    await channel.consume(queue, (message) => message && got.push(message.content.toString()), { noAck: true })
    source.reachable = false
    await send(queue, [...HELD, ...MEANWHILE])
    await eventually(async () => expect(await at.ready(queue)).toBe(0))
    // Several times maxHoldSeconds: nobody but this process has them.
    await new Promise((resolve) => {
      setTimeout(resolve, 1_000)
    })
    expect(got).toEqual([])
    source.reachable = true
    await eventually(() => expect([...got].sort()).toEqual(all))
  })

  it('get gives its message back and answers false, until it can be judged', async () => {
    const queue = await at.queue()
    const channel = await wrapped(await at.connection()).createChannel()
    await send(queue, ['a', 'b'])
    source.reachable = false
    expect(await channel.get(queue)).toBe(false)
    expect(await channel.get(queue)).toBe(false)
    await eventually(async () => expect(await at.ready(queue)).toBe(2))
    source.reachable = true
    const got: string[] = []
    for (let message = await channel.get(queue); message !== false; message = await channel.get(queue)) {
      got.push(message.content.toString())
      channel.ack(message)
    }
    expect(got).toEqual(['a', 'b'])
    await channel.close()
    expect(await at.ready(queue)).toBe(0)
  })

  it('a queue that is deleted meanwhile ends its consumer alone, as without an outage', async () => {
    const [queue, other] = [await at.queue(), await at.queue()]
    const channel = await wrapped(await at.connection()).createChannel()
    const got: [unknown[], string[]] = [[], []]
    await channel.consume(queue, (message) => got[0].push(message === null ? null : message.content.toString()))
    await channel.consume(other, (message) => {
      if (message === null) return
      got[1].push(message.content.toString())
      channel.ack(message)
    })
    await outage(queue, async () => await at.raw.deleteQueue(queue))
    await eventually(() => expect(got[0]).toEqual([null]))
    await send(other, ['goes on'])
    await eventually(() => expect(got[1]).toEqual(['goes on']))
  })

  it('a dead letter that cannot be stored holds one place, and nothing of a stream is handled twice or lost for it', async () => {
    const queue = uniqueName('outage')
    await at.raw.assertQueue(queue, { arguments: { 'x-queue-type': 'stream' } })
    let storable = false
    const letters: string[] = []
    const connection = wrapped(await at.connection(), {
      deadLetter: async ({ message }) => {
        if (!storable) throw new Error('no room')
        letters.push(message.content.toString())
      },
    })
    const channel = await connection.createChannel()
    await channel.prefetch(5)
    const heard = notices(queue)
    const got: string[] = []
    await channel.consume(queue, (message) => {
      if (message === null) return
      got.push(message.content.toString())
      channel.ack(message)
    })
    await send(queue, ['a'])
    at.raw.sendToQueue(queue, Buffer.from('forged'))
    await at.raw.waitForConfirms()
    await send(queue, MEANWHILE)
    await eventually(() => expect(heard.filter((notice) => notice === 'consumer-resumed').length).toBeGreaterThan(1))
    storable = true
    await eventually(() => expect(letters).toEqual(['forged']))
    await send(queue, ['z'])
    await eventually(() => expect(got).toEqual(['a', ...MEANWHILE, 'z']))
  })
})

function socketOf(connection: object): { destroy(error: Error): void } {
  return (connection as { connection: { stream: { destroy(error: Error): void } } }).connection.stream
}
