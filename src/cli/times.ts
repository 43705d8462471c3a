/** Times for people. All are seconds since 1970. */

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000)
}

/** RFC 3339 in UTC, as authorized_keys has it: `2026-12-01T00:00Z`, with seconds where there are any. */
export function formatTime(seconds: number): string {
  const date = new Date(seconds * 1000)
  // Beyond what a Date can hold.
  if (Number.isNaN(date.getTime())) return `second ${seconds}`
  return date.toISOString().replace(/(?::00)?\.\d+Z$/, 'Z')
}

/** `2026-12-01T00:00Z (in 8 days)`. */
export function formatTimeFrom(seconds: number, now: number): string {
  const away = seconds - now
  return `${formatTime(seconds)} (${away >= 0 ? `in ${formatDuration(away)}` : `${formatDuration(-away)} ago`})`
}

/** The largest unit that fits, rounded down: `8 days`. */
export function formatDuration(seconds: number): string {
  for (const [unit, size] of [
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60],
  ] as const) {
    const count = Math.floor(seconds / size)
    if (count >= 1) return `${count} ${unit}${count === 1 ? '' : 's'}`
  }
  const count = Math.floor(seconds)
  return `${count} second${count === 1 ? '' : 's'}`
}
