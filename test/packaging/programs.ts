import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { inject } from 'vitest'
import type { NodeVersion, Toolchain } from './toolchains.ts'

/** Runs programs as a user would, in a project that has the package installed. */

export interface Ended {
  readonly code: number
  /** what it wrote, on both */
  readonly output: string
}

export function home(toolchain: Toolchain = 'main'): string {
  return inject('homes')[toolchain]
}

export function nodeOf(version: NodeVersion): string {
  const folder = join(home(), 'node_modules', `node-${version}`)
  return process.platform === 'win32' ? join(folder, 'bin', 'node.exe') : join(folder, 'bin', 'node')
}

/** A file of an installed package. */
export function installed(path: string, toolchain?: Toolchain): string {
  return join(home(toolchain), 'node_modules', path)
}

/** Runs a program in a project's folder. What this test runner set for itself is kept from it. */
export function run(project: string, program: string, args: readonly string[], toolchain?: Toolchain): Promise<Ended> {
  const environment = Object.entries(process.env).filter(
    ([name]) => !/^(?:VITEST|NODE_|JEST|npm_|FORCE_COLOR)/.test(name),
  )
  const env = { ...Object.fromEntries(environment), NO_COLOR: '1' }
  return new Promise((resolve, reject) => {
    const options = { cwd: join(home(toolchain), project), env, maxBuffer: 16 * 1024 * 1024 }
    execFile(program, args, options, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`
      if (error === null) resolve({ code: 0, output })
      else if (typeof error.code === 'number') resolve({ code: error.code, output })
      else reject(error)
    })
  })
}

export function runNode(project: string, args: readonly string[], version?: NodeVersion): Promise<Ended> {
  return run(project, version === undefined ? process.execPath : nodeOf(version), args)
}
