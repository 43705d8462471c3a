import { override } from '../../src/wrapping.ts'
import type { CommandLike, RedisClient } from './client.ts'
import { named, ownName } from './own-command.ts'
import { Watch } from './silence.ts'

/**
 * A connection of our own to the same server, that no wrapper covers, that leaves keys as they are and replies plain. When it
 * owes a reply for longer than it should, it is made anew, and what was not answered is sent again.
 *
 * @param blockMs how long a command may block at the server
 */
export function openConnection(client: RedisClient, blockMs = 0): RedisClient {
  const connection = duplicate(client)
  keepApart(connection, new Watch(connection, blockMs))
  return connection
}

function duplicate(client: RedisClient): RedisClient {
  const plain = { keyPrefix: '', protocol: 2, replyMapping: 'legacy' }
  const override = {
    ...plain,
    lazyConnect: false,
    enableOfflineQueue: true,
    enableAutoPipelining: false,
    // What was not answered when the connection broke is sent again: else its promise never settles.
    autoResendUnfulfilledCommands: true,
    // How long is too long for a read that blocks is known here, not where the client was made.
    commandTimeout: undefined,
    blockingTimeout: undefined,
  }
  const duplicate = client.duplicate as (...args: unknown[]) => RedisClient
  if (!client.isCluster) return duplicate.call(client, override)
  // What is asked for is how things are, not how they were when a replica heard of them.
  const redisOptions = { ...plain, commandTimeout: undefined, blockingTimeout: undefined }
  return duplicate.call(client, [], { ...override, scaleReads: 'master', redisOptions })
}

type Call = (command: string, ...args: (string | Buffer | number)[]) => Promise<unknown>

function keepApart(connection: RedisClient, watch: Watch): void {
  const send = connection.sendCommand.bind(connection)
  override(connection, 'sendCommand', (command: CommandLike, ...rest: unknown[]) => {
    named(command)
    return send(command, ...rest)
  })
  for (const name of ['call', 'callBuffer'] as const) {
    const call = connection[name].bind(connection) as Call
    override(connection, name, (command, ...args) => watch.over(call(ownName(command), ...args)))
  }
}
