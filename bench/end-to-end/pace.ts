import type { Amount } from './jobs.ts'

/**
 * How many messages are to be sent now, any number at least where nothing sets a pace; undefined: no more.
 *
 * @param millis since the first could be sent
 * @param sent those that were
 */
export function dueOf(amount: Amount, millis: number, sent: number): number | undefined {
  if ('messages' in amount) return sent < amount.messages ? amount.messages - sent : undefined
  const { seconds, rate } = amount
  if (millis >= seconds * 1000) return undefined
  return rate === undefined ? Number.POSITIVE_INFINITY : Math.floor((millis / 1000) * rate) - sent
}
