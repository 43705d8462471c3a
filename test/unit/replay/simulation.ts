import { MemoryReplayStore } from '../../../src/replay/memory-replay-store.ts'
import type { ReplayClaim } from '../../../src/replay/replay-store.ts'

/**
 * A discrete-event simulation of one queue, some processes that consume it, and the replay store they share. One seed is
 * one schedule: who gets what and when, how long handlers take and whether they fail, crashes, lost channels, copies.
 *
 * Without positions the broker is like RabbitMQ: what a lost channel held comes back, with a `redelivered` flag that is
 * only a hint. With positions it is like Redis streams, Kafka and streams of RabbitMQ: an entry also moves to another
 * consumer while the first one still works on it; somebody moves a reader back to what it acknowledged; and a reader seeks
 * back itself, which asks for what it handled once more. Several readers each get everything, with processes of their own.
 */
export interface Rules {
  readonly positions: boolean
  /** the tokens are messages of one batch */
  readonly batch?: boolean
  /** what to do with a delivery whose token is in progress elsewhere */
  readonly inProgress?: 'defer' | 'acknowledge'
  /** take the broker's flag for the truth: set, it is ours and runs; not set, what is known is a copy */
  readonly trustRedelivered?: boolean
  /** mark the token as handled when it is first seen */
  readonly commitOnSight?: boolean
  /** the readers' ids are not kept apart */
  readonly sharedScope?: boolean
  readonly store?: (now: () => number) => SharedStore
}

export type SharedStore = Pick<MemoryReplayStore, 'begin' | 'commit' | 'release' | 'renew'>

export type Violation =
  /** at rest, a token was never handled to completion */
  | 'lost'
  /** at rest, a message is not settled, or rest is never reached */
  | 'stuck'
  /** a message was acknowledged while no handler had completed for its token */
  | 'acknowledged-unhandled'
  /** a handler started for a copy of a token that was done */
  | 'started-after-done'
  /** a handler started while another delivery held a live lease */
  | 'two-at-once'
  /** told to wait although nobody else holds a live lease, or only this very position does */
  | 'blocked'
  /** skipped at the position that was handled, although the reader sought it itself */
  | 'reprocess-skipped'

/** What happened in a schedule, so that it can be said what the schedules cover. */
export interface Coverage {
  copies: number
  rewinds: number
  seeks: number
  crashes: number
  reprocessed: number
  skippedAtOwnPosition: number
  readers: number
}

const LEASE = 30
const RETENTION = 1_000_000
const MOST_EVENTS = 5_000

interface Token {
  readonly id: string
  readonly reader: number
  failuresLeft: number
  effects: number
  done: { readonly position: string | undefined } | undefined
  holder: { readonly owner: string; readonly position: string | undefined; until: number } | undefined
}

interface Entry {
  readonly token: Token
  readonly position: string | undefined
  state: 'ready' | 'delivered' | 'acknowledged'
  redelivered: boolean
  /** the reader sought it itself */
  sought: boolean
  delivery: Delivery | undefined
}

interface Process {
  readonly reader: number
  incarnation: number
  channel: number
  alive: boolean
}

interface Delivery {
  readonly entry: Entry
  readonly process: Process
  readonly incarnation: number
  readonly channel: number
  readonly redelivered: boolean
  readonly claim: ReplayClaim
}

export function simulate(seed: number, rules: Rules, coverage: Coverage = newCoverage()): Set<Violation> {
  return new Simulation(seed, rules, coverage).run()
}

export function newCoverage(): Coverage {
  return { copies: 0, rewinds: 0, seeks: 0, crashes: 0, reprocessed: 0, skippedAtOwnPosition: 0, readers: 0 }
}

