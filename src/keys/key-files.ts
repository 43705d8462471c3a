import type { KeyObject } from 'node:crypto'
import type { Stats } from 'node:fs'
import { constants, type FileHandle, open } from 'node:fs/promises'
import { SetupError } from '../errors.ts'
import { octal, shellQuoted } from '../files/modes.ts'
import { visible } from '../text.ts'
import { keyError } from './key-error.ts'
import { MAX_KEY_OCTETS } from './key-text.ts'
import { readPrivateKey } from './private-key.ts'
import { type PublicKey, readPublicKey } from './public-key.ts'

/**
 * Reads a private key file. As with ssh, a file that the process owns must be closed to group and others; one that
 * somebody else owns (a mounted secret, root-owned and readable by the process's group) is taken as it is, with a process
 * warning when everybody may read it. On systems without user ids nothing of this is looked at.
 *
 * @throws SetupError `key-file-unreadable`, `key-file-permissions`, and whatever {@link readPrivateKey} throws
 */
export async function readPrivateKeyFile(
  path: string,
  options: { readonly passphrase?: string | Uint8Array | undefined } = {},
): Promise<KeyObject> {
  const bytes = await readKeyFile(path, (stats) => checkPermissions(path, stats))
  return readPrivateKey(bytes, { passphrase: options.passphrase, position: { file: path } })
}

/**
 * Reads a public key file.
 *
 * @throws SetupError `key-file-unreadable`, and whatever {@link readPublicKey} throws
 */
export async function readPublicKeyFile(path: string): Promise<PublicKey> {
  return readPublicKey(await readKeyFile(path), { file: path })
}

async function readKeyFile(path: string, check?: (stats: Stats) => void): Promise<Buffer> {
  let file: FileHandle | undefined
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for a writer for ever. Windows has no such flag.
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    const stats = await file.stat()
    if (stats.isDirectory()) throw unreadable(path, 'it is a directory; name the key file in it')
    if (!stats.isFile()) throw unreadable(path, 'it is no regular file')
    check?.(stats)
    return await readAll(file, path)
  } catch (error) {
    if (error instanceof SetupError) throw error
    throw unreadable(path, (error as NodeJS.ErrnoException).code ?? 'reading failed', error)
  } finally {
    await file?.close()
  }
}

async function readAll(file: FileHandle, path: string): Promise<Buffer> {
  const buffer = Buffer.alloc(MAX_KEY_OCTETS + 1)
  let length = 0
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, length)
    length += bytesRead
    if (length > MAX_KEY_OCTETS) throw unreadable(path, `it is longer than ${MAX_KEY_OCTETS} octets, so it is no key`)
    if (bytesRead === 0) return buffer.subarray(0, length)
  }
}

function checkPermissions(path: string, { uid, mode }: Stats): void {
  if (process.getuid === undefined) return
  if (uid === process.getuid() && (mode & 0o077) !== 0) {
    throw keyError(
      'key-file-permissions',
      `others may use this private key (mode ${octal(mode)}); run \`chmod 600 ${shellQuoted(path)}\`, ` +
        'or in a Kubernetes volume set `defaultMode: 0400`',
      { file: path },
    )
  }
  if ((mode & 0o007) !== 0) {
    process.emitWarning(
      `everybody may use the private key ${visible(path)} (mode ${octal(mode)}); take the rights of others away`,
      {
        type: 'SecurityWarning',
        code: 'QUEUE_KEY_AUTH_KEY_FILE_OPEN',
      },
    )
  }
}

function unreadable(path: string, why: string, cause?: unknown): SetupError {
  return keyError('key-file-unreadable', `this key file cannot be read: ${why}`, { file: path }, cause)
}
