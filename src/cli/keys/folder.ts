import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseLines } from '../../authorized-keys/lines.ts'
import { parseRevokedKeys } from '../../authorized-keys/revoked-keys.ts'
import { type Allow, createSnapshot, type KeySnapshot } from '../../authorized-keys/snapshot.ts'
import { CommandError } from '../output.ts'

/** Where the files of a key directory are. */
export interface KeyPaths {
  readonly folder: string
  readonly authorizedKeys: string
  readonly revokedKeys: string
}

/** What the files of a key directory say, all of it valid. */
export interface KeySet {
  readonly paths: KeyPaths
  /** in the order of the lines */
  readonly allows: readonly Allow[]
  /** `SHA256:…` and `kid:…` */
  readonly revocations: ReadonlySet<string>
  readonly snapshot: KeySnapshot
}

/** @param path a key directory, or an authorized_keys file of any name; the other files then lie beside it */
export async function keyPaths(path: string): Promise<KeyPaths> {
  const isFolder = await stat(path).then(
    (stats) => stats.isDirectory(),
    (error: NodeJS.ErrnoException) => {
      throw new CommandError(`${path} cannot be read: ${error.code ?? 'reading failed'}`, {
        hint: 'name a directory with the file authorized_keys in it, or such a file',
        cause: error,
      })
    },
  )
  const folder = isFolder ? path : dirname(path)
  return {
    folder,
    authorizedKeys: isFolder ? join(path, 'authorized_keys') : path,
    revokedKeys: join(folder, 'revoked_keys'),
  }
}

/** @throws SetupError or CommandError when anything in it is wrong or missing */
export async function readKeySet(path: string): Promise<KeySet> {
  const paths = await keyPaths(path)
  const text = await readText(paths.authorizedKeys)
  if (text === undefined) throw authorizedKeysMissing(paths)
  return parseKeySet(paths, text, await readText(paths.revokedKeys))
}

export function parseKeySet(paths: KeyPaths, authorizedKeys: string, revokedKeys: string | undefined): KeySet {
  const allows = parseLines(authorizedKeys, paths.authorizedKeys)
  const revocations = parseRevokedKeys(revokedKeys ?? '', paths.revokedKeys)
  return { paths, allows, revocations, snapshot: createSnapshot(allows, revocations) }
}

export function authorizedKeysMissing({ authorizedKeys, folder }: KeyPaths): CommandError {
  return new CommandError(`${authorizedKeys} is not there`, {
    hint: `begin with queue-key-auth authorize ${folder} <service> <key file> --queues "orders.*"`,
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
    throw new CommandError(`${path} is not UTF-8`, { hint: 'save it as UTF-8 without BOM', cause: error })
  }
}
