import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Handled, Reply, Request } from './jobs.ts'

/** Nothing takes so long; messages were lost. */
const PATIENCE_MS = 120_000

/** A process that runs worker.ts, and is asked one thing at a time. */
export class WorkerProcess {
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  #reply: (reply: Reply['reply']) => void = () => undefined
  onHandled: (handled: number) => void = () => undefined

  constructor() {
    this.#child = fork(fileURLToPath(new URL('./worker.js', import.meta.url)))
    this.#child.on('message', (message: Handled | Reply) => {
      if ('handled' in message) this.onHandled(message.handled)
      else this.#reply(message.reply)
    })
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()))
  }

  get pid(): number {
    return this.#child.pid as number
  }

  tell(message: Handled | Request): void {
    // That it has ended is noticed by whoever waits for its answer.
    if (this.#child.connected) this.#child.send(message)
  }

  ask(request: Request): Promise<Reply['reply']> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`the benchmark is broken: ${why}`))
      const timer = setTimeout(() => fail('nothing has come for two minutes, so messages were lost'), PATIENCE_MS)
      this.#reply = (reply) => {
        clearTimeout(timer)
        resolve(reply)
      }
      void this.#ended.then(() => {
        clearTimeout(timer)
        fail('a process of it has ended')
      })
      this.tell(request)
    })
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}
