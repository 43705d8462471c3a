import type { Admissions } from './admissions.ts'
import type { CommandLike } from './client.ts'
import { textOf } from './message.ts'
import { parseAck } from './reads.ts'

/** An id that no entry has: acknowledging it changes nothing and counts nothing. */
const NO_ENTRY = '0-0'

/**
 * Commits what an XACK or XACKDEL is about to acknowledge, and takes out of it what is not the user's to acknowledge: its
 * dead letter is pending.
 *
 * @returns a promise where the replay store is far away; false: it could not be reached, so nothing may be acknowledged
 */
export function acknowledge(command: CommandLike, admissions: Admissions): boolean | Promise<boolean> {
  const ack = parseAck(command)
  const stream = ack && textOf(ack.key)
  const handed = ack && stream !== undefined ? admissions.find(stream, ack.group) : undefined
  if (ack === undefined || handed === undefined) return true
  const committing: Promise<boolean>[] = []
  let may = true
  const args = [...command.args]
  for (let index = ack.firstId; index < args.length; index++) {
    const id = fullId(String(args[index]))
    if (handed.isWithheld(id)) args[index] = NO_ENTRY
    const committed = handed.handed(id)?.commit()
    if (committed instanceof Promise) {
      committing.push(
        committed.then((done) => {
          if (done) handed.settled(id)
          return done
        }),
      )
    } else if (committed === true) handed.settled(id)
    else if (committed === false) may = false
  }
  command.args = args
  if (committing.length === 0) return may
  return Promise.all(committing).then((done) => may && done.every(Boolean))
}

/** The same for a pipeline that is about to be sent. undefined: nothing has to be waited for. */
export function commitQueued(queue: readonly CommandLike[], admissions: Admissions): Promise<void> | undefined {
  const committing = queue
    .filter(({ name }) => /^xack(?:del)?$/i.test(name))
    .map((command) => acknowledge(command, admissions))
    .filter((committed) => committed instanceof Promise)
  if (committing.length === 0) return undefined
  return Promise.all(committing).then((done) => {
    if (done.every(Boolean)) return
    throw new Error('the replay store could not be reached, so nothing of the pipeline was sent')
  })
}

/** `5` is short for `5-0`. */
function fullId(id: string): string {
  return id.includes('-') ? id : `${id}-0`
}
