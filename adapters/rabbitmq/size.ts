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
