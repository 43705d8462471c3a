import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ContainerRuntimeClient } from 'testcontainers'
import { findRedis } from '../../tools/brokers/programs.mjs'
import { startContainer } from './docker.ts'
import { probeRedis } from './handshake.ts'
import type { BrokerKind, BrokerServer } from './kind.ts'
import { startLocalServer, temporaryFolder } from './local-server.ts'
import { freePort } from './ready.ts'

export interface RedisOptions {
  /**
   * More arguments for redis-server; they win over ours. Data is kept over `restart` only with
   * `['--appendonly', 'yes', '--appendfsync', 'always']`; a cluster's node is `['--cluster-enabled', 'yes']`.
   */
  readonly args?: readonly string[]
  /** runs as a Sentinel, with these lines in its configuration; not in Docker */
  readonly sentinel?: readonly string[]
}

export interface RedisServer extends BrokerServer {
  /** The same as `address`: redis://127.0.0.1:PORT */
  readonly url: string
}

export const redis: BrokerKind<RedisOptions, RedisServer> = {
  name: 'redis',
  probe: probeRedis,
  isInstalled: () => findRedis() !== undefined,
  startLocally,
  startInDocker,
}

const inMemory = ['--save', '', '--appendonly', 'no']

async function startLocally({ args = [], sentinel }: RedisOptions): Promise<RedisServer> {
  const program = findRedis()
  if (program === undefined) throw new Error('redis-server is not installed')
  const folder = await temporaryFolder('redis')
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const role: string[] = []
  if (sentinel !== undefined) {
    // It writes what it learns into this file.
    const file = join(folder, 'sentinel.conf')
    await writeFile(file, sentinel.map((line) => `${line}\n`).join(''))
    role.push(file, '--sentinel')
  }
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
  const server = await startLocalServer({
    name: 'redis-server',
    address: url,
    folder,
    command: [...program, ...role, ...settings, ...(sentinel === undefined ? inMemory : []), ...args],
    probe: () => probeRedis(url),
  })
  return { ...server, url }
}

async function startInDocker(engine: ContainerRuntimeClient, { args = [] }: RedisOptions): Promise<RedisServer> {
  const container = await startContainer(engine, {
    service: 'redis',
    port: 6379,
    command: ['redis-server', ...inMemory, ...args],
    probe: (hostAndPort) => probeRedis(`redis://${hostAndPort}`),
  })
  const url = `redis://${container.address}`
  return { ...container, address: url, url }
}
