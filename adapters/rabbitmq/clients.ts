import type { ChannelLike, ConnectionLike } from './client.ts'

/**
 * Which client is which. Classes differ between versions, between two copies of one and in subclasses, and methods of these
 * names are on other clients too: so each is known by what only it has, and anything else is refused.
 */

/** A connection of amqplib that reconnects by itself. All its raw connections come out of one function. */
export interface RecoveringLike extends ConnectionLike {
  readonly _core: {
    _openModel(): Promise<ConnectionLike>
    readonly _model: ConnectionLike | null
    prependListener(event: 'connect', listener: (connection: ConnectionLike) => void): unknown
  }
}

/** amqp-connection-manager's manager. */
export interface ManagerLike {
  readonly connection: ConnectionLike | undefined
  prependListener(event: 'connect', listener: (event: { connection: ConnectionLike }) => void): unknown
}

/** One of its channels, which outlives connections. */
export interface ChannelWrapperLike {
  readonly _setups: ((channel: ChannelLike) => Promise<void>)[]
  readonly _channel?: ChannelLike
}

/**
 * amqplib's low-level connection, which every channel and every plain connection has: other clients call their methods
 * alike, but have none of these. The same in 0.10.0 to 2.3.
 */
export function isLowLevel(value: unknown): boolean {
  return (
    has(value, 'freshChannel', 'releaseChannel', 'sendMethod', 'sendMessage', 'closeBecause', 'closeWithError') &&
    Array.isArray((value as { channels?: unknown }).channels)
  )
}

export function isChannel(value: unknown): value is ChannelLike {
  return (
    has(value, 'publish', 'consume', 'ack', 'nack', 'cancel', 'get', 'assertQueue') &&
    isLowLevel((value as { connection?: unknown }).connection)
  )
}

export function isConnection(value: unknown): value is ConnectionLike {
  return (
    has(value, 'createChannel', 'createConfirmChannel', 'close') &&
    isLowLevel((value as { connection?: unknown }).connection)
  )
}

/** Since amqplib 2.1. */
export function isRecovering(value: unknown): value is RecoveringLike {
  if (!has(value, 'createChannel', 'createConfirmChannel', 'close', 'waitForConnect')) return false
  const { _core: core } = value as Partial<RecoveringLike>
  return has(core, '_openModel', 'prependListener') && (core?._model === null || isConnection(core?._model))
}

/** amqp-connection-manager 4 and 5. */
export function isManager(value: unknown): value is ManagerLike {
  return (
    has(value, 'createChannel', 'isConnected', 'connect', 'reconnect', 'prependListener') &&
    Array.isArray((value as { _channels?: unknown })._channels)
  )
}

export function isChannelWrapper(value: unknown): value is ChannelWrapperLike {
  if (!has(value, 'addSetup', 'publish', 'waitForConnect')) return false
  const { _setups: setups, _connectionManager: manager } = value as { _setups?: unknown; _connectionManager?: unknown }
  return Array.isArray(setups) && isManager(manager)
}

function has(value: unknown, ...methods: readonly string[]): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function')
  )
}
