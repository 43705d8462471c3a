import { sharedByBuilds } from '../../src/across-builds.ts'
import type { QueuePatterns } from '../../src/authorized-keys/patterns.ts'
import type { PreparedMessage } from '../../src/batch/prepared.ts'
import { SetupError } from '../../src/errors.ts'
import { type Message, TOKEN_HEADER } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import type { Argument, CommandLike } from './client.ts'
import { destinationOf, textOf, toMessage } from './message.ts'
import { refuse, shorten } from './refuse.ts'
import { parseXadd } from './xadd.ts'

/** What is sent again after a reconnect, or passed on to a node, is not signed again. Kept by us alone, as others copy marks. */
const SIGNED = sharedByBuilds('redis-streams.signed', () => new WeakSet<CommandLike>())

/** An XADD that was read. */
interface Read<Made> {
  readonly destination: string
  /** those of the command, as they are sent: the token goes behind them */
  readonly args: Argument[]
  /** what was made of the message */
  readonly made: Made
}

/** The entries of one stream that wait for their tokens. */
interface Group {
  readonly commands: CommandLike[]
  readonly entries: Read<PreparedMessage>[]
}

/** Gives XADD commands their tokens, each once. One that cannot be signed is refused by itself. */
export class EntrySigner {
  readonly #signer: Signer
  readonly #streams: QueuePatterns | undefined
  /** the key that was seen last, and its address: those that follow each other mostly have the same */
  #key: Argument | undefined
  #destination = ''

  /** @param streams the physical keys to sign; undefined: all */
  constructor(signer: Signer, streams: QueuePatterns | undefined) {
    this.#signer = signer
    this.#streams = streams
  }

  sign(command: CommandLike): void {
    const read = this.#read(command, (message) => this.#signer.sign(message))
    if (read !== undefined) addToken(command, read.args, read.made)
  }

  /** One signature for all entries of a stream. When it fails they are refused, and those of other streams are not. */
  signTogether(commands: readonly CommandLike[]): void {
    const prepare = (message: Message): PreparedMessage => this.#signer.prepare(message)
    const groups = new Map<string, Group>()
    for (const command of commands) {
      const read = this.#read(command, prepare)
      if (read === undefined) continue
      const group = groups.get(read.destination) ?? { commands: [], entries: [] }
      groups.set(read.destination, group)
      group.commands.push(command)
      group.entries.push(read)
    }
    for (const { commands, entries } of groups.values()) {
      orRefuse(commands, () => {
        const tokens = this.#signer.signPrepared(entries.map(({ made }) => made))
        for (const [index, { args }] of entries.entries()) {
          addToken(commands[index] as CommandLike, args, tokens[index] as string)
        }
      })
    }
  }

  /** undefined: there is nothing to sign, or it is refused, or it was read before. */
  #read<Made>(command: CommandLike, make: (message: Message) => Made): Read<Made> | undefined {
    if (SIGNED.has(command)) return undefined
    SIGNED.add(command)
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
      const { message, fields } = toMessage(this.#destinationOf(parsed.key), args.slice(parsed.fields))
      return {
        destination: message.destination,
        args: [...args.slice(0, parsed.fields), ...fields],
        made: make(message),
      }
    })
  }

  /** @throws SetupError `destination-invalid` */
  #destinationOf(key: Argument): string {
    if (typeof key === 'string' && key === this.#key) return this.#destination
    this.#destination = destinationOf(key)
    this.#key = key
    return this.#destination
  }
}

function addToken(command: CommandLike, args: Argument[], token: string): void {
  args.push(TOKEN_HEADER, token)
  command.args = args
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
