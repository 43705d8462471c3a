import type { Message } from 'amqplib'

/** The original of a packed dead letter. docs/rabbitmq.md has this function, and its test compares the two. */
export function unpack({ content }: Pick<Message, 'content'>): {
  content: Buffer
  properties: Record<string, unknown>
  headers: Record<string, unknown>
  explanation: Record<string, string>
} {
  const end = 4 + content.readUInt32BE(0)
  const parts = JSON.parse(content.toString('utf8', 4, end), (_name, value) =>
    value?.['!'] === 'bytes' ? Buffer.from(value.value, 'base64') : value,
  )
  return { ...parts, content: content.subarray(end) }
}
