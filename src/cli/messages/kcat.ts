import { address } from '../../message.ts'
import { type CliMessage, list, object, splitToken, text, wrong } from './message-json.ts'

/**
 * What `kcat -C -J` prints: a line for each record, with `headers` as a list of names and values one after the other, or as an
 * object of lists. kcat writes bytes that are no UTF-8 as they are, which is no JSON.
 */
export function fromKcat(value: unknown): CliMessage {
  const record = object(value, 'a record of kcat -J')
  if ('payload_error' in record || 'value_schema_id' in record || 'key_schema_id' in record) {
    throw wrong('kcat decoded it with -s, so its bytes are lost: leave -s out')
  }
  const topic = text(record.topic, 'topic')
  const headers = new Map<string, unknown[]>()
  for (const [name, each] of pairs(record.headers ?? [])) headers.set(name, [...(headers.get(name) ?? []), each])
  const fields = Object.fromEntries([...headers].map(([name, all]) => [name, all.length === 1 ? all[0] : all]))
  return {
    destination: address('kafka', topic),
    queue: topic,
    payload: typeof record.payload === 'string' ? Buffer.from(record.payload) : null,
    properties: propertiesOf(record.key, fields),
    ...splitToken(fields),
  }
}

function pairs(headers: unknown): (readonly [string, unknown])[] {
  if (!Array.isArray(headers)) {
    return Object.entries(object(headers, 'headers')).flatMap(([name, all]) =>
      list(all, 'headers').map((each) => [name, each] as const),
    )
  }
  if (headers.length % 2 !== 0) throw wrong('headers must be names and values one after the other')
  return headers.flatMap((name, index) =>
    index % 2 === 0 ? [[text(name, 'headers'), headers[index + 1]] as const] : [],
  )
}

/** As the adapter for Kafka has it: these two headers are properties when they are texts, and stay headers, too. */
function propertiesOf(key: unknown, headers: Readonly<Record<string, unknown>>): CliMessage['properties'] {
  const contentType = headers['content-type']
  const contentEncoding = headers['content-encoding']
  return {
    ...(typeof key === 'string' && { key }),
    ...(typeof contentType === 'string' && { contentType }),
    ...(typeof contentEncoding === 'string' && { contentEncoding }),
  }
}
