import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import {
  AUTHORIZED_KEYS,
  type Generation,
  isAuthorizedKeysFile,
  parseGeneration,
  QUEUE_POLICY,
  REVOKED_KEYS,
  readGeneration,
} from '../../authorized-keys/generation.ts'
import { createSnapshot, type KeySnapshot } from '../../authorized-keys/snapshot.ts'
import { SetupError } from '../../errors.ts'
import { CommandError, EXIT } from '../output.ts'

/** Where the files of a key directory are. */
export interface KeyPaths {
  readonly folder: string
  /** the authorized_keys file itself, none of its parts */
  readonly authorizedKeys: string
  readonly revokedKeys: string
  /** only that file is meant, and revoked_keys and queue_policy beside it */
  readonly isFile: boolean
}

/** What a key directory says, all of it valid. */
export interface KeySet extends Omit<Generation, 'faults' | 'texts'> {
  readonly paths: KeyPaths
  readonly snapshot: KeySnapshot
}

/** @param path a key directory, or an authorized_keys file or part; the other files then lie beside it */
export async function keyPaths(path: string): Promise<KeyPaths> {
  const isFile = await stat(path).then(
    (stats) => !stats.isDirectory(),
    (error: NodeJS.ErrnoException) => {
      throw new CommandError(`${path} cannot be read: ${error.code ?? 'reading failed'}`, {
        hint: 'name a directory with the file authorized_keys in it, or such a file',
        cause: error,
      })
    },
  )
  if (isFile && !isAuthorizedKeysFile(basename(path))) {
    throw new CommandError(`${path} is neither a directory nor called authorized_keys, or <part>.authorized_keys`, {
      hint: 'consumers read no file of another name',
      exitCode: EXIT.usage,
    })
  }
  const folder = isFile ? dirname(path) : path
  return {
    folder,
    authorizedKeys: isFile ? path : join(path, AUTHORIZED_KEYS),
    revokedKeys: join(folder, REVOKED_KEYS),
    isFile,
  }
}

/**
 * Everything the files say, and everything that is wrong with them, read as consumers read it.
 *
 * @param strictModes whether it is wrong that others can write there; a checkout says nothing of where it is mounted
 */
export async function readKeys(paths: KeyPaths, strictModes = false): Promise<Generation> {
  if (!paths.isFile) return readGeneration(paths.folder, strictModes)
  // The directory of a single file may be any, full of files that are nobody's business.
  const files = new Map<string, Buffer | SetupError>()
  for (const name of [basename(paths.authorizedKeys), REVOKED_KEYS, QUEUE_POLICY]) {
    const text = await readText(join(paths.folder, name)).catch(asSetupError)
    if (text !== undefined) files.set(name, typeof text === 'string' ? Buffer.from(text) : text)
  }
  return parseGeneration({ files, digest: '' }, paths.folder)
}

function asSetupError(error: unknown): SetupError {
  if (error instanceof SetupError) return error
  if (!(error instanceof CommandError)) throw error
  return new SetupError('key-file-unreadable', error.message, { cause: error })
}

/** @throws SetupError when anything is wrong with it */
export async function readKeySet(path: string): Promise<KeySet> {
  const paths = await keyPaths(path)
  const { faults, texts, ...generation } = await readKeys(paths)
  const [fault] = faults
  if (fault === undefined) {
    const { allows, revocations, policies } = generation
    return { paths, ...generation, snapshot: createSnapshot(allows, revocations, { policies }) }
  }
  if (faults.length === 1) throw fault
  throw new CommandError(fault.message, {
    hint: `${faults.length - 1} more: queue-key-auth check ${path} shows them all`,
    cause: fault,
  })
}

/** The text of a file; undefined when it is not there. */
export async function readText(path: string): Promise<string | undefined> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw new CommandError(`${path} cannot be read: ${code ?? 'reading failed'}`, { cause: error })
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    throw new SetupError('authorized-keys-invalid', `${path}: it is not UTF-8; save it as UTF-8 without BOM`, {
      position: { file: path },
      cause: error,
    })
  }
}
