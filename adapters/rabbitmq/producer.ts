import { TOKEN_HEADER } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import { inspectionOf } from '../../src/verdict.ts'
import { override } from '../../src/wrapping.ts'
import type { ChannelLike, PublishOptions } from './client.ts'
import { destinationOf, toMessage, withToken } from './message.ts'

export interface ProducerOptions {
  /**
   * Leaves the token of a message that has one: for passing a message on, to a retry queue, as its first sender signed
   * it. Default: every publish gets a token of its own.
   */
  readonly preserveToken?: boolean
}

/** Signs what a channel publishes. `sendToQueue` calls `publish` on the channel, so this is the one place. */
export function signPublishes(channel: ChannelLike, signer: Signer, options: ProducerOptions): void {
  const publish = channel.publish
  override(channel, 'publish', (exchange = '', routingKey = '', content, given, ...rest) => {
    // amqplib turns these down before anything is sent, with errors of its own.
    if (typeof exchange !== 'string' || typeof routingKey !== 'string' || !Buffer.isBuffer(content)) {
      if (!Buffer.isBuffer(content)) throw new TypeError('content is not a buffer')
      throw new TypeError('exchange and routing key must be strings')
    }
    const asked = (given ?? {}) as PublishOptions
    if (options.preserveToken && asked.headers?.[TOKEN_HEADER] !== undefined) {
      // Its id counts as not handled from now on, or its next delivery would be skipped as a duplicate.
      void inspectionOf(asked.headers)?.release()
      return publish.call(channel, exchange, routingKey, content, given, ...rest)
    }
    const token = signer.sign(toMessage(destinationOf(exchange, routingKey), content, asked))
    return publish.call(channel, exchange, routingKey, content, withToken(asked, token), ...rest)
  })
}