class Simulation {
  readonly #rules: Rules
  readonly #coverage: Coverage
  readonly #readers: number
  readonly #violations = new Set<Violation>()
  readonly #entries: Entry[] = []
  readonly #tokens: Token[] = []
  readonly #processes: Process[] = []
  readonly #events: { readonly at: number; readonly happen: () => void }[] = []
  readonly #store: SharedStore
  /** whether an acknowledgement of a delivery that moved on to another consumer is refused */
  readonly #fenced: boolean
  #randomState: number
  #now = 0
  #owners = 0
  #published = 0
  #crashesLeft: number
  #movesLeft: number

  constructor(seed: number, rules: Rules, coverage: Coverage) {
    this.#randomState = seed
    this.#rules = rules
    this.#coverage = coverage
    const now = () => this.#now * 1000
    this.#store = rules.store?.(now) ?? new MemoryReplayStore({ now })
    this.#fenced = this.#chance(0.5)
    this.#crashesLeft = this.#upTo(3)
    this.#movesLeft = this.#upTo(3)
    this.#readers = 1 + this.#upTo(1)
    coverage.readers = Math.max(coverage.readers, this.#readers)
  }

  run(): Set<Violation> {
    for (let reader = 0; reader < this.#readers; reader++) {
      for (let left = 1 + this.#upTo(2); left > 0; left--) {
        this.#processes.push({ reader, incarnation: 0, channel: 0, alive: true })
      }
    }
    for (let index = this.#upTo(1); index >= 0; index--) {
      const id = `token-${index}`
      const tokens: Token[] = []
      for (let reader = 0; reader < this.#readers; reader++) {
        tokens.push({ id, reader, failuresLeft: this.#upTo(2), effects: 0, done: undefined, holder: undefined })
      }
      this.#tokens.push(...tokens)
      // The producer's own message, then what it published again after a lost confirm and what an attacker copied.
      this.#after(0, () => this.#publish(tokens))
      for (let copies = this.#upTo(2); copies > 0; copies--) {
        this.#coverage.copies++
        this.#after(this.#seconds(90), () => this.#publish(tokens))
      }
    }
    for (let left = this.#upTo(2); left > 0; left--) this.#after(this.#seconds(120), () => this.#loseChannel())
    if (this.#rules.positions) {
      for (let left = this.#upTo(2); left > 0; left--) this.#after(this.#seconds(200), () => this.#moveBack(false))
      for (let left = this.#upTo(2); left > 0; left--) this.#after(this.#seconds(200), () => this.#moveBack(true))
    }
    for (let count = 0; count < MOST_EVENTS; count++) {
      const event = this.#events.pop()
      if (event === undefined) break
      this.#now = event.at
      event.happen()
    }
    if (this.#events.length > 0 || this.#entries.some((entry) => entry.state !== 'acknowledged')) this.#report('stuck')
    if (this.#tokens.some((token) => token.effects === 0)) this.#report('lost')
    return this.#violations
  }

  // The broker

  /** Each reader gets it, at the same position. */
  #publish(tokens: readonly Token[]): void {
    const position = this.#rules.positions ? `entry-${this.#published++}` : undefined
    for (const token of tokens) {
      const redelivered = false
      const entry: Entry = { token, position, state: 'ready', redelivered, sought: false, delivery: undefined }
      this.#entries.push(entry)
      this.#offer(entry)
    }
  }

  #offer(entry: Entry): void {
    entry.state = 'ready'
    this.#after(this.#seconds(5), () => this.#deliver(entry))
  }

  #deliver(entry: Entry): void {
    if (entry.state !== 'ready') return
    const process = this.#pick(this.#processes.filter(({ reader }) => reader === entry.token.reader))
    if (!process.alive) {
      this.#offer(entry)
      return
    }
    const { incarnation, channel } = process
    const { id, reader } = entry.token
    const scope = this.#rules.sharedScope ? '' : `reader-${reader}`
    const claim: ReplayClaim = {
      key: `${scope} ${id}`,
      ...(this.#rules.batch && { batch: { key: `${scope} batch`, index: Number(id.slice('token-'.length)), size: 2 } }),
      digest: 'digest',
      position: entry.position,
      owner: `owner-${this.#owners++}`,
      leaseSeconds: LEASE,
      reprocess: entry.sought,
    }
    // A crash or a rebalance makes the client forget what it sought.
    entry.sought = false
    const delivery: Delivery = { entry, process, incarnation, channel, redelivered: entry.redelivered, claim }
    entry.state = 'delivered'
    entry.delivery = delivery
    if (this.#rules.positions && this.#movesLeft > 0 && this.#chance(0.3)) {
      this.#movesLeft--
      this.#after(this.#seconds(60), () => {
        if (entry.state === 'delivered') this.#offer(entry)
      })
    }
    this.#look(delivery)
  }

  #takeBack(lost: (delivery: Delivery) => boolean): void {
    for (const entry of this.#entries) {
      if (entry.state !== 'delivered' || entry.delivery === undefined || !lost(entry.delivery)) continue
      entry.redelivered = this.#chance(0.8)
      this.#offer(entry)
    }
  }

  #loseChannel(): void {
    const process = this.#pick(this.#processes)
    process.channel++
    this.#takeBack((delivery) => delivery.process === process)
  }

  /** One reader is moved back over what it acknowledged, by its own seek or by somebody else. */
  #moveBack(sought: boolean): void {
    const reader = this.#upTo(this.#readers - 1)
    const entries = this.#entries.filter(({ token }) => token.reader === reader)
    if (entries.length === 0) return
    if (sought) this.#coverage.seeks++
    else this.#coverage.rewinds++
    for (const entry of entries.slice(this.#upTo(entries.length - 1))) {
      if (entry.state !== 'acknowledged') continue
      entry.sought = sought
      this.#offer(entry)
    }
  }

  #acknowledge(delivery: Delivery): void {
    const { entry } = delivery
    if (entry.token.effects === 0) this.#report('acknowledged-unhandled')
    if (this.#holds(delivery)) entry.state = 'acknowledged'
  }

  #giveBack(delivery: Delivery): void {
    if (!this.#holds(delivery)) return
    delivery.entry.redelivered = this.#chance(0.8)
    this.#offer(delivery.entry)
  }

  #holds(delivery: Delivery): boolean {
    if (this.#rules.positions && !this.#fenced) return true
    const current = delivery.entry.state === 'delivered' && delivery.entry.delivery === delivery
    return current && delivery.channel === delivery.process.channel
  }

  // A process

  #isGone(delivery: Delivery): boolean {
    return delivery.incarnation !== delivery.process.incarnation
  }

  /** True when the process crashed here and now. */
  #crashes(delivery: Delivery, probability: number): boolean {
    if (this.#crashesLeft === 0 || !this.#chance(probability)) return false
    this.#crashesLeft--
    this.#coverage.crashes++
    const { process } = delivery
    const { incarnation } = process
    process.incarnation++
    process.alive = false
    this.#after(this.#seconds(20), () => {
      process.alive = true
    })
    this.#after(this.#seconds(20), () =>
      this.#takeBack((other) => other.process === process && other.incarnation === incarnation),
    )
    return true
  }

  /** What the guard does with a delivery, up to the handler. */
  #look(delivery: Delivery): void {
    const { entry, claim } = delivery
    const { token } = entry
    if (this.#isGone(delivery) || this.#crashes(delivery, 0.1)) return
    // A delivery that still waits when its channel is lost may be let go, or looked at again all the same.
    if (delivery.channel !== delivery.process.channel && this.#chance(0.5)) return
    let result = this.#store.begin(claim)
    if (this.#rules.trustRedelivered && result !== 'run') result = delivery.redelivered ? 'run' : 'duplicate'
    const { holder, done } = token
    const isSame = (position: string | undefined) => position !== undefined && position === claim.position
    if (result === 'duplicate') {
      if (isSame(done?.position)) {
        this.#coverage.skippedAtOwnPosition++
        if (claim.reprocess) this.#report('reprocess-skipped')
      }
      if (!this.#crashes(delivery, 0.1)) this.#acknowledge(delivery)
      return
    }
    const held = holder !== undefined && holder.owner !== claim.owner && holder.until > this.#now
    if (result === 'in-progress') {
      if (!held || isSame(holder.position)) this.#report('blocked')
      if (this.#rules.inProgress === 'acknowledge') this.#acknowledge(delivery)
      else this.#after(1 + this.#seconds(20), () => this.#look(delivery))
      return
    }
    const isAskedFor = claim.reprocess === true && isSame(done?.position)
    if (done !== undefined && isAskedFor) this.#coverage.reprocessed++
    if (done !== undefined && !isAskedFor) this.#report('started-after-done')
    if (held && !isSame(holder.position)) this.#report('two-at-once')
    if (done === undefined) {
      token.holder = { owner: claim.owner, position: claim.position, until: this.#now + LEASE }
    }
    if (this.#rules.commitOnSight) this.#store.commit(claim, RETENTION)
    if (!this.#crashes(delivery, 0.1)) this.#handle(delivery)
  }

  #handle(delivery: Delivery): void {
    const { token } = delivery.entry
    const takes = this.#chance(0.5) ? this.#seconds(5) : this.#seconds(3 * LEASE)
    // A handler that blocks its process keeps the lease from being renewed.
    if (this.#chance(0.6)) {
      for (let after = LEASE / 3; after < takes; after += LEASE / 3) this.#after(after, () => this.#renew(delivery))
    }
    if (this.#chance(0.1)) this.#after(takes / 2, () => !this.#isGone(delivery) && this.#crashes(delivery, 1))
    const fails = token.failuresLeft > 0 && this.#chance(0.5)
    if (fails) token.failuresLeft--
    this.#after(takes, () => {
      if (this.#isGone(delivery)) return
      if (fails) this.#fail(delivery)
      else this.#succeed(delivery)
    })
  }

  #renew(delivery: Delivery): void {
    if (this.#isGone(delivery)) return
    this.#store.renew(delivery.claim)
    const { holder } = delivery.entry.token
    if (holder?.owner === delivery.claim.owner) holder.until = this.#now + LEASE
  }

  #fail(delivery: Delivery): void {
    const { token } = delivery.entry
    this.#store.release(delivery.claim)
    if (token.holder?.owner === delivery.claim.owner) token.holder = undefined
    this.#after(this.#seconds(1), () => {
      if (!this.#isGone(delivery) && !this.#crashes(delivery, 0.1)) this.#giveBack(delivery)
    })
  }

  #succeed(delivery: Delivery): void {
    const { token } = delivery.entry
    token.effects++
    if (this.#crashes(delivery, 0.1)) return
    this.#after(this.#seconds(1), () => {
      if (this.#isGone(delivery)) return
      if (this.#store.commit(delivery.claim, RETENTION) === 'committed') {
        token.done ??= { position: delivery.claim.position }
        token.holder = undefined
      }
      if (this.#crashes(delivery, 0.1)) return
      this.#after(this.#seconds(1), () => {
        if (!this.#isGone(delivery)) this.#acknowledge(delivery)
      })
    })
  }

  // Time and chance

  #after(seconds: number, happen: () => void): void {
    const at = this.#now + seconds
    // Latest first, so that the next event is the last of the array.
    let index = this.#events.length
    while (index > 0 && (this.#events[index - 1]?.at ?? 0) <= at) index--
    this.#events.splice(index, 0, { at, happen })
  }

  #report(violation: Violation): void {
    this.#violations.add(violation)
  }

  /** mulberry32 */
  #random(): number {
    this.#randomState = (this.#randomState + 0x6d2b79f5) | 0
    let bits = Math.imul(this.#randomState ^ (this.#randomState >>> 15), 1 | this.#randomState)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }

  #chance(probability: number): boolean {
    return this.#random() < probability
  }

  #seconds(most: number): number {
    return this.#random() * most
  }

  #upTo(most: number): number {
    return Math.floor(this.#random() * (most + 1))
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#upTo(items.length - 1)] as T
  }
}
