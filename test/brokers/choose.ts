import type { ContainerRuntimeClient } from 'testcontainers'
import { addressVariable, findDockerEngine, howToGet } from '../../tools/brokers/programs.mjs'
import type { BrokerKind, BrokerServer } from './kind.ts'

/** No way to a broker is there. The message says how to get one. */
export class BrokerMissing extends Error {
  override readonly name = 'BrokerMissing'
}

/** A broker to test against. */
export interface FoundBroker {
  readonly address: string
  readonly version: string
  readonly way: string
  stop(): Promise<void>
}

type FindEngine = () => Promise<ContainerRuntimeClient | undefined>
type Environment = Readonly<Record<string, string | undefined>>

/** The address in the environment, else a server started for these tests. A given address that is dead is an error. */
export async function findBroker<Server extends BrokerServer>(
  kind: BrokerKind<object, Server>,
  environment: Environment = process.env,
  findEngine: FindEngine = findDockerEngine,
): Promise<FoundBroker> {
  const variable = addressVariable[kind.name]
  const address = environment[variable]
  if (address) {
    const version = await kind.probe(address).catch((error: unknown) => {
      throw new Error(`${variable} is set, but no ${kind.name} answers there`, { cause: error })
    })
    return { address, version, way: `given in ${variable}`, stop: async () => undefined }
  }
  const { server, dockerFailure } = await start(kind, {}, findEngine)
  const way = server.way === 'docker' ? 'in Docker' : 'a program on this machine'
  return {
    address: server.address,
    version: server.version,
    way: dockerFailure === undefined ? way : `${way}, since Docker failed (${dockerFailure.message.trim()})`,
    stop: () => server.stop(),
  }
}

/** Docker, else the program on this machine, else BrokerMissing. */
export async function startServer<Options extends object, Server extends BrokerServer>(
  kind: BrokerKind<Options, Server>,
  options: Options,
  findEngine: FindEngine = findDockerEngine,
): Promise<Server> {
  return (await start(kind, options, findEngine)).server
}

/** An engine that cannot fetch the image must not keep the tests from a program that is installed. */
async function start<Options extends object, Server extends BrokerServer>(
  kind: BrokerKind<Options, Server>,
  options: Options,
  findEngine: FindEngine,
): Promise<{ server: Server; dockerFailure: Error | undefined }> {
  const engine = await findEngine()
  let dockerFailure: Error | undefined
  if (engine !== undefined) {
    try {
      return { server: await kind.startInDocker(engine, options), dockerFailure }
    } catch (error) {
      dockerFailure = error instanceof Error ? error : new Error(String(error))
    }
  }
  if (kind.isInstalled()) return { server: await kind.startLocally(options), dockerFailure }
  const failed = dockerFailure === undefined ? '' : `Docker failed (${dockerFailure.message.trim()}); `
  throw new BrokerMissing(`${failed}${howToGet[kind.name]}`, { cause: dockerFailure })
}

/** The brokers that may not be skipped: TEST_REQUIRE_BROKERS, separated by commas. */
export function requiredBrokers(environment: Environment = process.env): readonly string[] {
  const names = (environment.TEST_REQUIRE_BROKERS ?? '').split(/[\s,]+/).filter((name) => name !== '')
  const unknown = names.find((name) => !Object.hasOwn(howToGet, name))
  if (unknown !== undefined) {
    throw new Error(`TEST_REQUIRE_BROKERS names "${unknown}"; write any of ${Object.keys(howToGet).join(',')}`)
  }
  return names
}
