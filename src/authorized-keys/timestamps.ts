const TIMESTAMP = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(:\d\d)?Z)?$/

/**
 * Epoch seconds of an RFC 3339 timestamp with `Z`, where the seconds may be left out, or of a date, which means 00:00Z.
 * Undefined for any other text, and for a day or time that no calendar or clock has; leap seconds are not accepted.
 */
export function parseTimestamp(text: string): number | undefined {
  const match = TIMESTAMP.exec(text)
  if (match === null) return undefined
  const canonical = `${match[1]}T${match[2] ?? '00:00'}${match[3] ?? ':00'}.000Z`
  const milliseconds = Date.parse(canonical)
  // Date.parse() takes 30 February for 2 March
  if (Number.isNaN(milliseconds) || new Date(milliseconds).toISOString() !== canonical) return undefined
  return milliseconds / 1000
}
