import { stat } from 'node:fs/promises'
import type { Finding } from './finding.ts'

/** Whoever can write to one of these can authorize anybody. On systems without user ids nothing is looked at. */
export async function checkPermissions(paths: readonly string[]): Promise<Finding[]> {
  if (process.getuid === undefined) return []
  const uid = process.getuid()
  const findings: Finding[] = []
  for (const place of paths) {
    const stats = await stat(place).catch(() => undefined)
    if (stats === undefined) continue
    const mode = `0${(stats.mode & 0o7777).toString(8)}`
    if ((stats.mode & 0o022) !== 0) {
      const who = (stats.mode & 0o002) === 0 ? 'its group' : 'everybody'
      const text = `${who} can write to it (mode ${mode}), and so authorize anybody: chmod go-w`
      findings.push({ severity: 'error', rule: 'writable-by-others', place, text })
    }
    if (stats.uid !== 0 && stats.uid !== uid) {
      const text = `it belongs to user ${stats.uid}, who can authorize anybody: chown it to root or yourself`
      findings.push({ severity: 'warning', rule: 'foreign-owner', place, text })
    }
  }
  return findings
}
