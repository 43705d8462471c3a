import { setTimeout as sleep } from 'node:timers/promises'
import { sharedByBuilds } from '../../src/across-builds.ts'
import { backOff } from '../../src/back-off.ts'
import type { Admission } from '../../src/guard.ts'
import type { Verifier } from '../../src/verifier.ts'
import type { GuardedChannel } from './channel.ts'
import { type AmqpMessage, type ConsumeOptions, invoke } from './client.ts'
import { AmqpDelivery } from './delivery.ts'
import { controller, Holds } from './holds.ts'
import type { ReadQueue } from './queue.ts'

/** How many rejected messages one `get` settles before it says that the queue has nothing for it. */
const MAX_REJECTED = 1_000

/** Those that could not judge a message that a `get` took. Programs may open a channel for each `get`. */
const UNABLE = sharedByBuilds('rabbitmq.unable', () => new WeakSet<Verifier>())

/** What a `get` got. */
class GotDelivery extends AmqpDelivery {
  /** for the caller; undefined: rejected */
  handed: AmqpMessage | undefined

  handle(admission: Admission): void | Promise<void> {
    if (this.from.noAck) void admission.commit()
    else if (!this.channel.settlements.handOver(this.native, admission)) return admission.release()
    this.handed = this.view(admission)
  }
}

/** The `get`s of a channel: settle a rejected message and look again. */
export class GuardedGets {
  readonly #channel: GuardedChannel
  #holds: Holds | undefined
  readonly #ending: AbortController = controller()

  constructor(channel: GuardedChannel) {
    this.#channel = channel
  }

  /** @throws what the client throws at once, in the callback API */
  get(from: ReadQueue, options: ConsumeOptions): Promise<AmqpMessage | false> {
    if (UNABLE.has(this.#channel.verifier)) return this.#later(from, options)
    // Sent at once, as the plain client does, so that the order of calls on the channel stays what the caller wrote.
    const first = this.#ask(from, options)
    return this.#lookOn(from, options, first)
  }

  end(): void {
    this.#ending.abort()
    this.#holds?.letGo()
  }

  /**
   * Nothing is taken while nothing can be judged: a quorum queue of RabbitMQ before 4.3 counts what is given back, and drops
   * it at its delivery limit.
   */
  async #later(from: ReadQueue, options: ConsumeOptions): Promise<AmqpMessage | false> {
    if (!(await this.#isJudgeable())) return false
    UNABLE.delete(this.#channel.verifier)
    return await this.#lookOn(from, options, this.#ask(from, options))
  }

  /** As patient as with a message that was taken. */
  async #isJudgeable(): Promise<boolean> {
    const { verifier, maxHoldMs } = this.#channel
    const deadline = performance.now() + maxHoldMs
    for (let attempt = 0; !(await verifier.probe()); attempt++) {
      const left = deadline - performance.now()
      if (left <= 0) return false
      try {
        await sleep(Math.min(backOff(attempt), left), undefined, { signal: this.#ending.signal, ref: false })
      } catch {
        // The channel ended: the client says so.
        return true
      }
    }
    return true
  }

  #ask({ queue }: ReadQueue, options: ConsumeOptions): Promise<AmqpMessage | false> {
    return invoke(this.#channel.original.get, queue, options)
  }

  async #lookOn(
    from: ReadQueue,
    options: ConsumeOptions,
    first: Promise<AmqpMessage | false>,
  ): Promise<AmqpMessage | false> {
    const [asked, prepared] = await Promise.allSettled([first, this.#channel.prepareDeadLetters(from)])
    if (asked.status === 'rejected') throw asked.reason
    let raw = asked.value
    for (let rejected = 0; raw !== false; rejected++) {
      this.#channel.acknowledgements.delivered(raw.fields.deliveryTag, from.noAck)
      if (!from.noAck) this.#channel.settlements.withhold(raw)
      if (prepared.status === 'rejected') {
        this.#giveBack(from, raw)
        throw prepared.reason
      }
      const view = await this.#judge(from, raw)
      if (view !== undefined || rejected >= MAX_REJECTED) return view ?? false
      raw = await this.#ask(from, options)
    }
    if (prepared.status === 'rejected') throw prepared.reason
    return false
  }

  /** The message, checked; undefined: rejected and settled; false: it cannot be judged and was given back. */
  async #judge(from: ReadQueue, raw: AmqpMessage): Promise<AmqpMessage | undefined | false> {
    const { verifier, options, gone, maxHoldMs } = this.#channel
    this.#holds ??= new Holds(verifier, options, gone)
    const got = new GotDelivery(this.#channel, from, raw)
    const outcome = this.#holds.guard.receive(got)
    if (!(outcome instanceof Promise)) return got.handed
    this.#channel.track(outcome)
    const timer = setTimeout(() => this.#letGo(), maxHoldMs).unref()
    try {
      if ((await outcome) !== 'let-go') return got.handed
    } finally {
      clearTimeout(timer)
    }
    if (!this.#ending.signal.aborted) UNABLE.add(verifier)
    this.#giveBack(from, raw)
    return false
  }

  #letGo(): void {
    this.#holds?.letGo()
    if (!this.#ending.signal.aborted) this.#holds?.holdAgain()
  }

  #giveBack({ noAck }: ReadQueue, raw: AmqpMessage): void {
    if (!noAck && !this.#channel.closing) this.#channel.settlements.settle('requeue', raw)
  }
}
