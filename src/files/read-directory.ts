import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, open, readdir, readlink, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SetupError } from '../errors.ts'
import { keyError } from '../keys/key-error.ts'
import { fileState } from './file-state.ts'
import { isTrustedOwner, type Owned, wayFaults, writableFault } from './modes.ts'

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
  /** what lies beside the `..data` of a Kubernetes volume, and so is no part of it; links into it are not listed */
  readonly beside?: ReadonlyMap<string, Buffer | SetupError>
  /** who else can write there: `key-file-permissions` */
  readonly faults?: readonly SetupError[]
}

/** The most octets that are read of a file of that name, and whether there may be more. */
export type LimitOf = (name: string) => { readonly octets: number; readonly mayBeLonger: boolean }

export interface ReadOptions {
  /** names with a dot in front that are read all the same; by default none */
  readonly isHidden?: (name: string) => boolean
  /** directories whose files are read as well, as `directory/file`; by default none */
  readonly isFolder?: (name: string) => boolean
  /** files that nobody else may write to, and then nor to the directory; by default nothing is looked at */
  readonly isGuarded?: (name: string) => boolean
}

/**
 * Reads every file of a directory, all of one generation. Kubernetes replaces a mounted directory by re-pointing its link
 * `..data`: files are read from where it points, and again when it points elsewhere in the end. In a plain directory
 * names, inodes, sizes and times must be the same before and after.
 *
 * @throws SetupError `key-file-unreadable` for the directory as a whole
 */
export async function readDirectory(
  directory: string,
  limitOf: LimitOf,
  options: ReadOptions = {},
): Promise<DirectoryFiles> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (attempt > 2) await sleep(Math.random() * PAUSE_MS)
    const before = await mark(directory, options)
    const faults: SetupError[] = []
    const read = async (root: string, names: readonly string[]): Promise<Map<string, Buffer | SetupError>> => {
      const files = new Map<string, Buffer | SetupError>()
      for (const name of names) {
        const guard = options.isGuarded?.(name) === true ? faults : undefined
        files.set(name, await readOne(directory, root, name, limitOf, guard))
      }
      return files
    }
    const files = await read(before.root, before.names)
    const beside = await read(directory, before.beside)
    if (options.isGuarded !== undefined) faults.push(...(await directoryFaults(directory, before, options.isGuarded)))
    const after = await mark(directory, options)
    if (before.text !== after.text) continue
    if (before.fault !== undefined) throw unreadable(directory, before.fault)
    return { files, beside, faults, digest: digestOf(files, beside, faults) }
  }
  throw unreadable(directory, `it changed ${MAX_ATTEMPTS} times while it was read`)
}

/** All there is to see from outside: the same before and after, nothing has changed in between. */
interface Mark {
  readonly root: string
  readonly names: readonly string[]
  readonly beside: readonly string[]
  readonly fault: string | undefined
  readonly text: string
}

async function mark(directory: string, options: ReadOptions): Promise<Mark> {
  const link = await readlink(join(directory, '..data')).catch(() => '')
  const root = link === '' ? directory : resolve(directory, link)
  let names: string[] = []
  let beside: string[] = []
  let fault: string | undefined
  try {
    names = await namesIn(root, options)
    if (link !== '') beside = await strangersIn(directory, options)
    const count = names.length + beside.length
    if (count > MAX_FILES) fault = `${count} files, but ${MAX_FILES} are the most`
  } catch (error) {
    fault = (error as NodeJS.ErrnoException).code ?? 'reading failed'
  }
  if (fault !== undefined) names = beside = []
  const paths = [root, ...names.map((name) => join(root, name)), ...beside.map((name) => join(directory, name))]
  const states = await Promise.all(paths.map(fileState))
  return { root, names, beside, fault, text: [link, fault ?? '', ...names, '', ...beside, ...states].join('\0') }
}

async function namesIn(root: string, { isHidden, isFolder }: ReadOptions): Promise<string[]> {
  const names: string[] = []
  for (const name of await readdir(root)) {
    if (name.startsWith('.') && isHidden?.(name) !== true) continue
    const children = isFolder?.(name) === true ? await childrenOf(join(root, name)) : undefined
    names.push(...(children === undefined ? [name] : [name, ...children.map((child) => `${name}/${child}`)]))
  }
  return names.sort()
}

/** The files of a directory within; undefined when it is none, or cannot be read: reading it as a file says why. */
function childrenOf(path: string): Promise<string[] | undefined> {
  return readdir(path).then(
    (names) => names.filter((name) => !name.startsWith('.')),
    () => undefined,
  )
}

