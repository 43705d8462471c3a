import { setMaxListeners } from 'node:events'
import type { ConsumerOptions } from '../../src/consumer-options.ts'
import { Guard } from '../../src/guard.ts'
import { quote } from '../../src/text.ts'
import type { Verifier } from '../../src/verifier.ts'
import { override } from '../../src/wrapping.ts'
import { acknowledge, commitQueued } from './acknowledgements.ts'
import { type Admissions, admissionsOf } from './admissions.ts'
import {
  type CommandConstructor,
  type CommandLike,
  openConnection,
  type PipelineLike,
  type RedisClient,
} from './client.ts'
import { DeadLetterSink } from './dead-letters.ts'
import { type StreamEntry, textOf } from './message.ts'
import { decoratePipelines } from './pipelines.ts'
import { inTransaction, lateInTransaction, noAckRefused, noText, unguarded, unknownOption } from './read-errors.ts'
import { converted, GroupReader, type Judged } from './reader.ts'
import { type GroupRead, type Page, pagesOf, parseClaim, parseReadGroup, replyOf, replyShapeOf } from './reads.ts'
import { isRefused, mapRefusal, refuse } from './refuse.ts'
import { listen, takeEncoding } from './replies.ts'

export interface RedisStreamsConsumerOptions extends ConsumerOptions<StreamEntry> {
  /** the stream for rejected entries, by the physical key of the one they came from; default `{<key>}:dlq`, or `<key>:dlq` where the key has a hash tag */
  readonly deadLetterName?: (stream: string) => string
}

type Send = (command: CommandLike, ...rest: unknown[]) => unknown

/** What shows entries to nobody in particular: there is no group to acknowledge for, so nothing could be dead-lettered. */
const UNGUARDED: ReadonlySet<string> = new Set(['xread', 'xrange', 'xrevrange'])

/** Puts the checks between a client and the replies to its group reads. */
export class GuardedClient {
  readonly #client: RedisClient
  readonly #send: Send
  readonly #admissions: Admissions
  readonly #reader: GroupReader
  readonly #sink: DeadLetterSink
  readonly #verifier: Verifier
  readonly #ending = new AbortController()
  #deadLetters: RedisClient | undefined
  readonly #known = new Set<string>()
  /** between MULTI and EXEC of a transaction that is no pipeline */
  #inMulti = false

  constructor(client: RedisClient, verifier: Verifier, options: RedisStreamsConsumerOptions) {
    this.#client = client
    this.#verifier = verifier
    this.#send = client.sendCommand.bind(client) as Send
    this.#admissions = admissionsOf(verifier)
    this.#sink = new DeadLetterSink(() => this.#connection(), options.deadLetterName)
    const { signal } = this.#ending
    setMaxListeners(0, signal)
    const guard = new Guard<StreamEntry>(verifier, { ...options, signal })
    this.#reader = new GroupReader(guard, this.#admissions, this.#sink, signal)
    signal.addEventListener('abort', () => guard.close(), { once: true })
  }

