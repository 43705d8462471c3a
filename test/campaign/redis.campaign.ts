import { Cluster, Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { wrapProducer } from '../../adapters/redis-streams/index.ts'
import { Signer } from '../../src/signer.ts'
import { hostAndPort, startRedisCluster, startSentinels, until } from '../brokers/clusters.ts'
import { startRedis, uniqueName } from '../brokers/index.ts'
import type { RedisServer } from '../brokers/redis.ts'
import { builtProgram } from '../built.ts'
import { Ledger } from './ledger.ts'
import { Random } from './random.ts'
import {
  failover,
  hasCaughtUp,
  isLinked,
  joinNodes,
  masterOf,
  mastersFirst,
  migrate,
  roleOf,
  slotOf,
} from './redis-nodes.ts'
import { KILLS, PIECES } from './size.ts'
import { killAtRandom, publishDuring, type Scenario, Workers } from './workers.ts'

const signer = Signer.generate('checkout')
const stranger = Signer.generate('checkout')
const FORGERIES = ['no token', 'no JWS', 'a strange key', 'another body'] as const

/** How a client is made, here and in the consumers: options of a Redis, or nodes and options of a Cluster. */
interface Connection {
  readonly nodes?: readonly { readonly host: string; readonly port: number }[]
  readonly options: object
}

function open({ nodes, options }: Connection): Redis {
  const client = nodes === undefined ? new Redis(options) : (new Cluster([...nodes], options) as unknown as Redis)
  client.on('error', () => undefined)
  return client
}

class RedisScene implements Scenario {
  readonly ledger: Ledger
  readonly random: Random
  readonly workers: Workers
  readonly names = ['a', 'b']
  readonly stream: string
  readonly #plain: Redis
  readonly #signing: Redis
  readonly #stranger: Redis
  readonly #replicas: number

  /** @param replicas how many must have an entry before it counts as written: what fails over has what was written */
  constructor(
    title: string,
    connection: Connection,
    built: string,
    storeUrl: string | undefined,
    replicas: number = 0,
  ) {
    this.ledger = new Ledger(`Redis Streams, ${storeUrl ? 'Redis' : 'memory'} replay store, ${title}`)
    this.random = new Random(this.ledger.scenario)
    this.stream = uniqueName('campaign')
    this.#replicas = replicas
    this.#plain = open(connection)
    this.#signing = wrapProducer(open(connection), signer)
    this.#stranger = wrapProducer(open(connection), stranger)
    const { effectsFile } = this.ledger
    const authorizedKeys = signer.authorizedKeysLine('**')
    this.workers = new Workers('redis', {
      built,
      redis: connection,
      stream: this.stream,
      authorizedKeys,
      effectsFile,
      storeUrl,
    })
    onTestFinished(() => {
      this.workers.abandon()
      for (const client of [this.#plain, this.#signing, this.#stranger]) client.disconnect()
    })
  }

  async publish({ good, forged }: { readonly good: number; readonly forged: number }): Promise<void> {
    const names = [...this.ledger.more('good', good), ...this.ledger.more('forged', forged)]
    names.sort(() => this.random.next() - 0.5)
    for (let left = names, attempt = 0; left.length > 0; attempt++) {
      if (attempt > 600) throw new Error('the server takes nothing any more')
      const written = await Promise.all(left.map((name) => this.#add(name)))
      left = left.filter((_, index) => !written[index])
      this.ledger.publishedAgain += left.filter((name) => name.startsWith('good')).length
      if (left.length > 0) await new Promise((done) => setTimeout(done, 100))
    }
  }

  /** False: it may not be written, or not where it stays. */
  async #add(name: string): Promise<boolean> {
    try {
      const forgery = name.startsWith('good') ? undefined : this.random.pick(FORGERIES)
      const client = this.#clientFor(forgery)
      const token = await this.#tokenFor(forgery)
      const id = await client.xadd(this.stream, '*', 'n', name, ...(token === undefined ? [] : ['queueauth', token]))
      if (this.#replicas === 0) return true
      const copies = Number(await client.call('WAIT', String(this.#replicas), '1000'))
      // WAIT speaks of its own connection: behind a failover that is another, to a server that may not have it.
      return copies >= this.#replicas && (await client.xrange(this.stream, id as string, id as string)).length === 1
    } catch {
      return false
    }
  }

  #clientFor(forgery: (typeof FORGERIES)[number] | undefined): Redis {
    if (forgery === undefined) return this.#signing
    return forgery === 'a strange key' ? this.#stranger : this.#plain
  }

  async #tokenFor(forgery: (typeof FORGERIES)[number] | undefined): Promise<string | undefined> {
    if (forgery === 'no JWS') return 'no.to.ken'
    return forgery === 'another body' ? this.#captured() : undefined
  }

  /** The token of an entry that is there. */
  async #captured(): Promise<string> {
    const entries = await this.#plain.xrevrange(this.stream, '+', '-', 'COUNT', 50)
    const tokens = entries
      .map(([, fields]) => fields[fields.indexOf('queueauth') + 1])
      .filter((text) => text !== 'no.to.ken')
    return tokens.find((token) => token?.startsWith('ey')) ?? 'no.to.ken'
  }

  async finish(): Promise<void> {
    await expect.poll(() => this.ledger.isHandled, { interval: 100 }).toBe(true)
    await until(async () => this.ledger.isDeadLettered(await this.#deadLettered()), 'forged are dead-lettered', 120)
    await until(
      async () => Number(((await this.#plain.xpending(this.stream, 'workers')) as unknown[])[0]) === 0,
      'nothing is pending',
    )
    await this.workers.close()
    const deadLettered = await this.#deadLettered()
    await this.#plain.del(this.stream)
    await this.#plain.del(`{${this.stream}}:dlq`)
    this.ledger.close(deadLettered)
  }

  async #deadLettered(): Promise<string[]> {
    const entries = await this.#plain.xrange(`{${this.stream}}:dlq`, '-', '+')
    return entries.map(([, fields]) => fields[fields.indexOf('n') + 1] as string)
  }
}

describe('Redis Streams', () => {
  let built: string
  let server: RedisServer
  let store: RedisServer
  let connection: Connection

  beforeAll(async () => {
    built = await builtProgram()
    server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    store = await startRedis()
    console.log(`broker: Redis ${server.version}`)
    const [host, port] = hostAndPort(server)
    connection = { options: { host, port: Number(port), retryStrategy: () => 100, maxRetriesPerRequest: null } }
  })
  afterAll(async () => {
    await server?.stop()
    await store?.stop()
  })

  it.each([false, true])('kill -9 of consumers at random, shared store: %s', async (shared) => {
    const scene = new RedisScene('kill -9 of consumers', connection, built, shared ? store.url : undefined)
    await killAtRandom(scene, KILLS / 2, PIECES)
    await scene.finish()
  })

  it.each([false, true])('the server is killed and starts again, shared store: %s', async (shared) => {
    const scene = new RedisScene('kill -9 of the server', connection, built, shared ? store.url : undefined)
    for (const name of scene.names) await scene.workers.start(name)
    await publishDuring(scene, PIECES, async () => {
      for (let times = 0; times < 4; times++) {
        await new Promise((done) => setTimeout(done, 300 + scene.random.below(1_000)))
        await server.kill()
        scene.ledger.faults++
        await server.restart()
      }
    })
    await scene.finish()
  })

  it('a master behind Sentinels is killed', async () => {
    const cluster = await startSentinels()
    onTestFinished(() => cluster.stop())
    const sentinels = cluster.sentinels.map((sentinel) => {
      const [host, port] = hostAndPort(sentinel)
      return { host, port: Number(port) }
    })
    const options = {
      sentinels,
      name: cluster.masterName,
      retryStrategy: () => 100,
      sentinelRetryStrategy: () => 100,
      maxRetriesPerRequest: null,
    }
    const scene = new RedisScene('failover by Sentinel', { options }, built, store.url, 1)
    for (const name of scene.names) await scene.workers.start(name)
    await publishDuring(scene, PIECES, async () => {
      for (let times = 0; times < 3; times++) {
        await new Promise((done) => setTimeout(done, 1_000 + scene.random.below(1_000)))
        const [master, replica] = await mastersFirst(cluster.nodes)
        await master.kill()
        scene.ledger.faults++
        await until(async () => (await roleOf(replica)) === 'master', 'the replica has taken over')
        await master.restart()
        await until(async () => (await roleOf(master)) === 'slave', 'the old master follows the new one')
        await until(async () => isLinked(master), 'the old master has caught up')
      }
    })
    await scene.finish()
  })

  it('a Cluster: a master is killed, and the slot of the stream moves', async () => {
    const cluster = await startRedisCluster()
    onTestFinished(() => cluster.stop())
    await joinNodes(cluster.nodes)
    const nodes = cluster.nodes.map((node) => {
      const [host, port] = hostAndPort(node)
      return { host, port: Number(port) }
    })
    const options = { clusterRetryStrategy: () => 100, redisOptions: { maxRetriesPerRequest: null } }
    const scene = new RedisScene('failover of a Cluster and migration of a slot', { nodes, options }, built, store.url)
    for (const name of scene.names) await scene.workers.start(name)
    await publishDuring(scene, PIECES, async () => {
      await new Promise((done) => setTimeout(done, 1_000))
      await migrate(cluster.nodes, scene.stream)
      scene.ledger.faults++
      await new Promise((done) => setTimeout(done, 1_000))
      const slot = await slotOf(cluster.nodes, scene.stream)
      const master = await masterOf(cluster.nodes, slot)
      // What is not on the replica yet would be gone with its master, by the way a Cluster works.
      await until(() => hasCaughtUp(master), 'the replica has everything')
      await failover(cluster.nodes, master)
      await master.kill()
      scene.ledger.faults++
      await new Promise((done) => setTimeout(done, 2_000))
      await master.restart()
    })
    await scene.finish()
  })
})
