import { type FileHandle, lstat, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { CommandError } from '../output.ts'
import { readText } from './folder.ts'

/**
 * Puts a changed text in the place of a file, with its mode and owner: whoever reads it gets the old text or the new one,
 * never a part. The file that is renamed also is the lock, so that of two changes at a time none is lost.
 *
 * @param change gets the text, undefined when there is no such file; undefined back leaves everything as it is
 * @param instead what to do where the cluster alone can change the file
 * @returns whether the file was changed
 */
export async function changeFile(
  path: string,
  change: (text: string | undefined) => string | undefined,
  instead?: string,
): Promise<boolean> {
  await refuseVolume(path, instead)
  const target = await targetOf(path)
  const draft = join(dirname(target), `.${basename(target)}.lock`)
  const file = await openDraft(draft, target)
  let renamed = false
  try {
    const before = await readText(target)
    const after = change(before)
    if (after === undefined || after === before) return false
    await write(file, after, target)
    await rename(draft, target)
    renamed = true
    return true
  } catch (error) {
    throw error instanceof Error && 'syscall' in error ? notWritable(target, error) : error
  } finally {
    await file.close()
    if (!renamed) await rm(draft, { force: true })
  }
}

/**
 * What is written beside the `..data` of a Kubernetes volume is read by no consumer, and what is written behind it is gone
 * with the next change in the cluster.
 *
 * @param path of the file that is to be written, whether it exists or not
 */
export async function refuseVolume(path: string, instead?: string): Promise<void> {
  if (!(await isInVolume(path))) return
  throw new CommandError(`${path} is part of a Kubernetes volume, which nothing but the cluster changes`, {
    hint: `change the ConfigMap or Secret that it is mounted from${instead === undefined ? '' : `: ${instead}`}`,
  })
}

async function isInVolume(path: string): Promise<boolean> {
  const real = await realpath(path).catch(() => undefined)
  const folder = await realpath(dirname(path)).catch(() => dirname(path))
  // The generations of a volume, and `..data` itself, begin with two dots.
  const behind = [real ?? '', folder].flatMap((each) => each.split(sep))
  if (behind.some((name) => name.startsWith('..') && name !== '..')) return true
  const folders = new Set([folder, ...(real === undefined ? [] : [dirname(real)])])
  for (const each of folders) {
    const isVolume = await lstat(join(each, '..data')).then(
      () => true,
      () => false,
    )
    if (isVolume) return true
  }
  // A link into a volume that does not exist any more.
  return lstat(path).then(
    async (stats) => stats.isSymbolicLink() && (await readlink(path)).startsWith('..data/'),
    () => false,
  )
}

/** The file a symbolic link leads to, so that the link stays. */
async function targetOf(path: string): Promise<string> {
  const isLink = await lstat(path).then(
    (stats) => stats.isSymbolicLink(),
    () => false,
  )
  return isLink ? realpath(path) : path
}

async function openDraft(draft: string, target: string): Promise<FileHandle> {
  try {
    return await open(draft, 'wx', 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw notWritable(target, error)
    throw new CommandError(`${target} is being changed by someone else right now`, {
      hint: `if nobody does, an earlier change was interrupted: delete ${draft}`,
      cause: error,
    })
  }
}

async function write(file: FileHandle, text: string, target: string): Promise<void> {
  const old = await stat(target).catch(() => undefined)
  const own = await file.stat()
  await file.writeFile(text)
  if (old !== undefined && (old.uid !== own.uid || old.gid !== own.gid)) await file.chown(old.uid, old.gid)
  await file.chmod(old === undefined ? 0o644 : old.mode & 0o777)
  await file.sync()
}

function notWritable(target: string, error: unknown): CommandError {
  const { code } = error as NodeJS.ErrnoException
  return new CommandError(`${target} cannot be written: ${code ?? 'writing failed'}`, { cause: error })
}
