import { type CoveredProperties, type Headers, isReservedHeader, TOKEN_HEADER } from '../../message.ts'
import { CommandError, EXIT } from '../output.ts'

/**
 * A message as the commands read and write it (docs/cli.md):
 *
 *     { "destination": "amqp:orders/order.created", "queue": "orders", "deliveredBy": ["amqp:orders/order.created"],
 *       "payload": "text" or null, or "payloadBase64": "…",
 *       "properties": { "contentType": "application/json" }, "headers": { "x-tenant": "eu" }, "token": "…" }
 */
export interface CliMessage {
  /** the address it was sent to */
  readonly destination?: string
  /** the queue it was read from */
  readonly queue?: string
  /** the addresses it came by; without it, the destination */
  readonly deliveredBy?: readonly string[]
  readonly payload: Uint8Array | null
  readonly properties: CoveredProperties
  /** without the token */
  readonly headers: Headers
  /** as it came, so usually a string; several of a name are a list */
  readonly token: unknown
}

const MEMBERS = ['destination', 'queue', 'deliveredBy', 'payload', 'payloadBase64', 'properties', 'headers', 'token']
const PROPERTIES = ['key', 'type', 'contentType', 'contentEncoding', 'replyTo', 'correlationId', 'messageId', 'appId']

/** Everything strict: a member that is overlooked could be what the matter is. */
export function fromMessageJson(value: unknown): CliMessage {
  const message = object(value, 'a message')
  only(message, MEMBERS, 'a message')
  const { destination, queue, deliveredBy, properties = {}, headers = {}, token } = message
  const fields = object(headers, 'headers')
  if (token !== undefined && fields[TOKEN_HEADER] !== undefined) {
    throw wrong('the token stands twice, as "token" and among the headers: write one')
  }
  return {
    ...(destination !== undefined && { destination: text(destination, 'destination') }),
    ...(queue !== undefined && { queue: text(queue, 'queue') }),
    ...(deliveredBy !== undefined && {
      deliveredBy: list(deliveredBy, 'deliveredBy').map((each) => text(each, 'deliveredBy')),
    }),
    payload: payloadOf(message),
    properties: propertiesOf(properties),
    ...splitToken(fields, token),
  }
}

/** The same as JSON, with the payload as text where it is UTF-8. */
export function toMessageJson(message: CliMessage): object {
  const { payload, token, ...rest } = message
  return {
    ...rest,
    ...(payload === null ? { payload: null } : payloadJson(payload)),
    ...(token !== undefined && { token }),
  }
}

/** Takes the token out of the headers, which have no prototype then: `__proto__` is a name like any other. */
export function splitToken(
  fields: Readonly<Record<string, unknown>>,
  token?: unknown,
): Pick<CliMessage, 'headers' | 'token'> {
  const headers = Object.assign(Object.create(null) as Record<string, unknown>, fields)
  const found = token ?? headers[TOKEN_HEADER]
  delete headers[TOKEN_HEADER]
  return { headers: headers as Headers, token: found }
}

/** Whether headers say that it is a dead letter. */
export function isDeadLetter({ headers }: CliMessage): boolean {
  return Object.keys(headers).some(isReservedHeader)
}

function payloadJson(payload: Uint8Array): object {
  try {
    return { payload: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload) }
  } catch {
    return { payloadBase64: Buffer.from(payload).toString('base64') }
  }
}

function payloadOf({ payload, payloadBase64 }: Readonly<Record<string, unknown>>): Uint8Array | null {
  if ((payload === undefined) === (payloadBase64 === undefined)) {
    throw wrong('write either "payload", a text or null, or "payloadBase64"')
  }
  if (payload === null) return null
  if (payload !== undefined) return Buffer.from(text(payload, 'payload'))
  return base64(payloadBase64, 'payloadBase64')
}

export function base64(value: unknown, what: string): Buffer {
  const encoded = text(value, what)
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.toString('base64') !== encoded) throw wrong(`${what} is not base64`)
  return bytes
}

function propertiesOf(value: unknown): CoveredProperties {
  const properties = object(value, 'properties')
  only(properties, PROPERTIES, 'properties')
  for (const name of Object.keys(properties)) text(properties[name], name)
  return properties as CoveredProperties
}

export function object(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw wrong(`${what} must be an object`)
}

export function list(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw wrong(`${what} must be a list`)
}

export function text(value: unknown, what: string): string {
  if (typeof value === 'string') return value
  throw wrong(`${what} must be a string`)
}

function only(value: Readonly<Record<string, unknown>>, names: readonly string[], what: string): void {
  const stranger = Object.keys(value).find((name) => !names.includes(name))
  if (stranger !== undefined)
    throw wrong(`${what}: ${JSON.stringify(stranger.slice(0, 60))} is not known; there are ${names.join(', ')}`)
}

export function wrong(message: string): CommandError {
  return new CommandError(`the message on stdin: ${message}`, {
    hint: 'docs/cli.md shows a message; --from kcat and --from rabbitmqadmin read what those print',
    exitCode: EXIT.usage,
  })
}
