import { pbkdf2Sync } from 'node:crypto'
import { cpuSince, median } from '../measure.ts'

/**
 * The work of a handler: always the same amount of it, so that it takes longer where the machine is busy, as real work
 * does. A loop that looks at the clock would swallow what others do meanwhile.
 */
export function work(iterations: number): void {
  pbkdf2Sync('work', 'salt', iterations, 32, 'sha256')
}

/** How many iterations take that long on the CPU of this machine. */
export function iterationsFor(micros: number): number {
  const [few, many] = [10, 510]
  const rounds = Array.from({ length: 21 }, () => [costOf(few), costOf(many)] as const)
  const cost = median(rounds.map(([short]) => short))
  const each = median(rounds.map(([short, long]) => (long - short) / (many - few)))
  return Math.max(1, Math.round(few + (micros - cost) / each))
}

function costOf(iterations: number): number {
  const calls = 50
  const since = cpuSince()
  for (let call = 0; call < calls; call++) work(iterations)
  return since() / calls
}
