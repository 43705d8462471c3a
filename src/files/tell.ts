import type { SetupError } from '../errors.ts'
import { type KeysEvent, publish } from '../events.ts'

/** Says that keys from files were loaded or cannot be used: to whoever listens, else once in a process warning. */
export function tellOfKeys(event: KeysEvent, onError: ((error: SetupError) => void) | undefined): void {
  const heard = publish('queue-key-auth:keys', () => event)
  const { error, role, state } = event
  if (error === undefined) return
  // apart from here, so that what it throws is not lost in a promise that never rejects
  if (onError !== undefined) queueMicrotask(() => onError(error))
  else if (!heard) {
    const effect =
      role === 'signer'
        ? 'the last good key goes on signing'
        : state === 'stale'
          ? 'for too long, so every message is held until it is mended'
          : 'the last good keys and every revocation are in force'
    process.emitWarning(`${error.message}; ${effect}`, { type: 'QueueKeyAuthWarning', code: error.code })
  }
}
