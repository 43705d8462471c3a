import { sharedByBuilds } from '../../src/across-builds.ts'
import { SetupError } from '../../src/errors.ts'
import type { CommandLike } from './client.ts'

/** Why a command was refused. Kept by us alone: what stands on a command can be exchanged by others. */
const REFUSALS = sharedByBuilds('redis-streams.refusals', () => new WeakMap<CommandLike, Error>())

/**
 * Makes the server turn a command down. To reject it here would leave its pipeline waiting without end, and to throw under
 * autopipelining ends the process. With too few arguments the server refuses it, which also aborts a MULTI it is part of,
 * and that error is exchanged for ours.
 *
 * @param keep how many of the first arguments stay
 */
export function refuse(command: CommandLike, keep: number, error: unknown): void {
  shorten(command, keep)
  REFUSALS.set(command, error instanceof Error ? error : new SetupError('option-invalid', String(error)))
}

/**
 * To be called each time the command is sent: a pipeline that a Cluster redirects makes its commands' promises anew. Done
 * twice it changes nothing more, as our error is none that is exchanged.
 */
export function mapRefusal(command: CommandLike): void {
  const refusal = REFUSALS.get(command)
  if (refusal === undefined) return
  const { reject } = command
  command.reject = (error) => reject.call(command, isArityError(error) ? refusal : error)
}

export function isRefused(command: CommandLike): boolean {
  return REFUSALS.has(command)
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
