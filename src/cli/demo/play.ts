import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { AuthorizedKeys } from '../../authorized-keys/authorized-keys.ts'
import { type SettledEvent, subscribe } from '../../events.ts'
import { senderOf } from '../../verdict.ts'
import { Verifier } from '../../verifier.ts'
import { CommandError } from '../output.ts'
import { DEADLINE_SECONDS, type Ending, SCENARIOS, type Scenario, Stage } from './scenarios.ts'
import type { DemoTransport } from './transport.ts'

/** A scenario, and what became of its message. */
export interface Result {
  readonly scenario: Scenario
  readonly actual: Ending
}

export interface Performance {
  readonly lines: readonly string[]
  readonly results: readonly Result[]
}

const PATIENCE_MS = 10_000

/** Plays every scenario. One message is on its way at a time, so that it is clear whose ending is seen. */
export async function play(transport: DemoTransport): Promise<Performance> {
  const stage = new Stage(transport)
  const verifier = new Verifier({ keys: AuthorizedKeys.parse(stage.lines.join('\n')) })
  const endings = new Endings(stage)
  const actual = new Map<Scenario, Ending>()
  try {
    const waiting = SCENARIOS.filter(({ waits }) => waits)
    for (const scenario of waiting) await scenario.play(stage)
    await sleep(DEADLINE_SECONDS * 1000 + 50)
    await transport.consume(stage.orders, verifier, (message) => endings.handled(message))
    for (const scenario of waiting) actual.set(scenario, await endings.next(scenario))
    for (const scenario of SCENARIOS.filter(({ waits }) => !waits)) {
      await scenario.play(stage)
      actual.set(scenario, await endings.next(scenario))
    }
  } finally {
    endings.close()
  }
  const results = SCENARIOS.map((scenario) => ({ scenario, actual: actual.get(scenario) as Ending }))
  return { lines: stage.lines, results }
}

/** Whether it ended as it should have. */
export function isAsExpected({ scenario: { expected }, actual }: Result): boolean {
  return actual.how === expected.how && actual.code === expected.code && actual.sender === expected.sender
}

/** How the messages of the queue end, in that order. */
class Endings extends EventEmitter<{ ending: [] }> {
  readonly #stage: Stage
  readonly #unread: (Ending | SettledEvent)[] = []
  readonly close: () => void

  constructor(stage: Stage) {
    super()
    this.#stage = stage
    const ends = [
      subscribe('queue-key-auth:settled', (event) => {
        if (event.queue === stage.orders) this.#add(event)
      }),
      // A verdict that is heard is not warned about: the report says it.
      subscribe('queue-key-auth:verdict', () => undefined),
    ]
    this.close = () => {
      for (const end of ends) end()
    }
  }

  handled(message: object): void {
    const sender = senderOf(message)?.service
    this.#add({ how: 'handled', ...(sender !== undefined && { sender }) })
  }

  async next({ what }: Scenario): Promise<Ending> {
    const patience = new AbortController()
    const timer = setTimeout(() => patience.abort(), PATIENCE_MS)
    try {
      if (this.#unread.length === 0) await once(this, 'ending', { signal: patience.signal })
      const [ending] = this.#unread.splice(0, 1)
      if (ending?.how === 'dead-lettered') return await this.#deadLetter(patience.signal)
      if (ending?.how === 'acknowledged') return { how: 'skipped', code: ending.code }
      return ending as Ending
    } catch (error) {
      if (!patience.signal.aborted) throw error
      throw new CommandError(`nothing became of "${what}" within ${PATIENCE_MS / 1000} seconds`, { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  /** What the dead letter itself says. */
  async #deadLetter(signal: AbortSignal): Promise<Ending> {
    const { transport, orders } = this.#stage
    for (;;) {
      const { 'queueauth-reason': code, 'queueauth-detail': detail } = (await transport.takeDeadLetter(orders)) ?? {}
      if (code !== undefined) return { how: 'dead-lettered', code: String(code), detail: String(detail) }
      await sleep(20, undefined, { signal })
    }
  }

  #add(ending: Ending | SettledEvent): void {
    this.#unread.push(ending)
    this.emit('ending')
  }
}
