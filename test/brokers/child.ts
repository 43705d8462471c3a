import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { appendFileSync, closeSync, openSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Command, findProgram } from '../../tools/brokers/programs.mjs'
import type { Starting } from './ready.ts'

export interface Child extends Starting {
  kill(): Promise<void>
  /** SIGTERM, and SIGKILL when that did not help. */
  stop(): Promise<void>
}

export interface ChildOptions {
  readonly env: Readonly<Record<string, string>>
  /** Where its output goes: a file, since nobody may be left to read a pipe. It runs in that file's folder. */
  readonly outputFile: string
}

const running = new Set<ChildProcess>()
/** Folders to remove when this process ends before those who use them do it. */
export const folders: Set<string> = new Set()

function abandonAll(): void {
  for (const child of running) child.kill('SIGKILL')
  if (folders.size > 0) spawnSync('rm', ['-rf', ...folders])
}
process.once('exit', abandonAll)
process.once('disconnect', abandonAll) // a worker whose test runner has been killed
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    abandonAll()
    process.kill(process.pid, signal)
  })
}

// Nothing runs here when this process gets SIGKILL; the kernel then ends the children, where setpriv can ask it to.
const diesWithParent: readonly string[] = (() => {
  const setpriv = findProgram('setpriv')
  if (setpriv === undefined) return []
  const prefix = [setpriv, '--pdeathsig', 'TERM']
  return spawnSync(setpriv, [...prefix.slice(1), 'true']).status === 0 ? prefix : []
})()

export function startChild(name: string, command: Command, { env, outputFile }: ChildOptions): Child {
  const output = openSync(outputFile, 'a')
  const [program = command[0], ...args] = [...diesWithParent, ...command]
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH ?? '', LANG: 'C.UTF-8', ...env },
    cwd: dirname(outputFile), // crash dumps and the like land there
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
    hasEnded: () => over,
    lastOutput: () => readFileSync(outputFile, 'utf8').trimEnd().split('\n').slice(-15).join('\n'),
    kill,
    stop: async () => {
      child.kill('SIGTERM')
      // An orderly end may take long on a busy machine, and what it was to write down counts.
      await Promise.race([ended, sleep(60_000, undefined, { ref: false })])
      await kill()
    },
  }
}
