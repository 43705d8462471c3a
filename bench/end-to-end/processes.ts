import { readdirSync, readFileSync } from 'node:fs'

/** Clock ticks a second, as Linux counts a process's time for others to see. */
const TICKS = 100

/** CPU microseconds that our descendants have used, those in `except` left out; undefined where there is no /proc. */
export function cpuOfDescendants(except: readonly number[]): number | undefined {
  const parents = new Map<number, number>()
  const used = new Map<number, number>()
  try {
    for (const name of readdirSync('/proc')) {
      if (!/^[0-9]+$/.test(name)) continue
      const stat = statOf(name)
      if (stat === undefined) continue
      // After the name in parentheses: state, parent, …, utime (14th of all), stime
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      parents.set(Number(name), Number(fields[1]))
      used.set(Number(name), ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS)
    }
  } catch {
    return undefined
  }
  const isOurs = (pid: number): boolean => {
    for (let at = pid; at > 1; at = parents.get(at) ?? 0) {
      if (except.includes(at)) return false
      if (at === process.pid) return pid !== at
    }
    return false
  }
  return [...used].reduce((sum, [pid, micros]) => (isOurs(pid) ? sum + micros : sum), 0)
}

/** Undefined: the process has ended meanwhile. */
function statOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
}
