/** How the report writes things. */

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [head, head.map((_, index) => (index === 0 ? '---' : '--:')), ...rows].map(
    (cells) => `| ${cells.join(' | ')} |`,
  )
}

/** A dash: not measured. */
export function number(value: number | undefined, digits = 1): string {
  if (value === undefined) return '–'
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

export function bytesName(bytes: number): string {
  return bytes < 1024 ? `${bytes} B` : `${bytes / 1024} KiB`
}

/** Minutes and seconds. */
export function elapsed(millis: number): string {
  const seconds = Math.round(millis / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}
