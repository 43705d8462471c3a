import type { CoveredProperties, Headers, HeaderValue } from '../../src/message.ts'

/** The preimage, written down a second time from docs/spec.md in another manner. */
export function preimage(properties: CoveredProperties, headers: Headers, names: readonly string[]): Buffer {
  const { key, type, contentType, contentEncoding, replyTo, correlationId, messageId, appId } = properties
  const parts: [string, HeaderValue][] = [
    ['@key', key],
    ['@type', type],
    ['@content-type', contentType],
    ['@content-encoding', contentEncoding],
    ['@reply-to', replyTo],
    ['@correlation-id', correlationId],
    ['@message-id', messageId],
    ['@app-id', appId],
    ...names.map((name): [string, HeaderValue] => [name, headers[name]]),
  ]
  const part = ([name, value]: [string, HeaderValue]): Buffer =>
    Buffer.concat([
      sized(name),
      value === undefined ? Buffer.of(0) : Buffer.concat([Buffer.of(1), sized(typed(value))]),
    ])
  return Buffer.concat([Buffer.from('queueauth-v1/parts\0'), uint32(parts.length), ...parts.map(part)])
}

function typed(value: HeaderValue): Buffer {
  if (value === null) return Buffer.from('z')
  if (typeof value === 'boolean') return Buffer.from(value ? 't' : 'f')
  if (typeof value === 'number') return Buffer.concat([Buffer.from('n'), sized(JSON.stringify(value))])
  if (typeof value === 'string' || value instanceof Uint8Array) return Buffer.concat([Buffer.from('b'), sized(value)])
  if (Array.isArray(value)) return Buffer.concat([Buffer.from('l'), uint32(value.length), ...value.map(typed)])
  const members = Object.entries(value as Headers).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const pairs = members.flatMap(([name, member]) => [sized(name), typed(member)])
  return Buffer.concat([Buffer.from('m'), uint32(members.length), ...pairs])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function sized(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string)
  return Buffer.concat([uint32(bytes.length), bytes])
}
