import type { CommandLike } from './client.ts'

/** How a reply is looked at before its caller gets it. Registered, as all that is kept on a client's objects. */

const ENCODING: unique symbol = Symbol.for('queue-key-auth.reply-encoding') as never
const LISTENER: unique symbol = Symbol.for('queue-key-auth.listener') as never

/** Bytes until the checks are through; what the caller wanted is made of what is left. */
export function takeEncoding(command: CommandLike): unknown {
  const memory = command as { [ENCODING]?: unknown }
  if (!(ENCODING in memory)) memory[ENCODING] = command.replyEncoding
  command.replyEncoding = null
  return memory[ENCODING]
}

/**
 * Puts a function between the reply and the promise; once, however often the command is sent. The function itself says that
 * it is ours: kept on the command, it made the garbage collector keep every reply until its next full collection.
 */
export function listen(
  command: CommandLike,
  answer: (reply: unknown, resolve: (reply: unknown) => void) => void,
): void {
  const { resolve } = command
  if (LISTENER in resolve) return
  const listener = (reply: unknown): unknown => {
    ;(command as { _clearTimers?: () => void })._clearTimers?.()
    answer(reply, (judged) => resolve.call(command, judged))
    return command.promise
  }
  command.resolve = Object.assign(listener, { [LISTENER]: true })
}
