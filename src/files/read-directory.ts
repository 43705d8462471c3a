import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SetupError } from '../errors.ts'
import { keyError } from '../keys/key-error.ts'
import { fileState } from './file-state.ts'

/** The most files of a directory. */
export const MAX_FILES = 512

/** How often a directory that changes while it is read is read again, and the longest pause in between. */
const MAX_ATTEMPTS = 200
const PAUSE_MS = 5

/** The files of a directory, all as they were at one moment. */
export interface DirectoryFiles {
  /** every file by its name, or why it cannot be read; names with a dot in front are passed over */
  readonly files: ReadonlyMap<string, Buffer | SetupError>
  /** the same for the same files */
  readonly digest: string
}

/** The most octets that are read of a file of that name, and whether there may be more. */
export type LimitOf = (name: string) => { readonly octets: number; readonly mayBeLonger: boolean }

/**
 * Reads every file of a directory, all of one generation. Kubernetes replaces a mounted directory by re-pointing its link
 * `..data`: files are read from where it points, and again when it points elsewhere in the end. In a plain directory
 * names, inodes, sizes and times must be the same before and after.
 *
 * @throws SetupError `key-file-unreadable` for the directory as a whole
 */
export async function readDirectory(directory: string, limitOf: LimitOf): Promise<DirectoryFiles> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (attempt > 2) await sleep(Math.random() * PAUSE_MS)
    const before = await mark(directory)
    const files = new Map<string, Buffer | SetupError>()
    for (const name of before.names) files.set(name, await readOne(directory, before.root, name, limitOf))
    const after = await mark(directory)
    if (before.text !== after.text) continue
    if (before.fault !== undefined) throw unreadable(directory, before.fault)
    return { files, digest: digestOf(files) }
  }
  throw unreadable(directory, `it changed ${MAX_ATTEMPTS} times while it was read`)
}

/** All there is to see from outside: the same before and after, nothing has changed in between. */
interface Mark {
  readonly root: string
  readonly names: readonly string[]
  readonly fault: string | undefined
  readonly text: string
}

async function mark(directory: string): Promise<Mark> {
  const link = await readlink(join(directory, '..data')).catch(() => '')
  const root = link === '' ? directory : join(directory, link)
  let names: string[] = []
  let fault: string | undefined
  try {
    names = (await readdir(root)).filter((name) => !name.startsWith('.')).sort()
    if (names.length > MAX_FILES) fault = `${names.length} files, but ${MAX_FILES} are the most`
  } catch (error) {
    fault = (error as NodeJS.ErrnoException).code ?? 'reading failed'
  }
  if (fault !== undefined) names = []
  const states = await Promise.all([root, ...names.map((name) => join(root, name))].map(fileState))
  return { root, names, fault, text: [link, fault ?? '', ...names, ...states].join('\0') }
}

async function readOne(directory: string, root: string, name: string, limitOf: LimitOf): Promise<Buffer | SetupError> {
  // where people see it, which is not where Kubernetes has put it
  const path = join(directory, name)
  let file: FileHandle | undefined
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for a writer for ever. Windows has no such flag.
    file = await open(join(root, name), constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    const stats = await file.stat()
    if (!stats.isFile()) return unreadable(path, stats.isDirectory() ? 'it is a directory' : 'it is no regular file')
    const { octets, mayBeLonger } = limitOf(name)
    if (stats.size > octets && !mayBeLonger)
      return unreadable(path, `it has ${stats.size} octets, but ${octets} are the most`)
    return await readUpTo(file, Math.min(octets, stats.size))
  } catch (error) {
    return unreadable(path, (error as NodeJS.ErrnoException).code ?? 'reading failed', error)
  } finally {
    await file?.close()
  }
}

async function readUpTo(file: FileHandle, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

function digestOf(files: DirectoryFiles['files']): string {
  const digest = createHash('sha256')
  for (const [name, content] of files) {
    const bytes = content instanceof SetupError ? Buffer.from(content.message) : content
    digest.update(JSON.stringify([name, content instanceof SetupError, bytes.length])).update(bytes)
  }
  return digest.digest('base64')
}

function unreadable(path: string, why: string, cause?: unknown): SetupError {
  return keyError('key-file-unreadable', `cannot be read: ${why}`, { file: path }, cause)
}
