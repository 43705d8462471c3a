import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { join, parse } from 'node:path'
import { acrossBuilds } from '../across-builds.ts'
import { keyError } from '../keys/key-error.ts'
import { readPrivateKeyFile } from '../keys/key-files.ts'
import { MAX_KEY_OCTETS } from '../keys/key-text.ts'
import { quote } from '../text.ts'
import { type CheckedKey, checkedPublicKey, KeyStore, type PassphraseOption } from './key-store.ts'

/** A {@link KeyStore} that is filled from a mounted directory. */
export class FileKeyStore extends KeyStore {
  static {
    acrossBuilds(FileKeyStore, 'FileKeyStore')
  }

  /**
   * Adds every public key in a directory: one key a file, and the file's name without its extension is the name of the
   * service, so `checkout.pem` is the key of `checkout`. Names that begin with a dot and directories are passed over,
   * symbolic links are followed. All keys are added or, on an error, none; call it again for another directory. Files
   * that change later are not noticed: `AuthorizedKeys.fromDirectory` does that.
   *
   * @throws SetupError naming the file or directory: `key-file-unreadable`, `key-missing` when there is no key in it,
   *   `key-duplicate` when two files name one service or a name is taken, `key-private-in-public-place`, and `key-*` for
   *   a key that cannot be read or is too weak
   */
  async fill(directory: string): Promise<void> {
    const fileOf = new Map<string, string>()
    const keys: CheckedKey[] = []
    for (const { path, bytes } of await readKeyFiles(directory)) {
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

interface KeyFile {
  /** where the user sees the file */
  readonly path: string
  readonly bytes: Buffer
}

async function readKeyFiles(directory: string): Promise<KeyFile[]> {
  const generation = await readable(directory, currentGeneration(directory))
  const names = await readable(directory, readdir(generation))
  const files: KeyFile[] = []
  for (const name of names.filter((name) => !name.startsWith('.')).sort()) {
    const path = join(directory, name)
    const actual = join(generation, name)
    const status = await readable(path, stat(actual))
    if (status.isDirectory()) continue
    // Neither waiting for a pipe nor reading a disk image into memory would tell anyone what is wrong.
    if (!status.isFile() || status.size > MAX_KEY_OCTETS) {
      throw keyError('key-malformed', 'this is no public key file; move it out of this directory', { file: path })
    }
    files.push({ path, bytes: await readable(path, readFile(actual)) })
  }
  return files
}

/**
 * Kubernetes replaces a mounted directory by pointing its `..data` elsewhere, which may happen between two files. What
 * `..data` points to now is read instead, so that the keys are all of one generation.
 */
function currentGeneration(directory: string): Promise<string> {
  return realpath(join(directory, '..data')).catch(() => directory)
}

async function readable<T>(path: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
    throw keyError('key-file-unreadable', `cannot be read (${code})`, { file: path }, cause)
  }
}
