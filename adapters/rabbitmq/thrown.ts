import type { ChannelLike } from './client.ts'

/** AMQP reply codes that amqplib ends a channel with when a callback throws. */
const UNEXPECTED_FRAME = 505
const INTERNAL_ERROR = 541

/**
 * What amqplib does with what a delivery callback throws, for one that was called after a wait: it tells the listeners of
 * `handler-error` (from 1.0.7 on), or else ends the channel with it.
 */
export function endAsThrown(channel: ChannelLike, thrown: unknown): void {
  if (channel.listenerCount('handler-error') > 0) setImmediate(() => channel.emit('handler-error', thrown, 'delivery'))
  else endWith(channel, thrown)
}

export function endWith(channel: ChannelLike, thrown: unknown): void {
  const end = channel.closeWithError
  if (end === undefined) throw thrown
  if (thrown instanceof Error) {
    end.call(channel, undefined, 'Error while processing message', INTERNAL_ERROR, thrown)
  } else if (typeof thrown === 'string') {
    end.call(channel, undefined, thrown, UNEXPECTED_FRAME, new Error(thrown))
  } else {
    const reason = 'Internal error while processing message'
    end.call(channel, undefined, reason, INTERNAL_ERROR, new Error(String(thrown)))
  }
}
