import { QueuePatterns } from '../authorized-keys/patterns.ts'
import { parseTimestamp } from '../authorized-keys/timestamps.ts'
import { SetupError } from '../errors.ts'
import { quote } from '../text.ts'
import { isServiceName } from '../token.ts'
import { CommandError, EXIT } from './output.ts'

/** Arguments that several commands take. What is wrong with one is wrong usage: exit code 2. */

/** @throws CommandError unless it can be the name of a service */
export function checkService(service: string): void {
  if (isServiceName(service)) return
  throw new CommandError(`${quote(service)} is no name for a service`, {
    hint: 'write 1 to 128 letters, digits and "._/-", with a letter or digit at both ends, such as checkout',
    exitCode: EXIT.usage,
  })
}

export function parseQueues(queues: string | undefined, service: string): QueuePatterns {
  const example = `write --queues "orders.*,invoices"`
  if (queues === undefined) {
    const message = `which queues may ${service} publish to? without --queues the key would authorize nothing`
    throw new CommandError(message, { hint: `${example}, or --queues "**" for every queue`, exitCode: EXIT.usage })
  }
  try {
    return QueuePatterns.parse(queues)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    throw new CommandError(`--queues: ${error.message}`, { hint: example, exitCode: EXIT.usage, cause: error })
  }
}

/** Seconds since 1970 of a time such as `2026-12-01T00:00Z` or `2026-12-01`. */
export function parseTime(text: string, option: string): number {
  const seconds = parseTimestamp(text)
  if (seconds !== undefined) return seconds
  throw new CommandError(`${option}: ${quote(text)} is no time in UTC that a calendar has`, {
    hint: `write ${option} 2026-12-01T00:00Z, or ${option} 2026-12-01 for midnight UTC`,
    exitCode: EXIT.usage,
  })
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** Seconds of a duration such as `90s`, `15m`, `12h` or `7d`. */
export function parseDuration(text: string, option: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  const seconds = Number(digits) * (UNITS[unit] ?? 0)
  if (seconds > 0) return seconds
  throw new CommandError(`${option}: ${quote(text)} is no duration`, {
    hint: `write a whole number and s, m, h or d, such as ${option} 7d`,
    exitCode: EXIT.usage,
  })
}
