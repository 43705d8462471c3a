import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { Ledger } from './ledger.ts'
import type { Random } from './random.ts'

/** Consumers in processes of their own, to be killed. */
export class Workers {
  readonly #program: string
  readonly #job: object
  readonly #running = new Map<string, ChildProcess>()

  /** @param program a file of `programs/`; it says `consuming` when it does, and ends in good order when told `close` */
  constructor(program: string, job: object) {
    this.#program = fileURLToPath(new URL(`programs/${program}.mjs`, import.meta.url))
    this.#job = job
  }

  async start(name: string): Promise<void> {
    const job = JSON.stringify({ ...this.#job, name })
    const child = fork(this.#program, [job], {
      execArgv: ['--no-warnings'],
      env: { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1' },
    })
    this.#running.set(name, child)
    // A client that ends its process in the middle of an outage is started again, as a supervisor does.
    child.once('exit', (code) => {
      if (code !== 0 && code !== null && this.#running.get(name) === child) void this.#restart(name)
    })
    const ended = once(child, 'exit').then(() => 'ended')
    const said = await Promise.race([once(child, 'message').then(() => 'consuming'), ended])
    if (said === 'ended' && this.#running.get(name) === child) await sleep(200)
  }

  async #restart(name: string): Promise<void> {
    await sleep(100)
    await this.start(name)
  }

  async kill(name: string): Promise<void> {
    const child = this.#running.get(name)
    if (child === undefined) return
    this.#running.delete(name)
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    expect(child.signalCode).toBe('SIGKILL')
  }

  /** Ends all of them in good order. */
  async close(): Promise<void> {
    for (const [name, child] of this.#running) {
      child.send('close')
      const [code, signal] = await once(child, 'exit')
      expect({ name, code, signal }).toEqual({ name, code: 0, signal: null })
    }
    this.#running.clear()
  }

  /** For the end of a scenario that failed. */
  abandon(): void {
    for (const child of this.#running.values()) child.kill('SIGKILL')
  }
}

/**
 * Kills one of the consumers after the other at random moments, with messages in flight, and starts it again.
 *
 * @param publish publishes good and forged messages, mixed
 */
export async function killAtRandom(
  scene: Scenario,
  kills: number,
  pieces: { readonly good: number; readonly forged: number },
): Promise<void> {
  const { ledger, random, workers, names } = scene
  for (const name of names) await workers.start(name)
  for (let kill = 0; kill < kills; kill++) {
    const from = ledger.effects().length
    await scene.publish(pieces)
    const until = from + 1 + random.below(pieces.good - 1)
    await expect.poll(() => ledger.effects().length, { interval: 2 }).toBeGreaterThanOrEqual(until)
    await sleep(random.next() * 30)
    const victim = random.pick(names)
    await workers.kill(victim)
    ledger.faults++
    await workers.start(victim)
  }
}

export interface Scenario {
  readonly ledger: Ledger
  readonly random: Random
  readonly workers: Workers
  /** of its consumers */
  readonly names: readonly string[]
  publish(count: { readonly good: number; readonly forged: number }): Promise<void>
}

/** How far publishing runs ahead of the handlers: what a slow machine has left at the end is to be handled in good time. */
const MAX_AHEAD = 1_000

/** Publishes while `disturb` runs, a piece after the other. */
export async function publishDuring(
  scene: Scenario,
  pieces: { readonly good: number; readonly forged: number },
  disturb: () => Promise<void>,
): Promise<void> {
  let over = false
  const disturbed = disturb().finally(() => {
    over = true
  })
  // A failure is thrown below.
  disturbed.catch(() => undefined)
  while (!over) {
    if (scene.ledger.left <= MAX_AHEAD) await scene.publish(pieces)
    await sleep(20)
  }
  await disturbed
}
