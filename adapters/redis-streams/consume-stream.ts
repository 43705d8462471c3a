import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { backOff } from '../../src/back-off.ts'
import { SetupError } from '../../src/errors.ts'
import {
  ABORT_SIGNAL,
  above0,
  checkOptions,
  FUNCTION,
  having,
  NAME,
  type OptionRules,
  wholeNumber,
} from '../../src/option-check.ts'
import { quote } from '../../src/text.ts'
import type { Verifier } from '../../src/verifier.ts'
import { type Argument, keyPrefixOf, type RedisClient } from './client.ts'
import { DeadLetterSink } from './dead-letters.ts'
import { EntryHandler } from './entry-handler.ts'
import { GroupStart } from './group-start.ts'
import type { RedisStreamsConsumerOptions } from './guarded-client.ts'
import { destinationOf, type StreamEntry } from './message.ts'
import { CONSUMER_OPTION_RULES, refuseReject, requireClient } from './options.ts'
import { openConnection } from './own-connection.ts'
import { StreamGroup } from './stream-group.ts'

/** An entry in the hands of a handler: what was signed, without the token. `senderOf(message)` says who signed it. */
export interface StreamMessage extends StreamEntry {
  /** the same fields as text, by name; of a name that comes more than once the last */
  readonly values: Readonly<Record<string, string>>
}

export interface ConsumeStreamOptions extends RedisStreamsConsumerOptions {
  /** where the connections of the consumer are made from; it is left alone otherwise, wrapped or not */
  readonly redis: RedisClient
  /** as the client names it: its keyPrefix comes before it */
  readonly stream: string
  /** made, with the stream, where there is none */
  readonly group: string
  /** the name of this consumer in the group: its own, and the same after a restart */
  readonly consumer: string
  readonly verifier: Verifier
  /** Resolves: the entry is acknowledged. Throws: it is delivered again after `claimIdleSeconds`. */
  readonly handler: (message: StreamMessage) => unknown
  /**
   * the entry id after which a group starts to read that never was there before; default `0`, the beginning. `$`: what comes
   * from now on. A group that is gone later is made again so that nothing is left out
   */
  readonly startId?: string
  /** how many handlers may run at a time; default 10. With 1 entries are handled in order */
  readonly concurrency?: number
  /**
   * how long a read waits for entries, in seconds, which is also how long `stop` may take; default 1. A server that says nothing
   * for five seconds more is given up, and the connection made anew
   */
  readonly blockSeconds?: number
  /** how many seconds `stop` waits for handlers that run; default 30. Entries of those that still run then are delivered again */
  readonly drainSeconds?: number
  /** after how many idle seconds an entry is delivered again, to whichever consumer; default 30 */
  readonly claimIdleSeconds?: number
  /** how often a handler may fail on one entry before it goes to the dead letters; default 10. `Infinity`: no limit */
  readonly maxDeliveries?: number
  /** hears what a handler threw; default: a process warning, once a stream */
  readonly onError?: (error: unknown, message: StreamMessage) => void
  /** stops the consumer, as `stop` does */
  readonly signal?: AbortSignal
}

export interface StreamConsumer {
  /**
   * Reads nothing more, lets running handlers finish, acknowledges, and closes its connections. It ends in any case: after
   * `drainSeconds`, and with a server that does not answer five seconds after the last handler.
   */
  stop(): Promise<void>
  /** resolves when it has stopped, by itself when its connections were ended */
  readonly finished: Promise<void>
}

/**
 * Consumes a stream as one of a group until it is stopped: own pending entries first, then new ones and those that others
 * let lie. Reads on a connection of its own, and reconnects.
 *
 * @throws SetupError `client-unsupported`, `destination-invalid`, `option-invalid`
 */
export function consumeStream(given: ConsumeStreamOptions): StreamConsumer {
  const options = check(given)
  const resolved = resolve(options)
  return new Consumption(options, resolved)
}

interface Resolved {
  readonly key: string
  readonly concurrency: number
  readonly blockMs: number
  readonly claimIdleMs: number
  readonly drainMs: number
}

