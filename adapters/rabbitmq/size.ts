/** The bytes of a table on the wire, generously: what counts is the bound. */
export function encodedSize(table: unknown): number {
  let size = 4
  for (const [name, value] of Object.entries(table ?? {})) size += 1 + Buffer.byteLength(name) + valueSize(value)
  return size
}

function valueSize(value: unknown): number {
  if (typeof value === 'string') return 5 + Buffer.byteLength(value)
  if (Buffer.isBuffer(value)) return 5 + value.length
  if (Array.isArray(value)) return 5 + value.reduce((size: number, item) => size + valueSize(item), 0)
  if (typeof value === 'object' && value !== null) return 1 + encodedSize(value)
  return 9
}

/**
 * Whether a table has no floating-point number that is none: the broker cannot read those, and closes the connection of who
 * sends them. A table of a member `!`, which anyone can send, makes amqplib write any value as the type that it names.
 */
export function isReadable(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return true
  if (Object.hasOwn(value, '!') && !isReadableTyped(value)) return false
  return Object.values(value).every(isReadable)
}

function isReadableTyped(typed: { '!'?: unknown; value?: unknown }): boolean {
  const { '!': type, value } = typed
  if (type !== 'double' && type !== 'float64' && type !== 'float') return true
  return typeof value === 'number' && Number.isFinite(type === 'float' ? Math.fround(value) : value)
}
