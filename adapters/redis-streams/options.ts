import { checkReprocess } from '../../src/consumer-options.ts'
import { SetupError } from '../../src/errors.ts'
import type { RedisStreamsConsumerOptions } from './guarded-client.ts'

/** @throws SetupError `option-invalid` */
export function checkOptions(options: RedisStreamsConsumerOptions): void {
  const { onRejected, deadLetter, deadLetterName } = options
  checkReprocess(options)
  if (onRejected === 'reject') {
    throw new SetupError('option-invalid', "onRejected: Redis has no dead letters of its own; write 'dead-letter'")
  }
  if (
    onRejected !== undefined &&
    typeof onRejected !== 'function' &&
    !['dead-letter', 'acknowledge'].includes(onRejected)
  ) {
    throw new SetupError('option-invalid', "onRejected must be 'dead-letter', 'acknowledge' or a function")
  }
  if (deadLetter !== undefined && typeof deadLetter !== 'function') {
    throw new SetupError('option-invalid', 'deadLetter must be a function that stores the letter and returns a promise')
  }
  if (deadLetterName !== undefined && typeof deadLetterName !== 'function') {
    throw new SetupError('option-invalid', 'deadLetterName must be a function from key to key')
  }
}