/** What lies beside `..data` and is no link into it: the kubelet made none of it. */
async function strangersIn(directory: string, options: ReadOptions): Promise<string[]> {
  const strangers: string[] = []
  for (const name of await namesIn(directory, options)) {
    const link = await readlink(join(directory, name)).catch(() => '')
    if (!link.startsWith('..data/')) strangers.push(name)
  }
  return strangers
}

/**
 * Reads a file by itself, or says why it cannot be read.
 *
 * @param faults takes the fault of a file that others can write to
 */
export function readOneFile(path: string, octets: number, faults?: SetupError[]): Promise<Buffer | SetupError> {
  return readFileAt(path, path, { octets, mayBeLonger: false }, faults)
}

function readOne(
  directory: string,
  root: string,
  name: string,
  limitOf: LimitOf,
  faults: SetupError[] | undefined,
): Promise<Buffer | SetupError> {
  // Where people see it is not where Kubernetes has put it.
  return readFileAt(join(directory, name), join(root, name), limitOf(name), faults)
}

async function readFileAt(
  path: string,
  actual: string,
  { octets, mayBeLonger }: ReturnType<LimitOf>,
  faults: SetupError[] | undefined,
): Promise<Buffer | SetupError> {
  let file: FileHandle | undefined
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for a writer for ever. Windows has no such flag.
    file = await open(actual, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    const stats = await file.stat()
    if (!stats.isFile()) return unreadable(path, stats.isDirectory() ? 'it is a directory' : 'it is no regular file')
    const fault = faults === undefined ? undefined : writableFault(path, stats, 'file')
    if (fault !== undefined) faults?.push(fault)
    if (stats.size > octets && !mayBeLonger)
      return unreadable(path, `it has ${stats.size} octets, but ${octets} are the most`)
    return await readUpTo(file, Math.min(octets, stats.size))
  } catch (error) {
    return unreadable(path, (error as NodeJS.ErrnoException).code ?? 'reading failed', error)
  } finally {
    await file?.close()
  }
}

/**
 * Who else can put files into the directory, or others in their place. The kubelet mounts a volume as a directory that
 * everybody may write to by its mode (drwxrwxrwx or drwxrwxrwt), in which root alone made `..data` and what it leads
 * to; these are looked at in its place.
 */
async function directoryFaults(
  directory: string,
  { root, names, fault }: Mark,
  isGuarded: (name: string) => boolean,
): Promise<SetupError[]> {
  if (process.getuid === undefined || fault !== undefined) return []
  try {
    const faults: SetupError[] = []
    const isVolume = root !== directory
    const top = await stat(directory)
    const parts = isVolume ? [top, await lstat(join(directory, '..data')), await stat(root)] : [top]
    if (!isVolume || !parts.every(isTrustedOwner)) faults.push(...found(writableFault(directory, top, 'directory')))
    if (isVolume) faults.push(...found(writableFault(root, parts[2] as Owned, 'directory')))
    faults.push(...(await wayFaults(directory, 'group may write')))
    for (const name of names.filter(isGuarded)) {
      const path = join(root, name)
      const isLink = await lstat(path).then((stats) => stats.isSymbolicLink())
      // Of a link that leads nowhere it is said already that it cannot be read.
      if (isLink && (await fileState(path)).includes(' '))
        faults.push(...(await wayFaults(path, 'owner alone may write')))
    }
    return faults
  } catch (error) {
    // It changed meanwhile and is read again, or cannot be read, which is said of the file.
    return [unreadable(directory, (error as NodeJS.ErrnoException).code ?? 'reading failed', error)]
  }
}

function found(fault: SetupError | undefined): SetupError[] {
  return fault === undefined ? [] : [fault]
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

function digestOf(
  files: DirectoryFiles['files'],
  beside: DirectoryFiles['files'],
  faults: readonly SetupError[],
): string {
  const digest = createHash('sha256')
  for (const part of [files, beside]) {
    for (const [name, content] of part) {
      const bytes = content instanceof SetupError ? Buffer.from(content.message) : content
      digest.update(JSON.stringify([name, content instanceof SetupError, bytes.length])).update(bytes)
    }
    digest.update('\n')
  }
  return digest.update(JSON.stringify(faults.map(({ message }) => message))).digest('base64')
}

function unreadable(path: string, why: string, cause?: unknown): SetupError {
  return keyError('key-file-unreadable', `cannot be read: ${why}`, { file: path }, cause)
}
