import type { ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib'
import { beforeAll, describe, expect, inject, it, type TestContext } from 'vitest'
import { type RabbitmqConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { type KeySource, subscribe, Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { uniqueName } from '../brokers/index.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies } from './helpers.ts'
import { RemoteStore } from './remote-store.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

/** What fails for a while: the keys, or the replay store. */
class Outage implements KeySource {
  readonly store = new RemoteStore()
  readonly #what: 'keys' | 'store'
  #over = true

  constructor(what: 'keys' | 'store') {
    this.#what = what
  }

  begin(): void {
    this.#over = false
    if (this.#what === 'store') this.store.reachable = false
  }

  end(): void {
    this.#over = true
    this.store.reachable = true
  }

  get snapshot(): KeySource['snapshot'] {
    return this.#over || this.#what === 'store' ? keys.snapshot : undefined
  }
}

interface Row {
  readonly queue: Options.AssertQueue
  readonly consume?: Options.Consume
  /** whether it is handed what was published before it consumed; default true */
  readonly early?: boolean
  /** whether the broker deletes the queue when its consumer ends */
  readonly vanishes?: boolean
}

const stream = { arguments: { 'x-queue-type': 'stream' } }
const from = (offset: unknown): Options.Consume => ({ arguments: { 'x-stream-offset': offset } })
const timestamp = (milliseconds: number): unknown => ({ '!': 'timestamp', value: Math.floor(milliseconds / 1000) })

const ROWS: Readonly<Record<string, Row>> = {
  'a classic queue': { queue: {} },
  'a transient exclusive queue': { queue: { exclusive: true, durable: false } },
  'an auto-delete queue': { queue: { autoDelete: true }, vanishes: true },
  'an exclusive auto-delete queue': { queue: { exclusive: true, autoDelete: true, durable: false }, vanishes: true },
  'an auto-delete queue with other arguments': {
    queue: {
      autoDelete: true,
      deadLetterExchange: 'amq.direct',
      messageTtl: 3_600_000,
      maxPriority: 5,
      maxLength: 1_000,
    },
    vanishes: true,
  },
  'a queue that expires': { queue: { expires: 1_500 } },
  'an auto-delete queue that expires': { queue: { expires: 1_500, autoDelete: true }, vanishes: true },
  'a quorum queue': { queue: { arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 2 } } },
  'a quorum queue that expires': {
    queue: { expires: 1_500, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 2 } },
  },
  'an exclusive consumer': { queue: {}, consume: { exclusive: true } },
  'a single active consumer': { queue: { arguments: { 'x-single-active-consumer': true } } },
  'a single active consumer of a quorum queue': {
    queue: { arguments: { 'x-queue-type': 'quorum', 'x-single-active-consumer': true } },
  },
  'a consumer with a priority': { queue: {}, consume: { priority: 7 } },
  'a consumer with a tag': { queue: {}, consume: { consumerTag: 'mine' } },
  'a priority queue': { queue: { maxPriority: 3 } },
  'a stream from the first': { queue: stream, consume: from('first') },
  'a stream from the last': { queue: stream, consume: from('last') },
  'a stream from the next': { queue: stream, consume: from('next'), early: false },
  'a stream from an offset': { queue: stream, consume: from(0) },
  'a stream from an offset that is to come': { queue: stream, consume: from(1), early: false },
  'a stream from a time': { queue: stream, consume: from(timestamp(Date.now() - 3_600_000)) },
  'a stream from an interval': { queue: stream, consume: from('1h') },
  'a stream without an offset': { queue: stream, early: false },
  'a stream with a tag': { queue: stream, consume: { consumerTag: 'reader', ...from('next') }, early: false },
}

const numbered = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`)

describe.skipIf(url === undefined)('an outage', () => {
  const at = bench(url)
  let producer: ConfirmChannel

  beforeAll(async () => {
    producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
  })

  async function send(queue: string, texts: readonly string[]): Promise<void> {
    for (const text of texts) producer.sendToQueue(queue, Buffer.from(text))
    await producer.waitForConfirms()
  }

  function notices(queue: string, { onTestFinished }: TestContext): string[] {
    const heard: string[] = []
    onTestFinished(subscribe('queue-key-auth:notice', (event) => event.queue === queue && heard.push(event.notice)))
    return heard
  }

  function wrapped<Client extends ChannelModel>(
    client: Client,
    outage: Outage,
    options: RabbitmqConsumerOptions,
  ): Client {
    const verifier = new Verifier({ keys: outage, replay: outage.store })
    return wrapConsumer(client, verifier, { maxHoldSeconds: 0.3, ...options })
  }

  async function longEnough(): Promise<void> {
    // Three times what the queues of this file expire in, and several rounds of maxHoldSeconds.
    await new Promise((resolve) => {
      setTimeout(resolve, 4_500)
    })
  }

  // Side by side, each with a connection and a queue of its own: an outage is mostly a wait.
  describe.each(['keys', 'store'] as const)('of the %s', (what) => {
    it.concurrent.for(Object.entries(ROWS))(
      '%s: each message in is handled once, none is lost',
      async ([, row], test) => {
        const outage = new Outage(what)
        const rejected: unknown[] = []
        const connection = wrapped(await at.connection(), outage, {
          onVerdict: (verdict) => verdict.outcome === 'rejected' && rejected.push(verdict.code),
        })
        const channel = await connection.createChannel()
        const queue = uniqueName('outage')
        // Declared by another, unless it belongs to the connection: nothing is known of it by having seen the declaration.
        const declaring = row.queue.exclusive ? channel : at.raw
        await declaring.assertQueue(queue, row.queue)
        const heard = notices(queue, test)
        await send(queue, ['early'])
        const got: ConsumeMessage[] = []
        await channel.prefetch(20)
        const { consumerTag } = await channel.consume(
          queue,
          (message) => {
            if (message === null) throw new Error('the broker cancelled the consumer')
            got.push(message)
            channel.ack(message)
          },
          row.consume,
        )
        const expected = (row.early ?? true) ? ['early'] : []
        await send(queue, ['before'])
        expected.push('before')
        await eventually(() => expect(bodies(got)).toEqual(expected))
        outage.begin()
        await send(queue, numbered('held', 5))
        await eventually(() => expect(heard).toEqual(['consumer-paused']))
        await send(queue, numbered('meanwhile', 50))
        await longEnough()
        outage.end()
        expected.push(...numbered('held', 5), ...numbered('meanwhile', 50))
        await eventually(() => expect(got.length).toBe(expected.length))
        await send(queue, ['after'])
        expected.push('after')
        await eventually(() => expect(got.length).toBe(expected.length))
        expect(bodies(got).sort()).toEqual([...expected].sort())
        // So short a hold can run out once more for what was being judged at the very end.
        await eventually(() => expect(heard.slice(0, 2)).toEqual(['consumer-paused', 'consumer-resumed']))
        expect(new Set(got.map(({ fields }) => fields.consumerTag))).toEqual(new Set([consumerTag]))
        expect(rejected).toEqual([])
        // The queue is there still, the channel is open, and nothing is left.
        const counts = await channel.checkQueue(queue)
        if (row.queue === stream) expect(bodies(got)).toEqual(expected)
        else expect(counts).toMatchObject({ consumerCount: 1, messageCount: 0 })
        await channel.cancel(consumerTag)
        if (!row.vanishes && row.queue !== stream) expect((await channel.checkQueue(queue)).messageCount).toBe(0)
        await connection.close()
        if (!row.vanishes && !row.queue.exclusive) await at.raw.deleteQueue(queue)
      },
    )
  })
})