/** How long a stop waits for a server that does not answer. */
const LAST_ANSWER_MS = 5_000

/** How many entries may wait (for a store, for dead letters) before nothing more is read. */
const MAX_HELD = 1_000

class Consumption implements StreamConsumer {
  readonly finished: Promise<void>
  readonly #options: ConsumeStreamOptions
  readonly #resolved: Resolved
  readonly #reading: RedisClient
  readonly #working: RedisClient
  readonly #group: StreamGroup
  readonly #start: GroupStart
  readonly #entries: EntryHandler
  readonly #stopping = new AbortController()
  /** where to go on among the own pending entries; undefined: they are all in hand */
  #pendingAfter: string | undefined = '0'
  #claimCursor = '0-0'
  #claimAt = 0

  constructor(options: ConsumeStreamOptions, resolved: Resolved) {
    const { redis, group, consumer, verifier, deadLetterName, signal, startId = '0' } = options
    this.#options = options
    this.#resolved = resolved
    setMaxListeners(0, this.#stopping.signal)
    this.#reading = this.#open(redis, resolved.blockMs)
    this.#working = this.#open(redis, 0)
    this.#group = new StreamGroup(this.#reading, this.#working, { stream: resolved.key, group, consumer })
    this.#start = new GroupStart(this.#working, resolved.key, group, startId, verifier.warnings)
    const sink = new DeadLetterSink(() => this.#working, deadLetterName)
    this.#entries = new EntryHandler(options, this.#group, sink, this.#working, this.#stopping.signal)
    // What was sent in reply to a read when the connection broke is pending and in nobody's hand.
    this.#reading.on('ready', () => {
      this.#pendingAfter = '0'
    })
    if (signal?.aborted) this.#stopping.abort()
    signal?.addEventListener('abort', () => this.#stopping.abort(), { once: true, signal: this.#stopping.signal })
    sink.faultOf(resolved.key).then(
      (fault) => {
        if (fault !== undefined) verifier.warnings.once(`dead letters ${resolved.key}`, fault)
      },
      (error: unknown) => this.#report(error),
    )
    this.finished = this.#finish()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.finished
  }

  #open(redis: RedisClient, blockMs: number): RedisClient {
    const connection = openConnection(redis, blockMs)
    connection.on('error', (error: unknown) => this.#report(error))
    connection.on('end', () => this.#stopping.abort())
    return connection
  }

  async #finish(): Promise<void> {
    const keeping = setInterval(() => void this.#keep(), this.#resolved.claimIdleMs / 3).unref()
    const done = new AbortController()
    const running = this.#run().finally(() => done.abort())
    await Promise.race([running, this.#overdue(done.signal)])
    clearInterval(keeping)
    this.#reading.disconnect()
    this.#working.disconnect()
  }

  /** Resolves when a stop has waited for long enough, or when there is nothing to wait for. */
  async #overdue(done: AbortSignal): Promise<void> {
    const { blockMs, drainMs } = this.#resolved
    const pause = (milliseconds: number): Promise<void> =>
      sleep(milliseconds, undefined, { signal: done }).catch(() => undefined)
    await aborted(AbortSignal.any([this.#stopping.signal, done]))
    await Promise.race([this.#entries.handlersDone(), pause(drainMs)])
    // A read that is out may block for so long, and what was handled is acknowledged.
    await pause(blockMs + LAST_ANSWER_MS)
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    for (let attempt = 0; !signal.aborted; ) {
      try {
        await this.#start.create()
        // Only an error ends it: the group may be gone, and entries may have been lost on their way here.
        for (;;) {
          if (signal.aborted) break
          await this.#next()
          attempt = 0
        }
      } catch (error) {
        if (signal.aborted) break
        this.#report(error)
        this.#pendingAfter = '0'
        await sleep(backOff(attempt++), undefined, { signal }).catch(() => undefined)
      }
    }
    await this.#entries.drain()
  }

  async #next(): Promise<void> {
    const { concurrency, blockMs, claimIdleMs } = this.#resolved
    const entries = this.#entries
    while (entries.active >= concurrency || entries.held >= MAX_HELD) {
      await entries.change()
      if (this.#stopping.signal.aborted) return
    }
    const room = concurrency - entries.active
    if (this.#pendingAfter !== undefined) {
      const after = this.#pendingAfter
      const page = await this.#group.readPending(room, after)
      const last = page.at(-1)
      // A reconnect meanwhile wants it from the beginning.
      if (this.#pendingAfter === after) this.#pendingAfter = last && String(last[0])
      entries.take(page, await this.#group.deliveryCounts(page))
    } else if (performance.now() >= this.#claimAt) {
      const { cursor, entries: page } = await this.#group.claimIdle(claimIdleMs, this.#claimCursor, room)
      this.#claimCursor = cursor
      if (cursor === '0-0') this.#claimAt = performance.now() + claimIdleMs / 2
      entries.take(page, await this.#group.deliveryCounts(page))
    } else {
      const page = await this.#group.readNew(room, blockMs)
      const last = page.at(-1)
      if (last !== undefined) this.#start.saw(String(last[0]))
      entries.take(page)
    }
  }

  async #keep(): Promise<void> {
    try {
      await this.#group.keep(this.#entries.ids)
    } catch (error) {
      this.#report(error)
    }
  }

  #report(error: unknown): void {
    if (this.#stopping.signal.aborted) return
    const { key } = this.#resolved
    const text = error instanceof Error ? error.message : String(error)
    this.#options.verifier.warnings.once(
      `redis ${key} ${text.split(' ')[0]}`,
      `stream ${quote(key)}: ${quote(text, 200)}; trying again`,
    )
  }
}

const RULES: OptionRules<ConsumeStreamOptions> = {
  ...CONSUMER_OPTION_RULES,
  redis: having('a Redis or a Cluster of ioredis', 'sendCommand', 'duplicate'),
  stream: NAME,
  group: NAME,
  consumer: NAME,
  verifier: having('a Verifier', 'check'),
  handler: FUNCTION,
  startId: {
    must: 'an entry id, "0" for the beginning or "$" for the end',
    fits: (value) => typeof value === 'string' && /^(?:\$|\d+(?:-\d+)?)$/.test(value),
  },
  concurrency: wholeNumber(1, Number.MAX_SAFE_INTEGER),
  blockSeconds: above0('seconds', 60),
  claimIdleSeconds: above0('seconds', Number.MAX_VALUE),
  drainSeconds: {
    must: 'a number of seconds from 0 to 86,400',
    fits: (value) => typeof value === 'number' && value >= 0 && value <= 86_400,
  },
  maxDeliveries: {
    must: 'a number, 1 or more, or Infinity',
    fits: (value) => typeof value === 'number' && value >= 1,
  },
  onError: FUNCTION,
  signal: ABORT_SIGNAL,
}

/** @throws SetupError `client-unsupported`, `option-invalid` */
function check(given: ConsumeStreamOptions): ConsumeStreamOptions {
  requireClient(given?.redis)
  refuseReject(given)
  const options = checkOptions('consumeStream', given, RULES)
  const missing = (['stream', 'group', 'consumer', 'verifier', 'handler'] as const).find(
    (name) => options[name] === undefined,
  )
  if (missing === undefined) return options
  throw new SetupError('option-invalid', `consumeStream: ${missing} is missing; it must be ${RULES[missing].must}`)
}

/** @throws SetupError `destination-invalid` */
function resolve(options: ConsumeStreamOptions): Resolved {
  const { redis, stream, concurrency = 10, blockSeconds = 1, claimIdleSeconds = 30, drainSeconds = 30 } = options
  const key: Argument = keyPrefixOf(redis) + stream
  destinationOf(key)
  return {
    key,
    concurrency,
    blockMs: Math.max(1, Math.round(blockSeconds * 1000)),
    claimIdleMs: Math.max(1, Math.round(claimIdleSeconds * 1000)),
    drainMs: Math.round(drainSeconds * 1000),
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
