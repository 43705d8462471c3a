import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isBackup, isOwnFile, originalOf } from '../../authorized-keys/file-names.ts'
import type { KeyPaths } from '../keys/folder.ts'
import { type Finding, placeText } from './finding.ts'

/** An earlier state of a file that is gone: as if an edit, or a way to take revocations out of force, was not finished. */
export async function checkBackups({ folder, isFile }: KeyPaths): Promise<Finding[]> {
  if (isFile) return []
  const names = await readdir(folder)
  return names.filter(isBackup).flatMap((name) => {
    const original = originalOf(name)
    if (!isOwnFile(original) || names.includes(original)) return []
    const text = `there is no ${original} beside this backup, and backups are not read: put it back, or delete it`
    return [{ severity: 'warning', rule: 'backup-alone', place: placeText({ file: join(folder, name) }), text }]
  })
}
