import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'

/** What became of the messages of a scenario. */
export interface Counts {
  readonly scenario: string
  readonly faults: number
  /** messages that an authorized key signed */
  readonly good: number
  readonly forged: number
  /** good ones that a producer published once more, since it was not told that they had arrived: each is handled again */
  readonly publishedAgain: number
  /** good ones whose handler was through at least once */
  readonly handled: number
  /** how often a handler was through once more: at least once is promised, exactly once is not */
  readonly handledAgain: number
  /** forged ones among the dead letters */
  readonly deadLettered: number
  /** neither handled nor dead-lettered */
  readonly lost: number
  /** good ones among the dead letters */
  readonly wronglyRejected: number
  readonly forgedAccepted: number
}

/** What went in, and, in a file that outlives every kill, what consumers did. */
export class Ledger {
  readonly scenario: string
  readonly good: string[] = []
  readonly forged: string[] = []
  readonly effectsFile: string
  /** consumers killed, servers ended, leaders moved */
  faults = 0
  publishedAgain = 0
  readonly #folder: string

  constructor(scenario: string) {
    this.scenario = scenario
    this.#folder = mkdtempSync(join(tmpdir(), 'queue-key-auth-campaign-'))
    this.effectsFile = join(this.#folder, 'effects')
    writeFileSync(this.effectsFile, '')
  }

  /** A file of this scenario that outlives its consumers. */
  file(name: string): string {
    return join(this.#folder, name)
  }

  /** Names for messages to be published now. */
  more(kind: 'good' | 'forged', count: number): string[] {
    const list = this[kind]
    const names = Array.from({ length: count }, (_, index) => `${kind}-${list.length + index}`)
    list.push(...names)
    return names
  }

  /** The names of handled messages, in the order of their handlers. */
  effects(): string[] {
    return readFileSync(this.effectsFile, 'utf8').split('\n').slice(0, -1)
  }

  /** How many good ones were not handled yet. */
  get left(): number {
    const handled = new Set(this.effects())
    return this.good.filter((name) => !handled.has(name)).length
  }

  get isHandled(): boolean {
    return this.left === 0
  }

  /** Whether each forged message is among the dead letters. */
  isDeadLettered(deadLettered: readonly string[]): boolean {
    const names = new Set(deadLettered)
    return this.forged.every((name) => names.has(name))
  }

  /** Writes the row of this scenario down, and demands that nothing was lost, wrongly rejected or wrongly accepted. */
  close(deadLettered: readonly string[]): void {
    const effects = this.effects()
    const handled = new Set(effects)
    const rejected = new Set(deadLettered)
    const good = new Set(this.good)
    const counts: Counts = {
      scenario: this.scenario,
      faults: this.faults,
      good: this.good.length,
      forged: this.forged.length,
      publishedAgain: this.publishedAgain,
      handled: this.good.filter((name) => handled.has(name)).length,
      handledAgain: effects.length - handled.size,
      deadLettered: this.forged.filter((name) => rejected.has(name)).length,
      lost: [...this.good, ...this.forged].filter((name) => !handled.has(name) && !rejected.has(name)).length,
      wronglyRejected: this.good.filter((name) => rejected.has(name)).length,
      forgedAccepted: effects.filter((name) => !good.has(name)).length,
    }
    console.log(JSON.stringify(counts))
    if (process.env.FAULTS_ROWS) appendFileSync(process.env.FAULTS_ROWS, `${JSON.stringify(counts)}\n`)
    expect(counts).toMatchObject({ lost: 0, wronglyRejected: 0, forgedAccepted: 0, handled: this.good.length })
    expect(counts.deadLettered).toBe(this.forged.length)
    rmSync(this.#folder, { recursive: true })
  }
}
