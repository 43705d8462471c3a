import { SetupError } from '../errors.ts'

/** @throws SetupError `option-invalid` naming the option */
export function milliseconds(option: string, seconds: number, longest = 86_400): number {
  // Timers take what is longer than 24 days for a millisecond.
  if (typeof seconds === 'number' && seconds > 0 && seconds <= longest) return seconds * 1000
  throw new SetupError('option-invalid', `${option} must be a number above 0 and at most ${longest}`)
}
