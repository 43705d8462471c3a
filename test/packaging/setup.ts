import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'
import { TOOLCHAINS, type Toolchain } from './toolchains.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** folders with the projects, and everything installed, by toolchain */
    homes: Record<Toolchain, string>
  }
}

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const projects = fileURLToPath(new URL('projects', import.meta.url))
/** Not below `node_modules`, where Jest and Node treat every file as somebody else's. */
const cache = join(tmpdir(), 'queue-key-auth-packaging')
const WEEK_MS = 7 * 86_400_000
const QUIET = ['--no-audit', '--no-fund', '--no-save', '--prefer-offline', '--ignore-scripts', '--loglevel=error']

/**
 * Packs the package as `npm publish` does and installs the tarball beside the tools that use it. The tools are kept from
 * run to run; projects and tarball are new each time.
 */
export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  await mkdir(cache, { recursive: true })
  const packed = await mkdtemp(join(cache, 'packed-'))
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', packed], { cwd: root })
  const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf('['))) as [{ filename: string }]
  const homes = Object.fromEntries(
    await Promise.all(
      (Object.keys(TOOLCHAINS) as Toolchain[]).map(async (name) => [name, await furnish(name, join(packed, filename))]),
    ),
  ) as Record<Toolchain, string>
  provide('homes', homes)
  return () => rm(packed, { recursive: true, force: true })
}

/** A home of the projects: tools, package, sources. */
async function furnish(name: Toolchain, tarball: string): Promise<string> {
  const home = await toolsOf(name)
  for (const entry of await readdir(home, { withFileTypes: true })) {
    if (entry.isDirectory() && entry.name !== 'node_modules') await rm(join(home, entry.name), { recursive: true })
  }
  await rm(join(home, 'node_modules', 'queue-key-auth'), { recursive: true, force: true })
  await run('npm', ['install', ...QUIET, tarball], { cwd: home })
  await cp(projects, home, { recursive: true })
  for (const nest of ['nest-11', 'nest-12']) await cp(join(projects, 'nest'), join(home, nest), { recursive: true })
  return home
}

async function toolsOf(name: Toolchain): Promise<string> {
  const dependencies = TOOLCHAINS[name]
  const digest = createHash('sha256').update(JSON.stringify(dependencies)).digest('hex').slice(0, 16)
  const home = join(cache, `${name}-${digest}`)
  if (await exists(home)) return home
  await forgetOld()
  const making = await mkdtemp(join(cache, 'making-'))
  await writeFile(join(making, 'package.json'), JSON.stringify({ private: true, dependencies }))
  await run('npm', ['install', ...QUIET], { cwd: making })
  await rename(making, home)
  return home
}

/** Half a gigabyte each, so what no run has used for a week goes. */
async function forgetOld(): Promise<void> {
  for (const name of await readdir(cache)) {
    const path = join(cache, name)
    const age = Date.now() - (await stat(path)).mtimeMs
    if (age > WEEK_MS) await rm(path, { recursive: true, force: true })
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
