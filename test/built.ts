import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const cache = join(root, 'node_modules', '.cache', 'queue-key-auth')
const DAY_MS = 86_400_000

/**
 * The compiled program, for tests that run it as a child process: the path of a folder laid out as `dist` is. It is built
 * once for the sources as they are, away from `dist`, beside a copy of package.json. `npm run typecheck` looks at the types.
 */
export async function builtProgram(): Promise<string> {
  await mkdir(cache, { recursive: true })
  const home = join(cache, await digestOfSources())
  while (!(await exists(home))) {
    if (await lock(`${home}.lock`)) {
      try {
        if (!(await exists(home))) await build(home)
      } finally {
        await rm(`${home}.lock`, { force: true })
      }
    } else await sleep(50)
  }
  return join(home, 'dist')
}

async function build(home: string): Promise<void> {
  await forgetOldBuilds()
  const making = await mkdtemp(join(cache, 'making-'))
  const withoutTypes = ['--noCheck', '--declaration', 'false', '--declarationMap', 'false']
  try {
    await promisify(execFile)(
      process.execPath,
      [
        ...[join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join(root, 'tsconfig.build.json')],
        ...['--outDir', join(making, 'dist'), '--isolatedDeclarations', 'false', ...withoutTypes],
      ],
      { cwd: root },
    )
    // Package scopes end at node_modules: without a copy the modules would be CommonJS.
    await copyFile(join(root, 'package.json'), join(making, 'package.json'))
    // Of two processes that both removed a dead owner's lock, the second finds the folder in place.
    await rename(making, home).catch(async (error: unknown) => {
      if (!(await exists(home))) throw error
    })
  } catch (error) {
    const { stdout } = error as { stdout?: string }
    if (stdout) throw new Error(`the program does not compile:\n${stdout}`, { cause: error })
    throw error
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}

/** Over paths and contents, so that it does not matter when and by whom a file was written. */
async function digestOfSources(): Promise<string> {
  const digest = createHash('sha256')
  const files = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json']
  for (const folder of ['src', 'adapters']) {
    for (const name of await readdir(join(root, folder), { recursive: true })) {
      if (name.endsWith('.ts')) files.push(join(folder, name))
    }
  }
  for (const file of files.sort()) {
    digest.update(`${file}\0`).update(
      createHash('sha256')
        .update(await readFile(join(root, file)))
        .digest(),
    )
  }
  return digest.digest('hex').slice(0, 32)
}

/** Takes the lock, or says that another process builds. One whose owner was killed is removed. */
async function lock(file: string): Promise<boolean> {
  try {
    await writeFile(file, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const owner = Number(await readFile(file, 'utf8').catch(() => process.pid))
  if (owner > 0 && !isRunning(owner)) await rm(file, { force: true })
  return false
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function forgetOldBuilds(): Promise<void> {
  for (const name of await readdir(cache)) {
    const path = join(cache, name)
    const age = Date.now() - ((await mtime(path)) ?? Date.now())
    if (age > DAY_MS) await rm(path, { recursive: true, force: true })
  }
}

async function mtime(path: string): Promise<number | undefined> {
  return stat(path).then(
    (found) => found.mtimeMs,
    () => undefined,
  )
}

async function exists(path: string): Promise<boolean> {
  return (await mtime(path)) !== undefined
}
