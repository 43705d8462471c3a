import type { ContainerRuntimeClient } from 'testcontainers'
import type { BrokerName } from '../../tools/brokers/programs.mjs'

export type { BrokerName } from '../../tools/brokers/programs.mjs'

/** A broker of a test's own, on 127.0.0.1, empty when it starts. */
export interface BrokerServer {
  /** Where clients connect: a URL, or for Kafka `host:port`. */
  readonly address: string
  readonly version: string
  readonly way: 'docker' | 'local'
  /** SIGKILL: what was not on disk is lost, clients see their connections break. */
  kill(): Promise<void>
  /** Starts again at the same address with the same data; ends it in good order first if it still runs. */
  restart(): Promise<void>
  /** Ends it for good and removes its data. */
  stop(): Promise<void>
}

/** How one kind of broker is reached and started. */
export interface BrokerKind<Options, Server extends BrokerServer> {
  readonly name: BrokerName
  /** The version of what serves at `address`. Rejects when nothing does. */
  probe(address: string): Promise<string>
  isInstalled(): boolean
  startLocally(options: Options): Promise<Server>
  startInDocker(engine: ContainerRuntimeClient, options: Options): Promise<Server>
}
