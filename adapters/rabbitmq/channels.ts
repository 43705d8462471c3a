import { SetupError } from '../../src/errors.ts'
import { originalOf, override } from '../../src/wrapping.ts'
import { type Callback, type ChannelLike, type ConnectionLike, invoke, isThenable } from './client.ts'

/** Ways to reach every channel that comes out of a client, now and after a reconnect. */

/** What is done with the channels of a client. */
export interface Coverage {
  /** @param openConfirmChannel opens another channel on the same connection, in confirm mode, that is not covered */
  channel(channel: ChannelLike, openConfirmChannel: () => Promise<ChannelLike>): void
  connection?(connection: ConnectionLike): void
}

/** Covers the channels of a client: those there are and those it will make. */
export function cover(client: object, coverage: Coverage): void {
  if (isChannelWrapper(client)) coverChannelWrapper(client, coverage)
  else if (isManager(client)) coverManager(client, coverage)
  else if (isRecovering(client)) coverRecovering(client, coverage)
  else if (isConnection(client)) coverConnection(client, coverage)
  else if (isChannel(client)) coverage.channel(client, () => openBeside(client))
  else {
    throw new SetupError(
      'client-unsupported',
      'this is no amqplib connection or channel, nor one of amqp-connection-manager; pass what connect() or createChannel() gave you, awaited',
    )
  }
}

function coverConnection(connection: ConnectionLike, coverage: Coverage): void {
  const openConfirmChannel = (): Promise<ChannelLike> => invoke(originalOf(connection, 'createConfirmChannel'))
  const covered = new WeakSet<object>()
  const coverChannel = (channel: unknown): void => {
    if (!isChannel(channel) || covered.has(channel)) return
    covered.add(channel)
    coverage.channel(channel, openConfirmChannel)
  }
  for (const channel of openChannels(connection)) coverChannel(channel)
  for (const name of ['createChannel', 'createConfirmChannel'] as const) {
    const create = connection[name]
    override(connection, name, (...args: unknown[]) => {
      const last = args.at(-1)
      if (typeof last === 'function') {
        args[args.length - 1] = (error: unknown, channel: unknown) => {
          coverChannel(channel)
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
      coverChannel(made)
      return made
    })
  }
  coverage.connection?.(connection)
}

/**
 * A recovering connection of amqplib hands raw ones to its setup hook and its `connect` event. All of them come out of
 * one function.
 */
function coverRecovering(client: RecoveringLike, coverage: Coverage): void {
  const core = client._core
  const open = core._openModel
  override(core, '_openModel', async () => {
    const connection = await open.call(core)
    coverConnection(connection, coverage)
    return connection
  })
  if (core._model !== null) coverConnection(core._model, coverage)
}

/** The manager's channels listen for `connect` too: ours comes first. */
function coverManager(manager: ManagerLike, coverage: Coverage): void {
  manager.prependListener('connect', ({ connection }) => coverConnection(connection, coverage))
  if (manager.connection !== undefined) coverConnection(manager.connection, coverage)
}

/** A lone channel of the manager: its setup functions see each new channel, ours first. */
function coverChannelWrapper(wrapper: ChannelWrapperLike, coverage: Coverage): void {
  const coverChannel = async (channel: ChannelLike): Promise<void> => {
    coverage.channel(channel, () => openBeside(channel))
  }
  if (!Array.isArray(wrapper._setups)) {
    throw new SetupError(
      'client-unsupported',
      'this version of amqp-connection-manager is not known; wrap its connection',
    )
  }
  wrapper._setups.unshift(coverChannel)
  if (wrapper._channel !== undefined) void coverChannel(wrapper._channel)
}

/** The channels a connection has open. amqplib keeps them in an array; channel 0 is the connection's own. */
function openChannels(connection: ConnectionLike): unknown[] {
  const slots = (connection.connection as { channels?: ({ channel?: unknown } | null)[] } | undefined)?.channels
  return Array.isArray(slots) ? slots.map((slot) => slot?.channel) : []
}

const CONFIRM_SELECT = 0x0055000a
const CONFIRM_SELECT_OK = 0x0055000b

/**
 * Another channel on the connection of a lone one, in confirm mode. A channel does not know what made it, so this goes
 * the way amqplib's `createConfirmChannel` goes itself.
 */
async function openBeside(channel: ChannelLike): Promise<ChannelLike> {
  type Internals = ChannelLike & {
    open(callback?: Callback): unknown
    rpc(method: number, fields: object, expect: number, callback?: Callback): unknown
    pushConfirmCallback(callback: unknown): void
  }
  const Constructor = channel.constructor as new (connection: object) => Internals
  const beside = new Constructor(channel.connection)
  if (typeof beside.open !== 'function' || typeof beside.rpc !== 'function') {
    throw new SetupError(
      'dead-letters-unavailable',
      'this channel cannot open another one; wrap its connection instead',
    )
  }
  await invoke(beside.open.bind(beside))
  await invoke(beside.rpc.bind(beside), CONFIRM_SELECT, { nowait: false }, CONFIRM_SELECT_OK)
  // A plain channel's publish takes no callback; one in confirm mode notes it right behind the publish.
  if (!('waitForConfirms' in beside)) {
    const publish = beside.publish
    beside.publish = (exchange, routingKey, content, options, callback) => {
      const result = publish.call(beside, exchange, routingKey, content, options)
      beside.pushConfirmCallback(callback)
      return result
    }
  }
  return beside
}

interface RecoveringLike extends ConnectionLike {
  readonly _core: { _openModel(): Promise<ConnectionLike>; readonly _model: ConnectionLike | null }
}

interface ManagerLike {
  readonly connection: ConnectionLike | undefined
  prependListener(event: 'connect', listener: (event: { connection: ConnectionLike }) => void): unknown
}

interface ChannelWrapperLike {
  readonly _setups: ((channel: ChannelLike) => Promise<void>)[]
  readonly _channel?: ChannelLike
}

function has(value: unknown, ...methods: readonly string[]): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function')
  )
}

function isChannel(value: unknown): value is ChannelLike {
  return has(value, 'publish', 'consume', 'ack', 'nack', 'cancel', 'get', 'assertQueue')
}

function isConnection(value: unknown): value is ConnectionLike {
  return has(value, 'createChannel', 'createConfirmChannel')
}

function isRecovering(value: unknown): value is RecoveringLike {
  return isConnection(value) && has((value as Partial<RecoveringLike>)._core, '_openModel')
}

function isManager(value: unknown): value is ManagerLike {
  return has(value, 'createChannel', 'isConnected', 'prependListener')
}

function isChannelWrapper(value: unknown): value is ChannelWrapperLike {
  return has(value, 'addSetup', 'publish', 'waitForConnect')
}
