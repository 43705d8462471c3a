import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { appendFileSync, closeSync, openSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findProgram } from './programs.mjs'

export interface Child {
  readonly name: string
  /** Resolves once the process has ended. */
  readonly ended: Promise<void>
  hasEnded(): boolean
  /** The end of what it printed. */
  lastOutput(): string
  kill(): Promise<void>
  /** SIGTERM, and SIGKILL when that did not help. */
  stop(): Promise<void>
}

export interface ChildOptions {
  readonly env: Readonly<Record<string, string>>
  /** Where its output goes: a file, since nobody may be left to read a pipe. */
  readonly outputFile: string
}

const running = new Set<ChildProcess>()
const folders = new Set<string>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  if (folders.size > 0) spawnSync('rm', ['-rf', ...folders])
})

// An exit hook does not run when this process is killed; the kernel then ends the children, where setpriv can ask it to.
const diesWithParent: readonly string[] = (() => {
  const setpriv = findProgram('setpriv')
  if (setpriv === undefined) return []
  const prefix = [setpriv, '--pdeathsig', 'TERM']
  return spawnSync(setpriv, [...prefix.slice(1), 'true']).status === 0 ? prefix : []
})()

export function startChild(
  name: string,
  program: string,
  args: readonly string[],
  { env, outputFile }: ChildOptions,
): Child {
  const output = openSync(outputFile, 'a')
  const [command = program, ...rest] = [...diesWithParent, program, ...args]
  const child = spawn(command, rest, {
    env: { PATH: process.env.PATH ?? '', LANG: 'C.UTF-8', ...env },
    stdio: ['ignore', output, output],
  })
  closeSync(output)
  running.add(child)
  let over = false
  const ended = new Promise<void>((resolve) => {
    const finish = (): void => {
      over = true
      running.delete(child)
      resolve()
    }
    child.once('exit', finish)
    child.once('error', (error) => {
      appendFileSync(outputFile, `${error.message}\n`)
      finish()
    })
  })
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  return {
    name,
    ended,
    hasEnded: () => over,
    lastOutput: () => readFileSync(outputFile, 'utf8').trimEnd().split('\n').slice(-15).join('\n'),
    kill,
    stop: async () => {
      child.kill('SIGTERM')
      await Promise.race([ended, sleep(10_000, undefined, { ref: false })])
      await kill()
    },
  }
}

/** Repeats `probe` until it gives an answer. Rejects when the server ends first, or after `timeoutSeconds`. */
export async function untilReady<Answer>(
  server: Pick<Child, 'name' | 'hasEnded' | 'lastOutput' | 'kill'>,
  probe: () => Promise<Answer>,
  timeoutSeconds = 90,
): Promise<Answer> {
  const deadline = performance.now() + timeoutSeconds * 1000
  for (;;) {
    if (server.hasEnded()) throw new Error(`${server.name} ended before it was ready:\n${server.lastOutput()}`)
    try {
      return await probe()
    } catch (error) {
      if (performance.now() > deadline) {
        await server.kill()
        throw new Error(`${server.name} was not ready after ${timeoutSeconds} s:\n${server.lastOutput()}`, {
          cause: error,
        })
      }
      await sleep(50)
    }
  }
}

export async function temporaryFolder(broker: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `queue-key-auth-${broker}-`))
  folders.add(folder)
  return folder
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  folders.delete(folder)
}

const handedOut = new Set<number>()

/**
 * A free port of 127.0.0.1 below the range of outgoing connections: from inside that range, a client that reconnects to
 * a stopped server can be given the server's port and connect to itself, and the server cannot come back.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000)
    if (!handedOut.has(port) && (await isFree(port))) {
      handedOut.add(port)
      return port
    }
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}
