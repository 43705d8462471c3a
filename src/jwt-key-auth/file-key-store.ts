import { stat } from 'node:fs/promises'
import { join, parse } from 'node:path'
import { acrossBuilds } from '../across-builds.ts'
import { isOwnFile, meantBy } from '../authorized-keys/file-names.ts'
import type { SetupError } from '../errors.ts'
import { type LimitOf, readDirectory } from '../files/read-directory.ts'
import { keyError } from '../keys/key-error.ts'
import { readPrivateKeyFile } from '../keys/key-files.ts'
import { MAX_KEY_OCTETS } from '../keys/key-text.ts'
import { quote } from '../text.ts'
import { type CheckedKey, checkedPublicKey, KeyStore, type PassphraseOption } from './key-store.ts'

export interface FillOptions {
  /** Whether files and directories that others can write to are an error (`key-file-permissions`), as with sshd: true. */
  readonly strictModes?: boolean
}

/** A {@link KeyStore} that is filled from a mounted directory. */
export class FileKeyStore extends KeyStore {
  static {
    acrossBuilds(FileKeyStore, 'FileKeyStore')
  }

  /**
   * Adds every public key in a directory: one key a file, and the file's name without its extension is the name of the
   * service, so `checkout.pem` is the key of `checkout`. Names that begin with a dot and directories are passed over,
   * symbolic links are followed. All keys are added or, on an error, none; call it again for another directory. Files
   * that change later are not noticed, and nothing can be revoked: `AuthorizedKeys.fromDirectory` does both.
   *
   * @throws SetupError naming the file or directory: `key-file-unreadable`, `key-file-permissions` when others can write
   *   there, `key-missing` when there is no key in it,
   *   `key-duplicate` when two files name one service or a name is taken, `key-private-in-public-place`, and `key-*` for
   *   a key that cannot be read or is too weak
   */
  async fill(directory: string, options: FillOptions = {}): Promise<void> {
    const {
      files,
      beside = NO_FILES,
      faults = [],
    } = await readDirectory(directory, limitOf, {
      ...((options.strictModes ?? true) && { isGuarded: () => true }),
    })
    const [fault] = faults
    if (fault !== undefined) throw fault
    for (const name of [...files.keys(), ...beside.keys()]) refuseOtherFiles(directory, name, beside.has(name))
    const fileOf = new Map<string, string>()
    const keys: CheckedKey[] = []
    for (const [file, content] of files) {
      const path = join(directory, file)
      const bytes = await usable(content, path)
      if (bytes === undefined) continue
      const { name } = parse(path)
      const position = { file: path }
      const other = fileOf.get(name)
      if (other !== undefined) {
        const both = `it and ${other} both hold the key of ${quote(name)}, and a name has one: remove one of them`
        throw keyError('key-duplicate', both, position)
      }
      fileOf.set(name, path)
      keys.push({ name, key: checkedPublicKey(bytes, position), position })
    }
    if (keys.length === 0) {
      throw keyError('key-missing', 'there is no public key file here; add one such as checkout.pem', {
        file: directory,
      })
    }
    this.addChecked(keys)
  }

  /**
   * Sets the private key from a file; `passphrase` opens an encrypted PKCS#8 key.
   *
   * @throws SetupError `key-file-unreadable`, `key-file-permissions` when others may read it, and as {@link addPrivate}
   */
  async addPrivateKeyFile(path: string, options: PassphraseOption = {}): Promise<void> {
    this.setPrivate(await readPrivateKeyFile(path, options))
  }
}

const NO_FILES: ReadonlyMap<string, Buffer | SetupError> = new Map()

const limitOf: LimitOf = () => ({ octets: MAX_KEY_OCTETS, mayBeLonger: false })

/** Files that a directory for AuthorizedKeys has, and keys that Kubernetes did not mount, would mean something else here. */
function refuseOtherFiles(directory: string, name: string, isBesideVolume: boolean): void {
  const position = { file: join(directory, name) }
  if (isBesideVolume) {
    const advice = 'it lies beside the ..data of a Kubernetes volume, from which keys are read: take it away'
    throw keyError('key-malformed', advice, position)
  }
  if (isOwnFile(name) || meantBy(name) !== undefined) {
    const advice = 'no public key file: pass a directory with such a file to AuthorizedKeys.fromDirectory()'
    throw keyError('key-malformed', `${advice}, which knows revocations as well`, position)
  }
}

/** What is in a file; undefined for a directory. */
async function usable(content: Buffer | SetupError, path: string): Promise<Buffer | undefined> {
  if (Buffer.isBuffer(content)) return content
  const status = await stat(path).catch(() => undefined)
  if (status?.isDirectory()) return undefined
  // Neither waiting for a pipe nor reading a disk image into memory would tell anyone what is wrong.
  if (status !== undefined && (!status.isFile() || status.size > MAX_KEY_OCTETS)) {
    throw keyError('key-malformed', 'this is no public key file; move it out of this directory', { file: path })
  }
  throw content
}
