const FIRST_MS = 50
const LONGEST_MS = 5_000

/** How long to wait before try number `attempt` (from 0): doubling, at most five seconds, spread by a quarter. */
export function backOff(attempt: number): number {
  const delay = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10))
  return delay * (0.75 + Math.random() * 0.25)
}
