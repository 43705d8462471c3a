import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { builtProgram } from '../built.ts'

/** How a run of the command ended. */
export interface Run {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** the folder it runs in */
  readonly cwd: string
  /** on top of PATH alone: nothing of how the tests were started reaches the program */
  readonly env?: Readonly<Record<string, string>>
  /** before the program: a module to load, say */
  readonly nodeOptions?: readonly string[]
  /** the reader of its output has gone away */
  readonly closedPipe?: boolean
}

/** Runs the compiled command as a child process. */
export async function runCommand(args: readonly string[], options: RunOptions): Promise<Run> {
  const main = join(await builtProgram(), 'src', 'cli', 'main.js')
  const child = spawn(process.execPath, [...(options.nodeOptions ?? []), main, ...args], {
    cwd: options.cwd,
    env: { PATH: process.env.PATH, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  if (options.closedPipe) child.stdout.destroy()
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
  const stdout = options.closedPipe ? '' : text(child.stdout)
  const [exitCode, out, err] = await Promise.all([exited, stdout, text(child.stderr)])
  return { exitCode, stdout: out, stderr: err }
}

/** A folder that is removed with everything in it. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'queue-key-auth-cli-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