  decorate(): void {
    const client = this.#client
    override(client, 'sendCommand', (command: CommandLike, ...rest: unknown[]) => this.#sendCommand(command, rest))
    decoratePipelines(client, (pipeline) => this.#commitFirst(pipeline))
    client.on('end', () => {
      this.#ending.abort()
      this.#deadLetters?.disconnect()
    })
  }

  #sendCommand(command: CommandLike, rest: unknown[]): unknown {
    const name = command.name.toLowerCase()
    switch (name) {
      case 'xreadgroup':
        this.#guardRead(command)
        break
      case 'xautoclaim':
      case 'xclaim':
        this.#guardClaim(command, name)
        break
      case 'xack':
      case 'xackdel': {
        const committed = acknowledge(command, this.#admissions)
        if (!(committed instanceof Promise)) break
        // A pipeline was looked through before it was sent, so this one comes in a MULTI or alone.
        if (this.#inMulti || rest.length > 0) refuse(command, 1, lateInTransaction())
        else return this.#sendLater(command, committed)
        break
      }
      case 'multi':
        if (!command.inTransaction) this.#inMulti = true
        break
      case 'exec':
      case 'discard':
        if (!command.inTransaction) this.#inMulti = false
        break
      case 'quit':
        if (!this.#ending.signal.aborted) {
          this.#ending.abort()
          const drained = this.#reader.drain()
          void drained.then(() => this.#send(command, ...rest))
          return command.promise
        }
        break
      default:
        if (UNGUARDED.has(name) && !isRefused(command)) refuse(command, 1, unguarded(name))
    }
    mapRefusal(command)
    return this.#send(command, ...rest)
  }

  #sendLater(command: CommandLike, committed: Promise<boolean>): Promise<unknown> {
    this.#reader.track(
      committed.then((may) => {
        if (may) this.#send(command)
        else command.reject(new Error('the replay store could not be reached, so nothing is acknowledged'))
        return command.promise
      }),
    )
    return command.promise
  }

  #guardRead(command: CommandLike): void {
    if (isRefused(command)) return
    const read = parseReadGroup(command.args)
    if (read === undefined) return
    if (typeof read === 'string') {
      const noAck = read === 'no-ack'
      refuse(command, 2, noAck ? noAckRefused() : unknownOption())
      return
    }
    if (command.inTransaction || this.#inMulti) {
      refuse(command, 2, inTransaction('XREADGROUP'))
      return
    }
    const names = read.streams.map(({ key }) => textOf(key))
    if (names.includes(undefined)) {
      refuse(command, 2, noText())
      return
    }
    for (const name of names as string[]) this.#lookUp(name)
    if (read.blockIndex !== undefined && (names as string[]).some((name) => this.#reader.hasLate(name, read.group))) {
      command.args = command.args.with(read.blockIndex, '1')
    }
    const encoding = takeEncoding(command)
    listen(command, (reply, resolve) => this.#answerRead(command, read, reply, encoding, resolve))
  }

  #answerRead(
    command: CommandLike,
    read: GroupRead,
    reply: unknown,
    encoding: unknown,
    resolve: (reply: unknown) => void,
  ): void {
    const shape = replyShapeOf(command)
    const pages = pagesOf(reply, shape)
    if (pages === undefined && reply !== null && reply !== undefined) {
      // Neither entries nor none: nothing we know is handed on unseen.
      resolve(null)
      return
    }
    after(all((pages ?? []).map((page) => this.#reader.judge(page, read.group, encoding))), (judged) => {
      const answer = new Map<string, unknown[]>()
      for (const { key } of read.streams) {
        const late = this.#reader.takeLate(textOf(key) as string, read.group)
        if (late.length > 0) answer.set(textOf(key) as string, late)
      }
      for (const [index, page] of (pages ?? []).entries()) {
        const entries = judged[index]?.entries ?? []
        // An empty page that was empty before tells that a history is read to its end.
        if (entries.length > 0 || page.entries.length === 0) {
          answer.set(page.key, [...(answer.get(page.key) ?? []), ...entries])
        }
      }
      const withheld = judged.reduce((sum, { withheld }) => sum + withheld, 0)
      if (withheld > 0 && answer.size === 0 && !this.#ending.signal.aborted) {
        // All of it was refused: that is not the end of the stream, so read on.
        this.#readOn(command, read, pages ?? [], encoding, resolve)
        return
      }
      const shown = [...answer].map(([key, entries]) => ({ key: converted(Buffer.from(key), encoding), entries }))
      resolve(shown.length === 0 ? null : replyOf(shown, shape))
    })
  }

  #readOn(
    command: CommandLike,
    read: GroupRead,
    pages: readonly Page[],
    encoding: unknown,
    resolve: (reply: unknown) => void,
  ): void {
    const args = [...command.args]
    for (const { key, idIndex } of read.streams) {
      // What is pending is read by ascending ids, and what is held is pending still.
      const last = pages.find((page) => page.key === textOf(key))?.entries.at(-1)
      if (last && String(args[idIndex]) !== '>') args[idIndex] = String(last[0])
    }
    const Command = command.constructor as CommandConstructor
    const again = new Command('xreadgroup', args, { replyEncoding: null })
    listen(again, (reply) => this.#answerRead(again, read, reply, encoding, resolve))
    again.promise.catch((error: unknown) => command.reject(error))
    this.#send(again)
  }

  #guardClaim(command: CommandLike, name: 'xclaim' | 'xautoclaim'): void {
    if (isRefused(command)) return
    const claim = parseClaim(command.args)
    // With ids alone no content is shown; whoever reads it later does that here.
    if (claim === undefined || claim.justIds) return
    const key = textOf(claim.key)
    if (command.inTransaction || this.#inMulti) {
      refuse(command, 1, inTransaction(name.toUpperCase()))
      return
    }
    if (key === undefined) {
      refuse(command, 1, noText())
      return
    }
    this.#lookUp(key)
    const encoding = takeEncoding(command)
    listen(command, (reply, resolve) => {
      const list = name === 'xclaim' ? reply : (reply as unknown[] | null)?.[1]
      if (!Array.isArray(list)) {
        resolve(null)
        return
      }
      after(this.#reader.judge({ key, entries: list as Page['entries'] }, claim.group, encoding), ({ entries }) => {
        if (name === 'xclaim') resolve(entries)
        else {
          const [cursor, , ...more] = reply as unknown[]
          resolve([converted(cursor, encoding), entries, ...(converted(more, encoding) as unknown[])])
        }
      })
    })
  }

  /** `exec` waits for the replay store where it is far away: one command of a pipeline cannot be held back by itself. */
  #commitFirst(pipeline: PipelineLike): void {
    const exec = pipeline.exec
    override(pipeline, 'exec', (...args) => {
      const committed = commitQueued(pipeline._queue, this.#admissions)
      if (committed === undefined) return exec.apply(pipeline, args)
      const running = committed.then(() => exec.apply(pipeline, args))
      this.#reader.track(running)
      return running
    })
  }

  /** Looks, when a stream is first read, whether its dead letters will have a place. */
  #lookUp(stream: string): void {
    if (this.#known.has(stream)) return
    this.#known.add(stream)
    this.#sink.faultOf(stream).then(
      (fault) => {
        if (fault !== undefined) this.#verifier.warnings.once(`dead letters ${stream}`, fault)
      },
      (error: unknown) => {
        if (this.#ending.signal.aborted) return
        this.#verifier.warnings.once(
          `dead letters ${stream}`,
          `the stream for the dead letters of ${quote(stream)} cannot be looked up: ${quote(String(error))}`,
        )
      },
    )
  }

  #connection(): RedisClient {
    if (this.#deadLetters !== undefined) return this.#deadLetters
    const connection = openConnection(this.#client)
    connection.on('error', (error: Error) => {
      this.#verifier.warnings.once(
        'redis dead letters',
        `the connection for dead letters failed: ${quote(error.message)}`,
      )
    })
    this.#deadLetters = connection
    if (this.#ending.signal.aborted && this.#client.status === 'end') connection.disconnect()
    return connection
  }
}

function all(judged: readonly (Judged | Promise<Judged>)[]): Judged[] | Promise<Judged[]> {
  return judged.some((one) => one instanceof Promise) ? Promise.all(judged) : (judged as Judged[])
}

function after<T>(value: T | Promise<T>, use: (value: T) => void): void {
  if (value instanceof Promise) void value.then(use)
  else use(value)
}
