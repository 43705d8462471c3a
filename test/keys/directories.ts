import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { AuthorizedKeys, type DirectoryOptions, type Events, Signer, subscribe } from '../../src/index.ts'

export type Files = Readonly<Record<string, string>>

/** Tests that run at the same time bring their own. */
type AtEnd = typeof onTestFinished

export async function newDirectory(atEnd: AtEnd = onTestFinished): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'queue-key-auth-keys-'))
  atEnd(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** A directory of plain files, each of them replaced by renaming, as editors and `kubectl cp` do not but should. */
export async function plainDirectory(files: Files, atEnd: AtEnd = onTestFinished): Promise<string> {
  const directory = await newDirectory(atEnd)
  for (const [name, text] of Object.entries(files)) await replaceFile(directory, name, text)
  return directory
}

export async function replaceFile(directory: string, name: string, text: string): Promise<void> {
  const temporary = join(directory, `.${name}.new`)
  await writeFile(temporary, text)
  await rename(temporary, join(directory, name))
}

/** A directory as Kubernetes mounts a ConfigMap: `..data` points to the generation, and the names lead through it. */
export class MountedDirectory {
  readonly path: string
  readonly #names = new Set<string>()
  #generation = 0

  private constructor(path: string) {
    this.path = path
  }

  static async create(files: Files): Promise<MountedDirectory> {
    const mounted = new MountedDirectory(await newDirectory())
    await mounted.swap(files)
    return mounted
  }

  /** In the order in which the kubelet does it. */
  async swap(files: Files): Promise<void> {
    const before = `..generation-${this.#generation}`
    const name = `..generation-${++this.#generation}`
    await mkdir(join(this.path, name))
    for (const [file, text] of Object.entries(files))
      await writeFile(join(this.path, name, file), text, { mode: 0o600 })
    await symlink(name, join(this.path, '..data_tmp'))
    await rename(join(this.path, '..data_tmp'), join(this.path, '..data'))
    for (const file of Object.keys(files)) {
      if (!this.#names.has(file)) await symlink(join('..data', file), join(this.path, file))
      this.#names.add(file)
    }
    for (const file of this.#names) {
      if (file in files) continue
      await unlink(join(this.path, file))
      this.#names.delete(file)
    }
    await rm(join(this.path, before), { recursive: true, force: true })
  }
}

/** Keys that are read often enough for a test, and closed when it is over. */
export async function follow(
  directory: string,
  options: DirectoryOptions = {},
  atEnd: AtEnd = onTestFinished,
): Promise<AuthorizedKeys> {
  const keys = await AuthorizedKeys.fromDirectory(directory, options)
  atEnd(() => keys.close())
  return keys
}

export function signerOf(service = 'checkout'): Signer {
  return Signer.generate(service)
}

/** Everything that is published while the test runs; without a listener it would be a process warning. */
export function heard(atEnd: AtEnd = onTestFinished): Events['queue-key-auth:keys'][] {
  const events: Events['queue-key-auth:keys'][] = []
  atEnd(subscribe('queue-key-auth:keys', (event) => events.push(event)))
  return events
}
