import { type ChannelModel, type ConfirmChannel, connect, type GetMessage } from 'amqplib'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { address } from '../../src/message.ts'
import { Signer } from '../../src/signer.ts'
import { startRabbitmqCluster, until } from '../brokers/clusters.ts'
import { startRabbitmq, startRedis, uniqueName } from '../brokers/index.ts'
import type { RabbitmqServer } from '../brokers/rabbitmq.ts'
import type { RedisServer } from '../brokers/redis.ts'
import { builtProgram } from '../built.ts'
import { Ledger } from './ledger.ts'
import { Random } from './random.ts'
import { KILLS, PIECES } from './size.ts'
import { killAtRandom, publishDuring, type Scenario, Workers } from './workers.ts'

const signer = Signer.generate('checkout')
const stranger = Signer.generate('checkout')
const FORGERIES = ['no token', 'no JWS', 'a strange key', 'another body', 'another destination'] as const
type QueueType = 'classic' | 'quorum' | 'stream'

/** A queue on some servers, with a producer that goes on where a server is away. */
class RabbitmqScene implements Scenario {
  readonly ledger: Ledger
  readonly random: Random
  readonly workers: Workers
  readonly names: readonly string[]
  readonly queue: string
  readonly #urls: readonly string[]
  readonly #type: QueueType
  #plain: ConfirmChannel | undefined
  #signing: ConfirmChannel | undefined
  #connection: ChannelModel | undefined

  constructor(title: string, urls: readonly string[], built: string, type: QueueType, storeUrl: string | undefined) {
    this.ledger = new Ledger(`RabbitMQ, ${type} queue, ${storeUrl ? 'Redis' : 'memory'} replay store, ${title}`)
    this.random = new Random(this.ledger.scenario)
    this.queue = uniqueName(`campaign-${type}`)
    this.#urls = urls
    this.#type = type
    // Every reader of a stream gets all of it.
    this.names = type === 'stream' ? ['a'] : ['a', 'b']
    const { effectsFile } = this.ledger
    const offsetFile = type === 'stream' ? this.ledger.file('offset') : undefined
    const authorizedKeys = signer.authorizedKeysLine('**')
    this.workers = new Workers('rabbitmq', {
      ...{ built, urls, queue: this.queue, authorizedKeys, effectsFile, offsetFile, storeUrl },
    })
    onTestFinished(async () => {
      this.workers.abandon()
      await this.#connection?.close().catch(() => undefined)
    })
  }

  async open(): Promise<void> {
    const { plain } = await this.#channels()
    await plain.assertQueue(this.queue, { durable: true, arguments: { 'x-queue-type': this.#type } })
    // Looked at before the first dead letter makes it.
    await plain.assertQueue(`${this.queue}.dlq`, { durable: true })
  }

  /** Until the broker has confirmed all of it: what a server did not confirm is published again, elsewhere. */
  async publish({ good, forged }: { readonly good: number; readonly forged: number }): Promise<void> {
    const names = [...this.ledger.more('good', good), ...this.ledger.more('forged', forged)]
    names.sort(() => this.random.next() - 0.5)
    let left = names
    for (let attempt = 0; left.length > 0; attempt++) {
      if (attempt > 600) throw new Error('the broker confirms nothing any more')
      try {
        const channels = await this.#channels()
        left = await this.#publishOnce(channels, left)
        this.ledger.publishedAgain += left.filter((name) => name.startsWith('good')).length
      } catch {
        this.#signing = undefined
      }
      if (left.length > 0) await new Promise((done) => setTimeout(done, 100))
    }
  }

  /** Gives those back that were not confirmed. */
  async #publishOnce(channels: Channels, names: readonly string[]): Promise<string[]> {
    channels.signing.setMaxListeners(0)
    const sent = names.map(
      (name) =>
        new Promise<string | undefined>((resolve) => {
          const confirmed = (error: unknown): void => resolve(error ? name : undefined)
          channels.signing.once('close', () => resolve(name))
          this.#send(channels, name, confirmed)
        }),
    )
    return (await Promise.all(sent)).filter((name) => name !== undefined)
  }

  #send({ plain, signing }: Channels, name: string, confirmed: (error: unknown) => void): void {
    const content = Buffer.from(name)
    const options = { persistent: true }
    if (name.startsWith('good')) {
      signing.sendToQueue(this.queue, content, options, confirmed)
      return
    }
    const token = this.#forge(content)
    plain.sendToQueue(
      this.queue,
      content,
      { ...options, ...(token !== undefined && { headers: { queueauth: token } }) },
      confirmed,
    )
  }

  #forge(payload: Buffer): string | undefined {
    const destination = address('amqp', '', this.queue)
    switch (this.random.pick(FORGERIES)) {
      case 'no token':
        return undefined
      case 'no JWS':
        return 'no.to.ken'
      case 'a strange key':
        return stranger.sign({ destination, payload })
      case 'another body':
        return signer.sign({ destination, payload: Buffer.from('something else') })
      case 'another destination':
        return signer.sign({ destination: address('amqp', '', 'elsewhere'), payload })
    }
  }

