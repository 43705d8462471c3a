import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage, GetMessage } from 'amqplib'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { type RabbitmqConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { MemoryReplayStore, subscribe, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { type Bench, bench } from '../rabbitmq/helpers.ts'
import { RemoteStore } from '../rabbitmq/remote-store.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

/** How long messages are sent while everything goes wrong. `CHAOS_SECONDS=600` for a night. */
const SECONDS = Number(process.env.CHAOS_SECONDS ?? 10)

/** A consumer that does everything a channel can do, in any order, while its channels and connections come and go. */
class Chaos {
  /** what the user acknowledged: an acknowledgement that throws, on a channel that is closed, has acknowledged nothing */
  readonly done = new Set<string>()
  /** what was handed over although it was done */
  readonly again: string[] = []
  readonly forged: string[] = []
  readonly errors: unknown[] = []
  /** every message that was handed over and not settled yet, and the channel it came by */
  readonly #inHand = new Map<ConsumeMessage | GetMessage, Channel>()
  readonly #at: Bench
  readonly #queue: string
  readonly #verifier: Verifier
  readonly #options: RabbitmqConsumerOptions
  #connection!: ChannelModel
  #channel!: Channel
  #tag = ''
  #calm = false

  constructor(at: Bench, queue: string, verifier: Verifier, options: RabbitmqConsumerOptions) {
    this.#at = at
    this.#queue = queue
    this.#verifier = verifier
    this.#options = options
  }

  async connect(): Promise<void> {
    this.#connection = wrapConsumer(await this.#at.connection(), this.#verifier, this.#options)
    await this.#open()
  }

  /** One of the things that go wrong, or are done on purpose. */
  async disturb(): Promise<void> {
    switch (dice(24)) {
      case 0:
        await this.#channel.close()
        return await this.#open()
      case 1:
        await this.#connection.close()
        return await this.connect()
      case 2:
        cut(this.#connection)
        return await this.connect()
      case 3:
        await this.#channel.cancel(this.#tag)
        return await this.#consume()
      case 4: {
        const channel = this.#channel
        const message = await channel.get(this.#queue)
        if (message !== false) this.#take(channel, message)
      }
    }
  }

  /** From now on all is well: what comes is acknowledged. */
  async calmDown(): Promise<void> {
    this.#calm = true
    await this.#channel.close()
    await this.#open()
  }

  async close(): Promise<void> {
    await this.#connection.close()
  }

  async #open(): Promise<void> {
    this.#inHand.clear()
    this.#channel = await this.#connection.createChannel()
    this.#channel.on('error', (error) => this.errors.push(error))
    await this.#channel.prefetch(this.#calm ? 0 : 1 + 9 * dice(2))
    await this.#consume()
  }

  async #consume(): Promise<void> {
    const channel = this.#channel
    const { consumerTag } = await channel.consume(this.#queue, (message) => message && this.#take(channel, message))
    this.#tag = consumerTag
  }

  #take(channel: Channel, message: ConsumeMessage | GetMessage): void {
    const text = message.content.toString()
    if (text.startsWith('forged')) this.forged.push(text)
    if (this.done.has(text)) this.again.push(text)
    this.#inHand.set(message, channel)
    setTimeout(() => this.#settle(message), dice(20))
  }

  #settle(message: ConsumeMessage | GetMessage): unknown {
    const channel = this.#inHand.get(message)
    if (channel === undefined) return undefined
    const upTo = ({ fields }: typeof message): boolean => fields.deliveryTag <= message.fields.deliveryTag
    try {
      switch (this.#calm ? 9 : dice(20)) {
        case 0:
          this.#leave(channel, (each) => each === message)
          return channel.nack(message)
        case 1:
          this.#leave(channel, (each) => each === message)
          return channel.reject(message, true)
        case 2:
          this.#leave(channel, upTo)
          return channel.nack(message, true)
        case 3:
          this.#leave(channel, () => true)
          return channel.nackAll()
        case 4:
          return this.#acknowledge(this.#leave(channel, upTo), () => channel.ack(message, true))
        case 5:
          return this.#acknowledge(
            this.#leave(channel, () => true),
            () => channel.ackAll(),
          )
        case 6:
          return setTimeout(() => this.#settle(message), dice(50))
        default:
          return this.#acknowledge(
            this.#leave(channel, (other) => other === message),
            () => channel.ack({ ...message }),
          )
      }
    } catch (error) {
      // Channels that are closed say so, as they do without us.
      if ((error as Error).name !== 'IllegalOperationError') this.errors.push(error)
      return undefined
    }
  }

  #acknowledge(texts: readonly string[], acknowledge: () => void): void {
    acknowledge()
    for (const each of texts) this.done.add(each)
  }

  /** Takes messages of a channel out of the hand; says which. */
  #leave(channel: Channel, which: (message: ConsumeMessage | GetMessage) => boolean): string[] {
    const left = [...this.#inHand].filter(([message, by]) => by === channel && which(message))
    for (const [message] of left) this.#inHand.delete(message)
    return left.map(([{ content }]) => content.toString())
  }
}

