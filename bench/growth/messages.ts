import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** What is held and what is spent after so many messages. */
export interface Growth {
  readonly messages: number
  /** MiB, as the system counts it, garbage that was not given back included */
  readonly resident: number
  /** MiB, of what is in use after a garbage collection */
  readonly heap: number
  /** CPU microseconds of handling one, of those since the last count */
  readonly micros: number
}

export type Kind = 'single' | 'batch'

export interface Task {
  readonly kind: Kind
  readonly counts: readonly number[]
}

/** In a process of its own, which nothing else makes larger. */
export function growthOfMessages(task: Task, progress: (growth: Growth) => void): Promise<readonly Growth[]> {
  const worker = fork(fileURLToPath(new URL('./messages-worker.js', import.meta.url)), { execArgv: ['--expose-gc'] })
  const found: Growth[] = []
  worker.on('message', (growth: Growth) => {
    found.push(growth)
    progress(growth)
  })
  worker.send(task)
  return new Promise((resolve, reject) => {
    worker.once('exit', (code) => {
      if (code === 0) resolve(found)
      else reject(new Error(`the process that counts messages ended with ${code}`))
    })
  })
}
