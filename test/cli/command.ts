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

/** Runs a line in the shell, with the compiled command on its path. */
export async function runShell(line: string, options: RunOptions): Promise<Run> {
  const main = join(await builtProgram(), 'src', 'cli', 'main.js')
  const command = `queue-key-auth() { '${process.execPath}' '${main}' "$@"; }\n${line}`
  const child = spawn('bash', ['-c', command], {
    cwd: options.cwd,
    env: { PATH: process.env.PATH, TZ: 'Asia/Kolkata', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
  const [exitCode, stdout, stderr] = await Promise.all([exited, text(child.stdout), text(child.stderr)])
  return { exitCode, stdout, stderr }
}

/** Output without what differs from run to run. */
export function steady(output: string): string {
  return output
    .replace(/\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/g, '<token>')
    .replace(/\bAAAA[A-Za-z0-9+/]+={0,2}/g, '<key>')
    .replace(/SHA256:[A-Za-z0-9+/]{43}/g, 'SHA256:<fingerprint>')
    .replace(/(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])/g, '<digest>')
    .replace(/("jti": "|"tokenId": "|jti {2}|message id +)[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])/g, '$1<message id>')
    .replace(/\b20[2-9]\d-\d\d-\d\dT[\d:.]+Z/g, '<now>')
    .replace(/\brevoked 20\d\d-\d\d-\d\d/g, 'revoked <today>')
    .replace(/\b\d{10}\b/g, '<seconds>')
    .replace(/\b\d+ days?\b/g, '<n> days')
    .replace(/\b\d+ (?:seconds?|minutes?) ago/g, '<moments> ago')
    .replace(/^\d+\.\d+\.\d+$/gm, '<version>')
}

/** A folder that is removed with everything in it. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'queue-key-auth-cli-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}
