import type { Argument, CommandConstructor, CommandLike } from './client.ts'
import { converted } from './replies.ts'

/**
 * Commands of our own. A program can tell ioredis what to make of the arguments and the reply of every command of a name,
 * `Command.setReplyTransformer('xreadgroup', …)`, and that is meant for its own commands. So ours are made under names that
 * no transformer is set for, and get their right name when they are about to be sent.
 */

const PREFIX = 'queue-key-auth:'

/** How a command of ours is called when it is made. */
export function ownName(name: string): string {
  return PREFIX + name.toLowerCase()
}

/** Gives a command of ours its right name; leaves any other. */
export function named(command: CommandLike): void {
  if (!command.name.startsWith(PREFIX)) return
  command.name = command.name.slice(PREFIX.length)
  command.transformReply = plainReply
}

/** A command of ours among those of the program's client, whose reply stays bytes. */
export function ownCommand(like: CommandLike, name: string, args: readonly Argument[]): CommandLike {
  const Command = like.constructor as CommandConstructor
  const command = new Command(ownName(name), args, { replyEncoding: null })
  named(command)
  return command
}

function plainReply(this: CommandLike, reply: unknown): unknown {
  return converted(reply, this.replyEncoding)
}
