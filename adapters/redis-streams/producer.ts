import { QueuePatterns } from '../../src/authorized-keys/patterns.ts'
import { SetupError } from '../../src/errors.ts'
import { TOKEN_HEADER } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import { override } from '../../src/wrapping.ts'
import type { CommandLike, RedisClient } from './client.ts'
import { textOf, toMessage } from './message.ts'
import { mapRefusal, refuse, shorten } from './refuse.ts'
import { parseXadd } from './xadd.ts'

export interface ProducerOptions {
  /** patterns of the physical keys to sign, such as `orders.*`; entries of other streams pass as they are. Default: all */
  readonly streams?: readonly string[]
}

/** On the command itself, so that what is sent again after a reconnect, or passed on to a node, is not signed again. */
const SIGNED: unique symbol = Symbol.for('queue-key-auth.signed') as never

interface Marked {
  [SIGNED]?: true
}

/**
 * Every way to XADD ends in `sendCommand` of the client: the methods, `call`, pipelines, MULTI and autopipelining, and it
 * sees the physical key.
 */
export function signCommands(client: RedisClient, signer: Signer, { streams }: ProducerOptions): void {
  const patterns = streams === undefined ? undefined : parsePatterns(streams)
  const send = client.sendCommand.bind(client) as (command: CommandLike, ...rest: unknown[]) => unknown
  override(client, 'sendCommand', (command: CommandLike, ...rest: unknown[]) => {
    if (isXadd(command.name)) {
      if (!(command as Marked)[SIGNED]) {
        ;(command as Marked)[SIGNED] = true
        sign(command, signer, patterns)
      }
      mapRefusal(command)
    }
    return send(command, ...rest)
  })
}

function isXadd(name: string): boolean {
  return name.length === 4 && name.toLowerCase() === 'xadd'
}

function sign(command: CommandLike, signer: Signer, patterns: QueuePatterns | undefined): void {
  const { args } = command
  const [key] = args
  if (patterns !== undefined) {
    const name = key === undefined ? undefined : textOf(key)
    if (name === undefined || !patterns.matches(name)) return
  }
  const parsed = parseXadd(args)
  if (parsed === 'incomplete') {
    // Whatever the server makes of it, it must not add an entry: with its key only, it cannot.
    shorten(command, 1)
    return
  }
  if (typeof parsed === 'string') {
    refuse(command, 1, grammarError(parsed))
    return
  }
  try {
    const { message, fields } = toMessage(parsed.key, args.slice(parsed.fields))
    const token = signer.sign(message)
    command.args = [...args.slice(0, parsed.fields), ...fields, TOKEN_HEADER, token]
  } catch (error) {
    refuse(command, 1, error)
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

function parsePatterns(streams: readonly string[]): QueuePatterns {
  try {
    return QueuePatterns.parse(streams)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    throw new SetupError('option-invalid', `streams: ${error.message}`)
  }
}
