/** Other versions of Node.js, from the packages of npm that hold its binary. */
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { arch, platform } from 'node:os'
import { join } from 'node:path'
import { run } from './brokers/apt.mjs'
import { findProgram } from './brokers/programs.mjs'
import { cacheFolder } from './brokers/roots.mjs'

/**
 * The folder that holds `node` of a version, such as `20.19.0`, or the newest of a major one, such as `24`.
 *
 * @throws when npm has none for this system
 */
export async function nodeFolder(version) {
  const home = join(cacheFolder(), `node-${version}`)
  const bin = join(home, 'bin')
  if (isThere(bin)) return bin
  mkdirSync(cacheFolder(), { recursive: true })
  const partial = mkdtempSync(join(cacheFolder(), 'partial-'))
  try {
    const name = `node-${platform() === 'darwin' ? 'darwin' : 'linux'}-${arch()}@${version}`
    await run(`Node.js ${version}`, findProgram('npm') ?? 'npm', [
      'pack',
      '--silent',
      '--pack-destination',
      partial,
      name,
    ])
    const [archive] = readdirSync(partial)
    await run(undefined, 'tar', ['-xzf', join(partial, archive), '-C', partial])
    rmSync(home, { recursive: true, force: true })
    renameSync(join(partial, 'package'), home)
    return bin
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
}

function isThere(folder) {
  try {
    return readdirSync(folder).includes('node')
  } catch (error) {
    if (error.code === 'ENOENT') return false
    throw error
  }
}
