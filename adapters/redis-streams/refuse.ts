import { SetupError } from '../../src/errors.ts'
import type { CommandLike } from './client.ts'

/** Registered, so that two copies of this package agree on what was done to a command. */
const REFUSAL: unique symbol = Symbol.for('queue-key-auth.refusal') as never

interface Refused {
  [REFUSAL]?: Error
}

/**
 * Makes the server turn a command down. To reject it here would leave its pipeline waiting for ever, and to throw under
 * autopipelining ends the process. With too few arguments the server refuses it, which also aborts a MULTI it is part of,
 * and that error is exchanged for ours.
 *
 * @param keep how many of the first arguments stay
 */
export function refuse(command: CommandLike, keep: number, error: unknown): void {
  const refusal = error instanceof Error ? error : new SetupError('option-invalid', String(error))
  shorten(command, keep)
  ;(command as Refused)[REFUSAL] = refusal
}

/** To be called each time the command is sent: a pipeline that a Cluster redirects makes its commands' promises anew. */
export function mapRefusal(command: CommandLike): void {
  const refusal = (command as Refused)[REFUSAL]
  if (refusal === undefined) return
  const { reject } = command
  command.reject = (error) => reject.call(command, isArityError(error) ? refusal : error)
}

export function isRefused(command: CommandLike): boolean {
  return (command as Refused)[REFUSAL] !== undefined
}

function isArityError(error: unknown): boolean {
  return error instanceof Error && error.message.includes('wrong number of arguments')
}

/** Leaves so few arguments that the server turns the command down. */
export function shorten(command: CommandLike, keep: number): void {
  // A Cluster routes by the keys, which are remembered from here on. Looking for one that is missing adds an argument.
  if (command.args.length > keep) command.getKeys()
  command.args = command.args.slice(0, keep)
}
