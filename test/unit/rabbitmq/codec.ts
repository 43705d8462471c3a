import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const require = createRequire(import.meta.url)

const { encodeTable, decodeFields } = require(join(dirname(require.resolve('amqplib')), 'lib', 'codec.js')) as {
  encodeTable(buffer: Buffer, table: object, offset: number): number
  decodeFields(bytes: Buffer): Record<string, unknown>
}

/** The bytes that amqplib makes of a header table, without its length. */
export function amqpEncode(table: object): Buffer {
  const buffer = Buffer.alloc(1 << 20)
  return buffer.subarray(4, encodeTable(buffer, table, 0))
}

/** A header table after its trip over the wire. */
export function amqpRoundTrip(table: object): Record<string, unknown> {
  return decodeFields(Buffer.from(amqpEncode(table)))
}
