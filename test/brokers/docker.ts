import { readFileSync } from 'node:fs'
import { type ContainerRuntimeClient, GenericContainer } from 'testcontainers'
import type { BrokerName, BrokerServer } from './kind.ts'
import { freePort, untilReady } from './ready.ts'

export interface ContainerOptions {
  /** The service of docker-compose.test.yml whose image to run. */
  readonly service: BrokerName
  /** The port inside the container. */
  readonly port: number
  /** Variables for the container, given `host:port` as clients will reach it. */
  readonly environment?: (hostAndPort: string) => Record<string, string>
  readonly command?: readonly string[]
  readonly files?: readonly { readonly target: string; readonly content: string }[]
  /** The version, once the broker answers at `host:port`. */
  readonly probe: (hostAndPort: string) => Promise<string>
}

export interface BrokerContainer extends BrokerServer {
  /** Runs a program inside and gives what it printed. Rejects when it fails. */
  run(command: readonly string[]): Promise<string>
}

/** The port on the outside is chosen here and stays over a restart, which a port chosen by Docker does not. */
export async function startContainer(
  engine: ContainerRuntimeClient,
  options: ContainerOptions,
): Promise<BrokerContainer> {
  const { host } = engine.info.containerRuntime
  const hostPort = await freePort()
  const address = `${host === 'localhost' ? '127.0.0.1' : host}:${hostPort}`
  const definition = new PrivateContainer(imageOf(options.service))
    .withOnePort(options.port, hostPort, host)
    .withEnvironment(options.environment?.(address) ?? {})
    .withCopyContentToContainer([...(options.files ?? [])])
    .withStartupTimeout(120_000)
  if (options.command !== undefined) definition.withCommand([...options.command])
  const container = await definition.start()
  const starting = {
    name: `container ${container.getId().slice(0, 12)} of ${options.service}`,
    hasEnded: () => false,
    lastOutput: () => 'its own output is in docker logs',
  }
  const ready = (): Promise<string> => untilReady(starting, () => options.probe(address))
  const version = await ready().catch(async (error: unknown) => {
    await container.stop()
    throw error
  })
  return {
    address,
    version,
    way: 'docker',
    kill: async () => {
      await engine.container.getById(container.getId()).kill()
    },
    restart: async () => {
      await container.restart()
      await ready()
    },
    stop: async () => {
      await container.stop()
    },
    run: async (command) => {
      const { exitCode, output } = await container.exec([...command])
      if (exitCode !== 0) throw new Error(`${command.join(' ')} ended with ${exitCode}: ${output}`)
      return output
    },
  }
}

/** The image a service of docker-compose.test.yml runs: the one place where images are named. */
export function imageOf(service: BrokerName): string {
  const compose = readFileSync(new URL('../../docker-compose.test.yml', import.meta.url), 'utf8')
  const image = compose.match(new RegExp(`^ {2}${service}:\\n(?: {4}.*\\n)*? {4}image: (\\S+)$`, 'm'))?.[1]
  if (image === undefined) throw new Error(`docker-compose.test.yml has no image for ${service}`)
  return image
}

class PrivateContainer extends GenericContainer {
  withOnePort(port: number, hostPort: number, host: string): this {
    this.withExposedPorts({ container: port, host: hostPort })
    // testcontainers publishes on every interface; an engine on this machine need not.
    if (host === 'localhost') {
      this.hostConfig.PortBindings = { [`${port}/tcp`]: [{ HostIp: '127.0.0.1', HostPort: String(hostPort) }] }
    }
    return this
  }
}
