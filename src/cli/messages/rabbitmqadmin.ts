import { address } from '../../message.ts'
import { base64, type CliMessage, object, splitToken, text } from './message-json.ts'

/** RPC answers to this pseudo-queue, whose suffix the broker rewrites: only the name itself is signed. */
const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to'

const PROPERTIES = [
  ['type', 'type'],
  ['content_type', 'contentType'],
  ['content_encoding', 'contentEncoding'],
  ['reply_to', 'replyTo'],
  ['correlation_id', 'correlationId'],
  ['message_id', 'messageId'],
  ['app_id', 'appId'],
] as const

/**
 * A message of what `rabbitmqadmin --format=raw_json get queue=…` prints, which is the answer of RabbitMQ's management API.
 * The queue's name is not in it.
 */
export function fromRabbitmqadmin(value: unknown): CliMessage {
  const message = object(value, 'a message of rabbitmqadmin get')
  const { payload, payload_encoding: encoding } = message
  // Without any properties the API writes an empty list.
  const properties = Array.isArray(message.properties) ? {} : object(message.properties ?? {}, 'properties')
  const headers = Array.isArray(properties.headers) ? {} : object(properties.headers ?? {}, 'headers')
  const destination = address('amqp', text(message.exchange, 'exchange'), text(message.routing_key, 'routing_key'))
  return {
    destination,
    payload: encoding === 'base64' ? base64(payload, 'payload') : Buffer.from(text(payload, 'payload')),
    properties: propertiesOfApi(properties),
    ...splitToken(headers),
  }
}

/** Names as the API writes them, `content_type`, or as amqplib does, `contentType`. */
export function propertiesOfApi(properties: Readonly<Record<string, unknown>>): CliMessage['properties'] {
  const entries = PROPERTIES.flatMap(([name, property]) => {
    const value = properties[name] ?? properties[property]
    if (value === undefined) return []
    const content = text(value, name)
    return [[property, property === 'replyTo' && content.startsWith(DIRECT_REPLY_TO) ? DIRECT_REPLY_TO : content]]
  })
  return Object.fromEntries(entries) as CliMessage['properties']
}
