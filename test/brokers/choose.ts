import type { ContainerRuntimeClient } from 'testcontainers'
import type { BrokerKind, BrokerServer } from './kind.ts'
import { addressVariable, findDockerEngine, howToGet } from './programs.mjs'

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
  const server = await startServer(kind, {}, findEngine)
  const way = server.way === 'docker' ? 'in Docker' : 'a program on this machine'
  return { address: server.address, version: server.version, way, stop: () => server.stop() }
}

/** Docker, else the program on this machine, else BrokerMissing. */
export async function startServer<Options extends object, Server extends BrokerServer>(
  kind: BrokerKind<Options, Server>,
  options: Options,
  findEngine: FindEngine = findDockerEngine,
): Promise<Server> {
  const engine = await findEngine()
  let dockerFailure: unknown
  if (engine !== undefined) {
    try {
      return await kind.startInDocker(engine, options)
    } catch (error) {
      // An engine that cannot fetch the image must not keep the tests from a program that is installed.
      dockerFailure = error
    }
  }
  if (kind.isInstalled()) return await kind.startLocally(options)
  if (dockerFailure !== undefined) {
    throw new BrokerMissing(`Docker answers but could not start it; ${howToGet[kind.name]}`, { cause: dockerFailure })
  }
  throw new BrokerMissing(howToGet[kind.name])
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
