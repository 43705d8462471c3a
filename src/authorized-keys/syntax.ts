import { SetupError, type SetupErrorCode, type SourcePosition } from '../errors.ts'

/** `authorized_keys:3:15: message`, with whatever part of the position is known. */
export function syntaxError(
  message: string,
  position?: SourcePosition,
  code: SetupErrorCode = 'authorized-keys-invalid',
): SetupError {
  if (position === undefined) return new SetupError(code, message)
  const where = [position.file, position.line, position.column].filter((part) => part !== undefined).join(':')
  return new SetupError(code, where === '' ? message : `${where}: ${message}`, { position })
}
