import type { QueuePatterns } from '../../src/authorized-keys/patterns.ts'
import type { PreparedMessage } from '../../src/batch/prepared.ts'
import { SetupError } from '../../src/errors.ts'
import { type Message, TOKEN_HEADER } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import type { Argument, CommandLike } from './client.ts'
import { textOf, toMessage } from './message.ts'
import { refuse, shorten } from './refuse.ts'
import { parseXadd } from './xadd.ts'

/** On the command itself, so that what is sent again after a reconnect, or passed on to a node, is not signed again. */
const SIGNED: unique symbol = Symbol.for('queue-key-auth.signed') as never

interface Marked {
  [SIGNED]?: true
}

/** An XADD that was read. */
interface Unsigned {
  readonly message: Message
  /** the arguments as far as the token */
  readonly args: readonly Argument[]
}

/** The entries of one stream that wait for their tokens. */
interface Group {
  readonly commands: CommandLike[]
  readonly args: (readonly Argument[])[]
  readonly prepared: PreparedMessage[]
}

/** Gives XADD commands their tokens, each once. One that cannot be signed is refused by itself. */
export class EntrySigner {
  readonly #signer: Signer
  readonly #streams: QueuePatterns | undefined

  /** @param streams the physical keys to sign; undefined: all */
  constructor(signer: Signer, streams: QueuePatterns | undefined) {
    this.#signer = signer
    this.#streams = streams
  }

  sign(command: CommandLike): void {
    const unsigned = this.#read(command)
    if (unsigned === undefined) return
    const { message, args } = unsigned
    orRefuse([command], () => addToken(command, args, this.#signer.sign(message)))
  }

  /** One signature for all entries of a stream. When it fails they are refused, and those of other streams are not. */
  signTogether(commands: readonly CommandLike[]): void {
    const groups = new Map<string, Group>()
    for (const command of commands) {
      const unsigned = this.#read(command)
      if (unsigned === undefined) continue
      const { message, args } = unsigned
      orRefuse([command], () => {
        const prepared = this.#signer.prepare(message)
        const group = groups.get(message.destination) ?? { commands: [], args: [], prepared: [] }
        groups.set(message.destination, group)
        group.commands.push(command)
        group.args.push(args)
        group.prepared.push(prepared)
      })
    }
    for (const { commands, args, prepared } of groups.values()) {
      orRefuse(commands, () => {
        const tokens = this.#signer.signPrepared(prepared)
        for (const [index, command] of commands.entries()) {
          addToken(command, args[index] as readonly Argument[], tokens[index] as string)
        }
      })
    }
  }

  /** undefined: there is nothing to sign, or it is refused, or it was read before. */
  #read(command: CommandLike): Unsigned | undefined {
    if ((command as Marked)[SIGNED]) return undefined
    ;(command as Marked)[SIGNED] = true
    const { args } = command
    const [key] = args
    if (this.#streams !== undefined) {
      const name = key === undefined ? undefined : textOf(key)
      if (name === undefined || !this.#streams.matches(name)) return undefined
    }
    const parsed = parseXadd(args)
    if (parsed === 'incomplete') {
      // Whatever the server makes of it, it must not add an entry: with its key only, it cannot.
      shorten(command, 1)
      return undefined
    }
    if (typeof parsed === 'string') {
      refuse(command, 1, grammarError(parsed))
      return undefined
    }
    return orRefuse([command], () => {
      const given = args.slice(parsed.fields)
      const { message, fields } = toMessage(parsed.key, given)
      return { message, args: fields === given ? args : [...args.slice(0, parsed.fields), ...fields] }
    })
  }
}

function addToken(command: CommandLike, args: readonly Argument[], token: string): void {
  command.args = [...args, TOKEN_HEADER, token]
}

function orRefuse<T>(commands: readonly CommandLike[], work: () => T): T | undefined {
  try {
    return work()
  } catch (error) {
    for (const command of commands) refuse(command, 1, error)
    return undefined
  }
}

function grammarError(fault: 'idmpauto' | 'unknown'): SetupError {
  return new SetupError(
    'option-invalid',
    fault === 'idmpauto'
      ? 'XADD with IDMPAUTO tells repetitions by a hash of the content, which a signature makes different each time; write IDMP with an id of your own'
      : 'XADD has an option this version does not know, so it cannot tell the fields to sign; leave the option out, or leave the stream out by the option streams',
  )
}
