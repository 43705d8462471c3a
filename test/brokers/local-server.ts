import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from '../../tools/brokers/programs.mjs'
import { type Child, folders, startChild } from './child.ts'
import type { BrokerServer } from './kind.ts'
import { untilReady } from './ready.ts'

export interface LocalServerOptions {
  readonly name: string
  readonly address: string
  /** All it writes stays in here; removed by `stop`. */
  readonly folder: string
  readonly command: Command
  readonly env?: Readonly<Record<string, string>>
  /** What must run as long as the server. */
  readonly companions?: readonly Child[]
  /** The version, once it serves. */
  readonly probe: () => Promise<string>
}

/** A program on this machine as a broker of the test's own. */
export async function startLocalServer(options: LocalServerOptions): Promise<BrokerServer> {
  const { name, address, folder, command, env = {}, companions = [], probe } = options
  const start = (): Child => startChild(name, command, { env, outputFile: join(folder, 'output.log') })
  let server = start()
  const stop = async (): Promise<void> => {
    await server.stop()
    for (const companion of companions) await companion.stop()
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    folders.delete(folder)
  }
  const version = await untilReady(server, probe).catch(async (error: unknown) => {
    await stop()
    throw error
  })
  return {
    address,
    version,
    way: 'local',
    kill: () => server.kill(),
    restart: async () => {
      await server.stop()
      server = start()
      await untilReady(server, probe)
    },
    stop,
  }
}

export async function temporaryFolder(broker: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `queue-key-auth-${broker}-`))
  folders.add(folder)
  return folder
}
