import { sharedByBuilds } from '../../src/across-builds.ts'
import type { CommandLike } from './client.ts'

/**
 * The commands whose replies are looked at. Kept by us alone and weakly: a client sends a command again, and others exchange
 * its methods, so nothing that stands on a command tells whether it is ours. There are no values, which the garbage
 * collector would keep until its next full collection.
 */
const LISTENED = sharedByBuilds('redis-streams.listened', () => new WeakSet<CommandLike>())

/** Whether {@link listen} was called for it, however often it was sent and whatever became of its methods since. */
export function isListened(command: CommandLike): boolean {
  return LISTENED.has(command)
}

/**
 * Puts a function between the reply and its caller. It gets bytes, and what it gives goes on as the reply would have: to the
 * transformer that the program set, if there is one, and then to the promise. It stays when the promise is made anew, and
 * tracers that exchange `resolve` and `reject` do not touch it.
 */
export function listen(
  command: CommandLike,
  answer: (reply: unknown, encoding: unknown) => unknown | Promise<unknown>,
): void {
  LISTENED.add(command)
  const { replyEncoding, transformReply } = command
  // What the caller wanted is made of what is left: by us, as the entries that are handed over are marked.
  command.replyEncoding = null
  const listener = (reply: unknown): unknown => pass(command, answer(reply, replyEncoding), transformReply)
  command.transformReply = listener
}

/** By itself: with the same in the function above, Node.js 20 kept every reply until its next full collection. */
function pass(
  command: CommandLike,
  judged: unknown | Promise<unknown>,
  transformReply: CommandLike['transformReply'],
): unknown {
  if (!(judged instanceof Promise)) return transformReply.call(command, judged)
  return judged.then((value) => transformReply.call(command, value))
}

/** What ioredis makes of a reply for a caller who wants text. */
export function converted(value: unknown, encoding: unknown): unknown {
  if (typeof encoding !== 'string') return value
  if (Buffer.isBuffer(value)) return value.toString(encoding as BufferEncoding)
  if (!Array.isArray(value)) return value
  const items = value.slice()
  for (let index = 0; index < items.length; index++) items[index] = converted(items[index], encoding)
  return items
}
