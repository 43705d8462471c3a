import { stat } from 'node:fs/promises'
import { writableFault } from '../../files/modes.ts'
import { asFinding, type Finding, placeText } from './finding.ts'

/** Whoever owns one of these can authorize anybody. On systems without user ids nothing is looked at. */
export async function checkOwners(paths: readonly string[]): Promise<Finding[]> {
  if (process.getuid === undefined) return []
  const uid = process.getuid()
  const findings: Finding[] = []
  for (const place of paths) {
    const stats = await stat(place).catch(() => undefined)
    if (stats === undefined || stats.uid === 0 || stats.uid === uid) continue
    const text = `it belongs to user ${stats.uid}, who can authorize anybody: chown it to root or yourself`
    findings.push({ severity: 'warning', rule: 'foreign-owner', place: placeText({ file: place }), text })
  }
  return findings
}

/** Of a directory that consumers do not read as a whole: whoever can write to it can authorize anybody. */
export async function checkModes(folder: string, files: readonly string[]): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const place of [folder, ...files]) {
    const stats = await stat(place).catch(() => undefined)
    const fault = stats && writableFault(place, stats, place === folder ? 'directory' : 'file')
    if (fault !== undefined) findings.push(asFinding(fault))
  }
  return findings
}
