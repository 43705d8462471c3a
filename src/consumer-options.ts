import type { DeadLetter } from './dead-letter.ts'
import { SetupError } from './errors.ts'
import type { Rejected, Verdict } from './verdict.ts'

/** What becomes of a rejected message. */
export type OnRejected =
  /** store it at the dead-letter destination, confirmed, then acknowledge it */
  | 'dead-letter'
  /** leave it to the broker's own dead-lettering */
  | 'reject'
  /** drop it */
  | 'acknowledge'

/** What every consumer can be told, whatever its transport. */
export interface ConsumerOptions<Native = unknown> {
  /** default `dead-letter` */
  readonly onRejected?: OnRejected | ((rejection: Rejected, message: Native) => OnRejected)
  /** replaces where dead letters are stored; resolved: stored, rejected: the message is held and this is tried again */
  readonly deadLetter?: (letter: DeadLetter<Native>) => Promise<void>
  /**
   * Handles again what was handled before, at its own position: for working through a topic or stream once more. While it
   * is set, whoever can move the position of a group (an offset reset, `XGROUP SETID`) can have handlers run again. A copy
   * at another position is still skipped, and where the transport has no positions nothing changes. Default: false
   */
  readonly reprocess?: boolean
  /** hears every verdict; what it throws becomes a process warning */
  readonly onVerdict?: (verdict: Verdict, message: Native) => void
}

/**
 * What is truthy and not `true` must not switch a protection off.
 *
 * @throws SetupError `option-invalid`
 */
export function checkReprocess({ reprocess }: { readonly reprocess?: unknown }): void {
  if (reprocess === undefined || typeof reprocess === 'boolean') return
  throw new SetupError('option-invalid', 'reprocess must be true or false')
}
