import { originalHeaderName } from '../../dead-letter.ts'
import { isReservedHeader } from '../../message.ts'
import { type CliMessage, splitToken, wrong } from './message-json.ts'
import { propertiesOfApi } from './rabbitmqadmin.ts'

/**
 * A dead letter for RabbitMQ whose headers did not fit was packed: its body is the length of a JSON text as four bytes, that
 * text `{ properties, headers, explanation }`, and the original body. Any other message is given back as it is.
 */
export function unpacked(letter: CliMessage): CliMessage {
  if (letter.headers['queueauth-packed'] !== 'v1' || letter.payload === null) return letter
  const body = Buffer.from(letter.payload)
  const end = body.length < 4 ? Number.POSITIVE_INFINITY : 4 + body.readUInt32BE(0)
  if (end > body.length) throw wrong('it is a packed dead letter, but its body was cut')
  let content: { readonly [member: string]: Readonly<Record<string, unknown>> | undefined }
  try {
    content = JSON.parse(body.toString('utf8', 4, end), unpackBytes) as typeof content
  } catch {
    throw wrong('it is a packed dead letter, but its body was changed')
  }
  const { headers, token } = splitToken(content.headers ?? {})
  const kept: Record<string, unknown> = Object.create(null)
  // What was planted in the original is not what the consumer says.
  for (const [name, value] of Object.entries(headers)) {
    kept[isReservedHeader(name) ? originalHeaderName(name) : name] = value
  }
  return {
    ...letter,
    payload: body.subarray(end),
    properties: propertiesOfApi(content.properties ?? {}),
    headers: Object.assign(kept, letter.headers, content.explanation) as CliMessage['headers'],
    token,
  }
}

function unpackBytes(_: string, value: unknown): unknown {
  const packed = value as { '!'?: unknown; value?: unknown } | null
  const isBytes =
    typeof packed === 'object' && packed !== null && packed['!'] === 'bytes' && typeof packed.value === 'string'
  return isBytes ? Buffer.from(packed.value as string, 'base64') : value
}
