import { SetupError } from '../../src/errors.ts'
import { type Callback, type ChannelLike, invoke } from './client.ts'

const CONFIRM_SELECT = 0x0055000a
const CONFIRM_SELECT_OK = 0x0055000b

type Internals = ChannelLike & {
  open(callback?: Callback): unknown
  rpc(method: number, fields: object, expect: number, callback?: Callback): unknown
  pushConfirmCallback(callback: unknown): void
}

/**
 * Another channel on the connection of a lone one, in confirm mode. A channel does not know what made it, so this goes
 * the way amqplib's `createConfirmChannel` goes itself.
 *
 * @throws SetupError `dead-letters-unavailable`
 */
export async function openBeside(channel: ChannelLike): Promise<ChannelLike> {
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
    const { publish } = beside
    beside.publish = (exchange, routingKey, content, options, callback) => {
      const result = publish.call(beside, exchange, routingKey, content, options)
      beside.pushConfirmCallback(callback)
      return result
    }
  }
  return beside
}
