import { Redis } from 'ioredis'
import { hostAndPort, until } from '../brokers/clusters.ts'
import type { RedisServer } from '../brokers/redis.ts'

/** What is asked of single nodes. */

async function ask<Answer>(node: RedisServer, question: (client: Redis) => Promise<Answer>): Promise<Answer> {
  const [host, port] = hostAndPort(node)
  const client = new Redis({ host, port: Number(port), maxRetriesPerRequest: 1, retryStrategy: () => null })
  client.on('error', () => undefined)
  try {
    return await question(client)
  } finally {
    client.disconnect()
  }
}

function info(node: RedisServer, section: string): Promise<string> {
  return ask(node, async (client) => String(await client.call('INFO', section)))
}

export async function roleOf(node: RedisServer): Promise<string | undefined> {
  return (await info(node, 'replication')).match(/^role:(\w+)/m)?.[1]
}

export async function isLinked(node: RedisServer): Promise<boolean> {
  return (await info(node, 'replication')).includes('master_link_status:up')
}

export async function mastersFirst(nodes: readonly RedisServer[]): Promise<[RedisServer, RedisServer]> {
  const [first, second] = nodes as [RedisServer, RedisServer]
  return (await roleOf(first)) === 'master' ? [first, second] : [second, first]
}

/** Three masters with a replica each, of six nodes that do not know each other. */
export async function joinNodes(nodes: readonly RedisServer[]): Promise<void> {
  const [first, ...others] = nodes as [RedisServer, ...RedisServer[]]
  const share = Math.ceil(16_384 / 3)
  for (let index = 0; index < 3; index++) {
    await ask(nodes[index] as RedisServer, async (client) => {
      await client.call('CLUSTER', 'ADDSLOTSRANGE', index * share, Math.min(16_384, (index + 1) * share) - 1)
      await client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
    })
  }
  for (const other of others) {
    const [host, port] = hostAndPort(other)
    const busPort = await ask(
      other,
      async (client) => ((await client.call('CONFIG', 'GET', 'cluster-port')) as string[])[1],
    )
    await ask(first, (client) => client.call('CLUSTER', 'MEET', host, port, busPort as string))
  }
  const isKnown = async (): Promise<boolean> => {
    const infos = await Promise.all(nodes.map((node) => ask(node, (client) => client.call('CLUSTER', 'INFO'))))
    return infos.every((text) => String(text).includes('cluster_known_nodes:6'))
  }
  await until(isKnown, 'the nodes know each other')
  for (let index = 0; index < 3; index++) {
    const id = await idOf(nodes[index] as RedisServer)
    await ask(nodes[index + 3] as RedisServer, (client) => client.call('CLUSTER', 'REPLICATE', id))
  }
  const isWhole = async (): Promise<boolean> => {
    const infos = await Promise.all(nodes.map((node) => ask(node, (client) => client.call('CLUSTER', 'INFO'))))
    return infos.every((text) => String(text).includes('cluster_state:ok'))
  }
  await until(isWhole, 'the cluster serves')
  for (const replica of nodes.slice(3)) await until(() => isLinked(replica), 'the replica follows its master')
}

function idOf(node: RedisServer): Promise<string> {
  return ask(node, async (client) => String(await client.call('CLUSTER', 'MYID')))
}

export function slotOf(nodes: readonly RedisServer[], key: string): Promise<number> {
  return ask(nodes[0] as RedisServer, async (client) => Number(await client.call('CLUSTER', 'KEYSLOT', key)))
}

/** The master that has a slot. */
export async function masterOf(nodes: readonly RedisServer[], slot: number): Promise<RedisServer> {
  const ranges = await ask(nodes[0] as RedisServer, (client) => client.call('CLUSTER', 'SLOTS'))
  const range = (ranges as [number, number, [string, number]][]).find(([from, to]) => from <= slot && slot <= to)
  const port = String(range?.[2][1])
  return nodes.find((node) => hostAndPort(node)[1] === port) as RedisServer
}

export async function hasCaughtUp(master: RedisServer): Promise<boolean> {
  const text = await info(master, 'replication')
  const written = text.match(/^master_repl_offset:(\d+)/m)?.[1]
  return text.includes(`offset=${written},`)
}

/** Its replica takes over in good order. */
export async function failover(nodes: readonly RedisServer[], master: RedisServer): Promise<void> {
  const text = await info(master, 'replication')
  const port = text.match(/^slave0:.*port=(\d+)/m)?.[1]
  const replica = nodes.find((node) => hostAndPort(node)[1] === port) as RedisServer
  await ask(replica, (client) => client.call('CLUSTER', 'FAILOVER'))
  await until(async () => (await roleOf(replica)) === 'master', 'the replica has taken over')
}

/** Moves the slot of a key to another master, with all that is in it. */
export async function migrate(nodes: readonly RedisServer[], key: string): Promise<void> {
  const slot = await slotOf(nodes, key)
  const from = await masterOf(nodes, slot)
  const to = nodes.slice(0, 3).find((node) => node !== from) as RedisServer
  const [fromId, toId] = [await idOf(from), await idOf(to)]
  await ask(to, (client) => client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId))
  await ask(from, (client) => client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId))
  const [host, port] = hostAndPort(to)
  for (;;) {
    const keys = (await ask(from, (client) => client.call('CLUSTER', 'GETKEYSINSLOT', slot, 100))) as string[]
    if (keys.length === 0) break
    await ask(from, (client) => client.call('MIGRATE', host, port, '', 0, 10_000, 'KEYS', ...keys))
  }
  await ask(to, (client) => client.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId))
  await ask(from, (client) => client.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId))
}
