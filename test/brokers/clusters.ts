import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { findRabbitmq } from '../../tools/brokers/programs.mjs'
import { type Child, startChild } from './child.ts'
import { clusterId, type KafkaServer, kafka } from './kafka.ts'
import { temporaryFolder } from './local-server.ts'
import { type RabbitmqServer, rabbitmq } from './rabbitmq.ts'
import { freePort } from './ready.ts'
import { type RedisServer, redis } from './redis.ts'

/** Servers of one kind that stand for each other, from programs of this machine. */
export interface Cluster<Server> {
  readonly nodes: readonly Server[]
  stop(): Promise<void>
}

/** Three nodes of RabbitMQ that know each other. */
export async function startRabbitmqCluster(): Promise<Cluster<RabbitmqServer>> {
  const programs = findRabbitmq()
  if (programs === undefined) throw new Error('rabbitmq-server is not installed')
  const folder = await temporaryFolder('epmd')
  const epmdPort = await freePort()
  const epmd: Child = startChild('epmd', [...programs.epmd, '-port', String(epmdPort), '-address', '127.0.0.1'], {
    env: {},
    outputFile: `${folder}/epmd.log`,
  })
  const cluster = { cookie: randomBytes(16).toString('hex').toUpperCase(), epmdPort }
  const nodes: RabbitmqServer[] = []
  const stop = async (): Promise<void> => {
    for (const node of nodes) await node.stop()
    await epmd.stop()
  }
  try {
    for (let index = 0; index < 3; index++) nodes.push(await rabbitmq.startLocally({ cluster }))
    const [first, ...others] = nodes as [RabbitmqServer, ...RabbitmqServer[]]
    for (const node of others) {
      await node.rabbitmqctl(['stop_app'])
      await node.rabbitmqctl(['join_cluster', first.node])
      await node.rabbitmqctl(['start_app'])
    }
  } catch (error) {
    await stop()
    throw error
  }
  return { nodes, stop }
}

/** Three nodes of Kafka, each broker and controller. */
export async function startKafkaCluster(): Promise<Cluster<KafkaServer>> {
  const controllerPorts = [await freePort(), await freePort(), await freePort()]
  const id = clusterId()
  // None is ready before there is a majority.
  const nodes = await Promise.all(
    controllerPorts.map((_, index) => kafka.startLocally({ member: { index, clusterId: id, controllerPorts } })),
  )
  return { nodes, stop: async () => void (await Promise.all(nodes.map((node) => node.stop()))) }
}

export interface SentinelCluster extends Cluster<RedisServer> {
  readonly sentinels: readonly RedisServer[]
  readonly masterName: string
}

/** A master, a replica, and three Sentinels that watch them. Whatever was written is on disk. */
export async function startSentinels(): Promise<SentinelCluster> {
  const durable = ['--appendonly', 'yes', '--appendfsync', 'always']
  const master = await redis.startLocally({ args: durable })
  const [host, port] = hostAndPort(master)
  const replica = await redis.startLocally({ args: [...durable, '--replicaof', host, port] })
  const masterName = 'main'
  const lines = [
    `sentinel monitor ${masterName} ${host} ${port} 2`,
    `sentinel down-after-milliseconds ${masterName} 1000`,
    `sentinel failover-timeout ${masterName} 3000`,
  ]
  const sentinels = await Promise.all([1, 2, 3].map(() => redis.startLocally({ sentinel: lines })))
  const nodes = [master, replica]
  const stop = async (): Promise<void> => {
    for (const server of [...sentinels, ...nodes]) await server.stop()
  }
  return { nodes, sentinels, masterName, stop }
}

/** Three masters that share the slots, each with a replica. */
export async function startRedisCluster(): Promise<Cluster<RedisServer>> {
  const settings = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', '--appendonly', 'yes']
  const nodes: RedisServer[] = []
  for (let index = 0; index < 6; index++) {
    nodes.push(await redis.startLocally({ args: [...settings, '--cluster-port', String(await freePort())] }))
  }
  return { nodes, stop: async () => void (await Promise.all(nodes.map((node) => node.stop()))) }
}

export function hostAndPort({ address }: { readonly address: string }): [host: string, port: string] {
  const url = new URL(address)
  return [url.hostname, url.port]
}

/** Looks until it is so. */
export async function until(isSo: () => Promise<boolean>, what: string, seconds = 60): Promise<void> {
  const deadline = performance.now() + seconds * 1000
  while (!(await isSo().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${seconds} s`)
    await sleep(100)
  }
}