  async #channels(): Promise<Channels> {
    if (this.#plain !== undefined && this.#signing !== undefined) return { plain: this.#plain, signing: this.#signing }
    for (let attempt = 0; ; attempt++) {
      try {
        const connection = await connect(this.#urls[attempt % this.#urls.length] as string, { timeout: 5_000 })
        connection.on('error', () => undefined)
        connection.on('close', () => {
          this.#signing = undefined
        })
        this.#connection = connection
        this.#plain = await connection.createConfirmChannel()
        this.#signing = wrapProducer(await connection.createConfirmChannel(), signer)
        for (const channel of [this.#plain, this.#signing]) channel.on('error', () => undefined)
        return { plain: this.#plain, signing: this.#signing }
      } catch (error) {
        if (attempt > 600) throw error
        await new Promise((done) => setTimeout(done, 100))
      }
    }
  }

  /** Waits until every message is settled, ends the consumers, and writes the counts down. */
  async finish(): Promise<void> {
    const deadLettered: string[] = []
    await expect.poll(() => this.ledger.isHandled, { interval: 100 }).toBe(true)
    await until(
      async () => {
        deadLettered.push(...(await this.#drain(`${this.queue}.dlq`)))
        return this.ledger.isDeadLettered(deadLettered)
      },
      'every forged message is dead-lettered',
      120,
    )
    if (this.#type !== 'stream') await until(() => this.#isEmpty(), 'the queue is empty')
    await this.workers.close()
    deadLettered.push(...(await this.#drain(`${this.queue}.dlq`)))
    const { plain } = await this.#channels()
    for (const queue of [this.queue, `${this.queue}.dlq`]) await plain.deleteQueue(queue)
    this.ledger.close(deadLettered)
  }

  async #isEmpty(): Promise<boolean> {
    return (await (await this.#channels()).plain.checkQueue(this.queue)).messageCount === 0
  }

  async #drain(queue: string): Promise<string[]> {
    const { plain } = await this.#channels()
    const names: string[] = []
    for (;;) {
      const message: GetMessage | false = await plain.get(queue, { noAck: true })
      if (message === false) return names
      names.push(message.content.toString())
    }
  }
}

interface Channels {
  readonly plain: ConfirmChannel
  readonly signing: ConfirmChannel
}

describe('RabbitMQ', () => {
  let built: string
  let server: RabbitmqServer
  let store: RedisServer

  beforeAll(async () => {
    built = await builtProgram()
    server = await startRabbitmq()
    store = await startRedis()
    console.log(`broker: RabbitMQ ${server.version}`)
  })
  afterAll(async () => {
    await server?.stop()
    await store?.stop()
  })

  const cases = (['classic', 'quorum', 'stream'] as const).flatMap((type) => [
    { type, shared: false },
    { type, shared: true },
  ])

  it.each(cases)('kill -9 of consumers at random: $type queue, shared store: $shared', async ({ type, shared }) => {
    const scene = new RabbitmqScene('kill -9 of consumers', [server.url], built, type, shared ? store.url : undefined)
    await scene.open()
    await killAtRandom(scene, KILLS / 2, PIECES)
    await scene.finish()
  })

  it.each(cases)(
    'the server is killed and starts again: $type queue, shared store: $shared',
    async ({ type, shared }) => {
      const scene = new RabbitmqScene(
        'kill -9 of the server',
        [server.url],
        built,
        type,
        shared ? store.url : undefined,
      )
      await scene.open()
      for (const name of scene.names) await scene.workers.start(name)
      await publishDuring(scene, PIECES, async () => {
        for (let times = 0; times < 2; times++) {
          await new Promise((done) => setTimeout(done, 500 + scene.random.below(1_000)))
          await server.kill()
          scene.ledger.faults++
          await server.restart()
        }
      })
      await scene.finish()
    },
  )

  it('three nodes, each ended in turn: a quorum queue', async () => {
    const cluster = await startRabbitmqCluster()
    onTestFinished(() => cluster.stop())
    const urls = cluster.nodes.map(({ url }) => url)
    const scene = new RabbitmqScene('three nodes, each ended in turn', urls, built, 'quorum', store.url)
    await scene.open()
    for (const name of scene.names) await scene.workers.start(name)
    await publishDuring(scene, PIECES, async () => {
      for (const node of cluster.nodes) {
        await new Promise((done) => setTimeout(done, 500 + scene.random.below(1_000)))
        await node.kill()
        scene.ledger.faults++
        await node.restart()
        // The next node ends only when the queue has all its copies again, or there would be no majority.
        await until(() => isInSync(node, scene.queue), 'the node has caught up')
      }
    })
    await scene.finish()
  })
})

async function isInSync(node: RabbitmqServer, queue: string): Promise<boolean> {
  const members = await node.rabbitmqctl(['list_queues', '--quiet', 'name', 'online'])
  const line = members.split('\n').find((text) => text.startsWith(queue))
  return (line?.match(/@/g)?.length ?? 0) === 3
}
