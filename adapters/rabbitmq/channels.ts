import { SetupError } from '../../src/errors.ts'
import { originalOf, override } from '../../src/wrapping.ts'
import { openBeside } from './beside.ts'
import { type Callback, type ChannelLike, type ConnectionLike, invoke, isThenable } from './client.ts'
import {
  type ChannelWrapperLike,
  isChannel,
  isChannelWrapper,
  isConnection,
  isManager,
  isRecovering,
  type ManagerLike,
  type RecoveringLike,
} from './clients.ts'

/** Ways to reach every channel that comes out of a client, now and after a reconnect. */

/** What is done with the channels of a client. */
export interface Coverage {
  /** Refuses a channel that is open already, before any other is covered. */
  check?(channel: ChannelLike): void
  /** @param openConfirmChannel opens another channel on the same connection, in confirm mode, that is not covered */
  channel(channel: ChannelLike, openConfirmChannel: () => Promise<ChannelLike>): void
  connection?(connection: ConnectionLike): void
}

/**
 * Before anything is remembered on it.
 *
 * @throws SetupError `client-unsupported`
 */
export function requireClient(client: unknown): void {
  const kinds = [isChannelWrapper, isManager, isRecovering, isConnection, isChannel]
  if (!kinds.some((isKind) => isKind(client))) throw unsupported('this is')
}

/**
 * Covers the channels of a client: those there are and those it will make.
 */
export function cover(client: object, coverage: Coverage): void {
  if (isChannelWrapper(client)) coverChannelWrapper(client, coverage)
  else if (isManager(client)) coverManager(client, coverage)
  else if (isRecovering(client)) coverRecovering(client, coverage)
  else if (isConnection(client)) coverConnection(client, coverage)
  else if (isChannel(client)) {
    coverage.check?.(client)
    coverage.channel(client, () => openBeside(client))
  }
}

function coverConnection(connection: ConnectionLike, coverage: Coverage): void {
  const openConfirmChannel = (): Promise<ChannelLike> => invoke(originalOf(connection, 'createConfirmChannel'))
  const covered = new WeakSet<object>()
  const coverChannel = (channel: unknown): void => {
    if (!isChannel(channel)) throw unsupported('this connection gave')
    if (covered.has(channel)) return
    covered.add(channel)
    coverage.channel(channel, openConfirmChannel)
  }
  const open = openChannels(connection)
  for (const channel of open) coverage.check?.(channel)
  for (const channel of open) coverChannel(channel)
  for (const name of ['createChannel', 'createConfirmChannel'] as const) {
    const create = connection[name]
    override(connection, name, (...args: unknown[]) => {
      const last = args.at(-1)
      if (typeof last === 'function') {
        args[args.length - 1] = (error: unknown, channel: unknown) => {
          if (!error) coverChannel(channel)
          ;(last as Callback)(error, channel)
        }
      }
      const made = create.apply(connection, args)
      if (isThenable(made)) {
        return made.then((channel) => {
          coverChannel(channel)
          return channel
        })
      }
      // The callback API gives the channel at once, too.
      if (made !== undefined) coverChannel(made)
      return made
    })
  }
  coverage.connection?.(connection)
}

/** A recovering connection of amqplib hands raw ones to its setup hook and its `connect` event, and makes channels of them. */
function coverRecovering(client: RecoveringLike, coverage: Coverage): void {
  const core = client._core
  const covered = new WeakSet<object>()
  const coverOnce = (connection: ConnectionLike): void => {
    if (!isConnection(connection)) throw unsupported('this recovering connection gave')
    if (covered.has(connection)) return
    coverConnection(connection, coverage)
    covered.add(connection)
  }
  if (core._model !== null) coverOnce(core._model)
  const open = core._openModel
  override(core, '_openModel', async () => {
    const connection = await open.call(core)
    coverOnce(connection)
    return connection
  })
  // One that was being opened when the client was wrapped comes out here.
  core.prependListener('connect', coverOnce)
}

/** The manager's channels listen for `connect` too: ours comes first. */
function coverManager(manager: ManagerLike, coverage: Coverage): void {
  if (manager.connection !== undefined) coverConnection(manager.connection, coverage)
  manager.prependListener('connect', ({ connection }) => {
    if (!isConnection(connection)) throw unsupported('this connection manager gave')
    coverConnection(connection, coverage)
  })
}

/** A lone channel of the manager: its setup functions see each new channel, ours first. */
function coverChannelWrapper(wrapper: ChannelWrapperLike, coverage: Coverage): void {
  const coverChannel = (channel: ChannelLike): void => {
    if (!isChannel(channel)) throw unsupported('this channel wrapper gave')
    coverage.channel(channel, () => openBeside(channel))
  }
  const open = wrapper._channel
  if (open !== undefined) {
    coverage.check?.(open)
    coverChannel(open)
  }
  wrapper._setups.unshift(async (channel) => coverChannel(channel))
}

/** The channels a connection has open. amqplib keeps them in an array; channel 0 is the connection's own. */
export function openChannels(connection: ConnectionLike): ChannelLike[] {
  const slots = (connection.connection as { channels?: ({ channel?: unknown } | null)[] } | undefined)?.channels
  return Array.isArray(slots) ? slots.map((slot) => slot?.channel).filter(isChannel) : []
}

/** @param what what was given, as the beginning of a sentence */
function unsupported(what: string): SetupError {
  return new SetupError(
    'client-unsupported',
    `${what} no connection or channel of amqplib 0.10 to 2, and none of amqp-connection-manager 4 or 5, as far as can be told; pass what their connect() or createChannel() gave you, awaited`,
  )
}
