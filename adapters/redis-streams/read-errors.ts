import { SetupError } from '../../src/errors.ts'

/** What a guarded consumer is told. */

export function noAckRefused(): SetupError {
  return new SetupError(
    'no-ack-refused',
    'XREADGROUP with NOACK leaves nothing to dead-letter: a rejected entry would be lost; leave NOACK out and acknowledge',
  )
}

export function unknownOption(): SetupError {
  return new SetupError('option-invalid', 'XREADGROUP has an option that this version does not know; leave it out')
}

export function inTransaction(name: string): SetupError {
  return new SetupError(
    'option-invalid',
    `${name} in a MULTI shows entries before they can be checked; read outside of it`,
  )
}

export function noText(): SetupError {
  return new SetupError(
    'destination-invalid',
    'the key of a guarded stream must be UTF-8 text; rename the stream, or read it with a client that is not wrapped',
  )
}

export function unguarded(name: string): SetupError {
  return new SetupError(
    'option-invalid',
    `${name.toUpperCase()} shows entries unchecked; read with a group, or with a client that is not wrapped`,
  )
}

export function lateInTransaction(): SetupError {
  return new SetupError(
    'option-invalid',
    'an entry cannot be acknowledged in multi({ pipeline: false }) while the replay store is remote; write multi() and exec()',
  )
}

export function storeUnreachable(): Error {
  return new Error('what is pending cannot be checked: the replay store, or the keys, could not be reached; read again')
}
