import type { ChannelLike, ConnectionLike } from './client.ts'

/** Which client is which, by what it can do: classes differ between versions, and between two copies of one. */

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

export function isChannel(value: unknown): value is ChannelLike {
  return has(value, 'publish', 'consume', 'ack', 'nack', 'cancel', 'get', 'assertQueue')
}

export function isConnection(value: unknown): value is ConnectionLike {
  return has(value, 'createChannel', 'createConfirmChannel', 'close')
}

export function isRecovering(value: unknown): value is RecoveringLike {
  return isConnection(value) && has((value as Partial<RecoveringLike>)._core, '_openModel', 'prependListener')
}

/** A connection that reconnects in a way nobody knows here: what it makes later would go uncovered. */
export function isUnknownRecovering(value: unknown): boolean {
  return isConnection(value) && has(value, 'waitForConnect') && !isRecovering(value)
}

export function isManager(value: unknown): value is ManagerLike {
  return has(value, 'createChannel', 'isConnected', 'prependListener')
}

export function isChannelWrapper(value: unknown): value is ChannelWrapperLike {
  return has(value, 'addSetup', 'publish', 'waitForConnect')
}

function has(value: unknown, ...methods: readonly string[]): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function')
  )
}
