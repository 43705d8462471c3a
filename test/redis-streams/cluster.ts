import { once } from 'node:events'
import { createRequire } from 'node:module'
import { Cluster as Cluster6 } from 'ioredis'
import { Cluster as Cluster5, Redis } from 'ioredis-5'
import { type RedisServer, startRedis } from '../brokers/index.ts'
import { freePort } from '../brokers/ready.ts'
import type { Redis6 } from './clients.ts'

const require = createRequire(import.meta.url)
const { Cluster: Cluster50 } = require('ioredis-5.0') as { Cluster: typeof Cluster5 }

const CLASSES = { '5.0': Cluster50, 5: Cluster5, 6: Cluster6 }

export type ClusterVersion = '5.0' | 5 | 6

export interface TestCluster {
  /** @param version of ioredis */
  open(version: ClusterVersion, options?: object): Redis6
  stop(): Promise<void>
}

/** Three masters of a test's own, which share the slots. */
export async function startCluster(): Promise<TestCluster> {
  // By default the nodes talk to each other on a port that an outgoing connection may have.
  const busPorts = [await freePort(), await freePort(), await freePort()]
  const settings = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '60000']
  const servers: RedisServer[] = await Promise.all(
    busPorts.map((port) => startRedis({ args: [...settings, '--cluster-port', String(port)] })),
  )
  const nodes = servers.map(({ url }) => ({ host: '127.0.0.1', port: Number(new URL(url).port) }))
  const clients = nodes.map(({ host, port }) => new Redis(port, host))
  try {
    const share = Math.ceil(16_384 / nodes.length)
    for (const [index, client] of clients.entries()) {
      await client.call('CLUSTER', 'ADDSLOTSRANGE', index * share, Math.min(16_384, (index + 1) * share) - 1)
      await client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
    }
    for (const [index, { host, port }] of nodes.entries()) {
      if (index > 0) await clients[0]?.call('CLUSTER', 'MEET', host, port, busPorts[index] as number)
    }
    const isReady = async (client: Redis): Promise<boolean> => {
      const info = String(await client.call('CLUSTER', 'INFO'))
      return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3')
    }
    for (const client of clients) while (!(await isReady(client))) await new Promise((done) => setTimeout(done, 50))
  } finally {
    for (const client of clients) client.disconnect()
  }
  return {
    open(version, options = {}) {
      const Cluster = CLASSES[version] as typeof Cluster6
      const cluster = new Cluster(nodes, options)
      cluster.on('error', () => undefined)
      return cluster as unknown as Redis6
    },
    async stop() {
      for (const server of servers) await server.stop()
    },
  }
}

/** A Cluster sends nothing of a pipeline before it knows its nodes. */
export async function whenReady(cluster: Redis6): Promise<Redis6> {
  if (cluster.status !== 'ready') await once(cluster, 'ready')
  return cluster
}
