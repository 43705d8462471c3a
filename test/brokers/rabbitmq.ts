import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ContainerRuntimeClient } from 'testcontainers'
import { findRabbitmq } from '../../tools/brokers/programs.mjs'
import { startChild } from './child.ts'
import { startContainer } from './docker.ts'
import { probeRabbitmq } from './handshake.ts'
import type { BrokerKind, BrokerServer } from './kind.ts'
import { startLocalServer, temporaryFolder } from './local-server.ts'
import { freePort } from './ready.ts'

export interface RabbitmqOptions {
  /** More lines for rabbitmq.conf, such as `consumer_timeout = 1000`. */
  readonly config?: readonly string[]
  /** what the nodes of a cluster share; not in Docker */
  readonly cluster?: { readonly cookie: string; readonly epmdPort: number }
}

export interface RabbitmqServer extends BrokerServer {
  /** The same as `address`: amqp://guest:guest@127.0.0.1:PORT */
  readonly url: string
  /** Runs rabbitmqctl against this server and gives what it printed, without headings. Rejects when it fails. */
  rabbitmqctl(args: readonly string[]): Promise<string>
  /** its Erlang name */
  readonly node: string
  /** Closes every client's connection from the server's side, with `320 CONNECTION_FORCED`. */
  closeConnections(): Promise<void>
}

export const rabbitmq: BrokerKind<RabbitmqOptions, RabbitmqServer> = {
  name: 'rabbitmq',
  probe: probeRabbitmq,
  isInstalled: () => findRabbitmq() !== undefined,
  startLocally,
  startInDocker,
}

async function startLocally(options: RabbitmqOptions): Promise<RabbitmqServer> {
  const programs = findRabbitmq()
  if (programs === undefined) throw new Error('rabbitmq-server is not installed')
  const folder = await temporaryFolder('rabbitmq')
  const [port, distributionPort] = [await freePort(), await freePort()]
  const epmdPort = options.cluster?.epmdPort ?? (await freePort())
  const node = `test${port}@127.0.0.1`
  const file = (name: string): string => join(folder, name)
  const onLoopback = '-kernel inet_dist_use_interface {127,0,0,1}'
  const env = {
    HOME: folder, // where Erlang keeps the cookie
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    // Every file it would look for in the system's folders is named here, so that it reads none of them.
    RABBITMQ_CONF_ENV_FILE: file('rabbitmq-env.conf'),
    RABBITMQ_CONFIG_FILE: file('rabbitmq.conf'),
    RABBITMQ_CONFIG_FILES: file('conf.d/*.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: file('advanced.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: file('enabled_plugins'),
    RABBITMQ_PID_FILE: file('pid'),
    RABBITMQ_MNESIA_BASE: file('mnesia'),
    RABBITMQ_LOG_BASE: file('log'),
    // An address as the host needs no name service, but counts as a long name.
    RABBITMQ_NODENAME: node,
    RABBITMQ_USE_LONGNAME: 'true',
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: onLoopback,
    RABBITMQ_CTL_ERL_ARGS: onLoopback,
    RUNNING_UNDER_SYSTEMD: 'true', // the script then becomes the virtual machine, so signals reach it
  }
  const config = [`listeners.tcp.1 = 127.0.0.1:${port}`, 'loopback_users = none', ...(options.config ?? [])]
  await writeFile(file('rabbitmq-env.conf'), '')
  await writeFile(file('rabbitmq.conf'), `${config.join('\n')}\n`)
  await writeFile(file('advanced.config'), '[].\n')
  await writeFile(file('enabled_plugins'), '[].\n')

  if (options.cluster !== undefined) {
    await writeFile(file('.erlang.cookie'), options.cluster.cookie, { mode: 0o400 })
  }

  const url = `amqp://guest:guest@127.0.0.1:${port}`
  // The server would start a port mapper that outlives it; one that is there already is ours to end.
  const epmdArgs = ['-port', String(epmdPort), '-address', '127.0.0.1']
  const companions =
    options.cluster === undefined
      ? [startChild('epmd', [...programs.epmd, ...epmdArgs], { env, outputFile: file('epmd.log') })]
      : []
  const server = await startLocalServer({
    name: 'rabbitmq-server',
    address: url,
    folder,
    command: programs.server,
    env,
    companions,
    probe: () => probeRabbitmq(url),
  })
  const [ctl, ...ctlArgs] = programs.control
  const ctlEnv = { PATH: process.env.PATH, LANG: 'C.UTF-8', ...env }
  return withControl(
    server,
    node,
    async (args) => (await promisify(execFile)(ctl, [...ctlArgs, ...args], { env: ctlEnv })).stdout,
  )
}

async function startInDocker(engine: ContainerRuntimeClient, options: RabbitmqOptions): Promise<RabbitmqServer> {
  const config = (options.config ?? []).map((line) => `${line}\n`).join('')
  const url = (hostAndPort: string): string => `amqp://guest:guest@${hostAndPort}`
  const container = await startContainer(engine, {
    service: 'rabbitmq',
    port: 5672,
    files: [{ target: '/etc/rabbitmq/conf.d/90-test.conf', content: config }],
    probe: (hostAndPort) => probeRabbitmq(url(hostAndPort)),
  })
  return withControl({ ...container, address: url(container.address) }, 'rabbit@localhost', (args) =>
    container.run(['rabbitmqctl', ...args]),
  )
}

function withControl(
  server: BrokerServer,
  node: string,
  run: (args: readonly string[]) => Promise<string>,
): RabbitmqServer {
  const rabbitmqctl: RabbitmqServer['rabbitmqctl'] = (args) => run(['--quiet', ...args])
  return {
    ...server,
    url: server.address,
    node,
    rabbitmqctl,
    closeConnections: async () => {
      await rabbitmqctl(['close_all_connections', 'closed by a test'])
    },
  }
}
