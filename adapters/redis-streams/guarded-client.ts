import type { ConsumerOptions } from '../../src/consumer-options.ts'
import { quote } from '../../src/text.ts'
import type { Verifier } from '../../src/verifier.ts'
import { override } from '../../src/wrapping.ts'
import { acknowledge, commitQueued } from './acknowledgements.ts'
import { type Admissions, admissionsOf } from './admissions.ts'
import type { CommandLike, PipelineLike, RedisClient } from './client.ts'
import { DeadLetterSink } from './dead-letters.ts'
import { GuardedRead } from './guarded-read.ts'
import { type StreamEntry, textOf } from './message.ts'
import { openConnection } from './own-connection.ts'
import { decoratePipelines } from './pipelines.ts'
import { inTransaction, lateInTransaction, noAckRefused, noText, unguarded, unknownOption } from './read-errors.ts'
import type { Judged } from './reader.ts'
import { type Page, parseClaim, parseReadGroup } from './reads.ts'
import { isRefused, mapRefusal, refuse } from './refuse.ts'
import { converted, isListened, listen } from './replies.ts'
import { Session } from './session.ts'

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
  readonly #sink: DeadLetterSink
  readonly #verifier: Verifier
  readonly #options: RedisStreamsConsumerOptions
  #current: Session | undefined
  #deadLetters: RedisClient | undefined
  readonly #known = new Set<string>()
  /** between MULTI and EXEC of a transaction that is no pipeline */
  #inMulti = false

  constructor(client: RedisClient, verifier: Verifier, options: RedisStreamsConsumerOptions) {
    this.#client = client
    this.#verifier = verifier
    this.#options = options
    this.#send = client.sendCommand.bind(client) as Send
    this.#admissions = admissionsOf(verifier)
    this.#sink = new DeadLetterSink(() => this.#connection(), options.deadLetterName)
  }

  decorate(): void {
    const client = this.#client
    override(client, 'sendCommand', (command: CommandLike, ...rest: unknown[]) => this.#sendCommand(command, rest))
    decoratePipelines(client, (pipeline) => this.#commitFirst(pipeline))
    if (client.isCluster) this.#waitBeforeQuitting(client as RedisClient & ClusterLike)
    client.on('end', () => this.#ended())
  }

  /** Another one where the last was closed: a client that was closed can be connected again. */
  #session(): Session {
    if (this.#current === undefined || this.#current.isOver) {
      this.#current = new Session(this.#verifier, this.#options, this.#admissions, this.#sink)
    }
    return this.#current
  }

  #ended(): void {
    // It was connected again before it could say so.
    if (this.#client.status !== 'end') return
    this.#current?.end()
    this.#inMulti = false
    this.#deadLetters?.disconnect()
    this.#deadLetters = undefined
  }

  /** @returns what has to be waited for: commits and dead letters in progress; undefined when there is nothing */
  #close(): Promise<void> | undefined {
    const session = this.#current
    if (session === undefined || session.isOver) return undefined
    session.end()
    return session.reader.drain()
  }

  /** A Cluster quits by its nodes, not by a command of its own. */
  #waitBeforeQuitting(cluster: ClusterLike): void {
    const quit = cluster.quit
    override(cluster, 'quit', (...args) => {
      const drained = this.#close()
      return drained === undefined ? quit.apply(cluster, args) : drained.then(() => quit.apply(cluster, args))
    })
  }

  #sendCommand(command: CommandLike, rest: unknown[]): unknown {
    const name = command.name.toLowerCase()
    switch (name) {
      case 'xreadgroup':
        if (!isListened(command) && !this.#guardRead(command, rest.length === 0)) return command.promise
        break
      case 'xautoclaim':
      case 'xclaim':
        if (!isListened(command)) this.#guardClaim(command, name)
        break
      case 'xack':
      case 'xackdel': {
        // Nothing is committed for an acknowledgement that is turned down here.
        if (this.#client.status === 'end') break
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
      case 'quit': {
        const drained = this.#close()
        if (drained === undefined) break
        void drained.then(() => this.#send(command, ...rest))
        return command.promise
      }
      default:
        if (UNGUARDED.has(name) && !isRefused(command)) refuse(command, 1, unguarded(name))
    }
    mapRefusal(command)
    return this.#send(command, ...rest)
  }

  #sendLater(command: CommandLike, committed: Promise<boolean>): Promise<unknown> {
    this.#session().reader.track(
      committed.then((may) => {
        if (may) this.#send(command)
        else command.reject(new Error('the replay store could not be reached, so nothing is acknowledged'))
        return command.promise
      }),
    )
    return command.promise
  }

  /**
   * @param alone no part of a pipeline
   * @returns whether it is to be sent now
   */
  #guardRead(command: CommandLike, alone: boolean): boolean {
    if (isRefused(command)) return true
    const read = parseReadGroup(command.args)
    if (read === undefined) return true
    if (typeof read === 'string') {
      const noAck = read === 'no-ack'
      refuse(command, 2, noAck ? noAckRefused() : unknownOption())
      return true
    }
    if (command.inTransaction || this.#inMulti) {
      refuse(command, 2, inTransaction('XREADGROUP'))
      return true
    }
    const names = read.streams.map(({ key }) => textOf(key))
    if (names.includes(undefined)) {
      refuse(command, 2, noText())
      return true
    }
    for (const name of names as string[]) this.#lookUp(name)
    return new GuardedRead(this.#session(), this.#send, command, read, names as string[]).begin(alone)
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
    const { reader } = this.#session()
    listen(command, (reply, encoding) => {
      const list = name === 'xclaim' ? reply : (reply as unknown[] | null)?.[1]
      if (!Array.isArray(list)) return null
      const answer = ({ entries }: Judged): unknown => {
        if (name === 'xclaim') return entries
        const [cursor, , ...more] = reply as unknown[]
        return [converted(cursor, encoding), entries, ...(converted(more, encoding) as unknown[])]
      }
      const judged = reader.judge({ key, entries: list as Page['entries'] }, claim.group, encoding)
      return judged instanceof Promise ? judged.then(answer) : answer(judged)
    })
  }

  /** `exec` waits for the replay store where it is far away: one command of a pipeline cannot be held back by itself. */
  #commitFirst(pipeline: PipelineLike): void {
    const exec = pipeline.exec
    override(pipeline, 'exec', (...args) => {
      const committed = commitQueued(pipeline._queue, this.#admissions)
      if (committed === undefined) return exec.apply(pipeline, args)
      const running = committed.then(() => exec.apply(pipeline, args))
      this.#session().reader.track(running)
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
        if (this.#client.status === 'end') return
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
    // What comes after the client was closed fails, and its entry stays pending.
    if (this.#client.status === 'end') connection.disconnect()
    else this.#deadLetters = connection
    return connection
  }
}

interface ClusterLike {
  quit(...callback: unknown[]): Promise<unknown>
}