describe.skipIf(url === undefined)('RabbitMQ in chaos', () => {
  const at = bench(url)

  it.each(['memory', 'remote', 'remote, out of reach at times'])(
    'every signed message is handled, every forged one dead-lettered, none lost: replay store %s',
    async (where) => {
      onTestFinished(subscribe('queue-key-auth:verdict', () => undefined))
      const queue = await at.queue('chaos')
      const remote = where === 'memory' ? undefined : new RemoteStore(() => Math.random() * 30)
      // Long enough for a machine that stands still: what is done is written down before anyone takes over.
      const verifier = new Verifier({ keys, replay: remote ?? new MemoryReplayStore(), leaseSeconds: 10 })
      const isLossy = where.includes('out of reach')
      const chaos = new Chaos(at, queue, verifier, isLossy ? { maxHoldSeconds: 0.3 } : {})
      const producer: ConfirmChannel = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
      await chaos.connect()

      const [signed, forged]: [string[], string[]] = [[], []]
      for (const end = performance.now() + SECONDS * 1000; performance.now() < end; ) {
        const text = `${signed.length}`
        signed.push(text)
        producer.sendToQueue(queue, Buffer.from(text))
        if (dice(3) === 0) {
          forged.push(`forged ${text}`)
          at.raw.sendToQueue(queue, Buffer.from(`forged ${text}`))
        }
        if (remote !== undefined && isLossy && dice(60) === 0) {
          remote.reachable = false
          setTimeout(() => {
            remote.reachable = true
          }, dice(1_500))
        }
        await chaos.disturb()
        await new Promise((resolve) => {
          setTimeout(resolve, dice(20))
        })
      }
      await producer.waitForConfirms()
      await at.raw.waitForConfirms()

      await chaos.calmDown()
      const open = (): string[] => signed.filter((text) => !chaos.done.has(text))
      await eventually(() => expect(open()).toEqual([]))
      await at.raw.assertQueue(`${queue}.dlq`)
      // Dead letters may come twice, after a crash in between; all of them are there once the queue is empty.
      const letters = new Set<string>()
      await eventually(async () => {
        for (let letter = await at.raw.get(`${queue}.dlq`); letter; letter = await at.raw.get(`${queue}.dlq`)) {
          letters.add(letter.content.toString())
        }
        expect(forged.filter((text) => !letters.has(text))).toEqual([])
      })
      await chaos.close()
      // What is left, at most, is there a second time: it waited for the lease of a channel that was cut.
      for (let left = await at.raw.get(queue); left; left = await at.raw.get(queue)) {
        const text = left.content.toString()
        if (!chaos.done.has(text) && !letters.has(text)) expect.fail(`${text} is left`)
      }
      expect([...letters].filter((text) => !text.startsWith('forged'))).toEqual([])
      expect(chaos.forged).toEqual([])
      expect(chaos.errors).toEqual([])
      // What the store could not be told before the channel ended is handled again, which is what at-least-once means.
      if (!isLossy) expect(chaos.again).toEqual([])
    },
    300_000 + SECONDS * 1000,
  )
})

/** A whole number from 0 to below `sides`. */
function dice(sides: number): number {
  return Math.floor(Math.random() * sides)
}

function cut({ connection }: ChannelModel): void {
  const { stream } = connection as unknown as { stream: { destroy(error: Error): void } }
  stream.destroy(new Error('the connection broke'))
}
