import { SetupError, type SetupErrorCode, type SourcePosition } from '../errors.ts'
import { visible } from '../text.ts'

/** An error about a key: where it stands, then the sentence. The sentence must never hold key material. */
export function keyError(
  code: SetupErrorCode,
  sentence: string,
  position: SourcePosition | undefined,
  cause?: unknown,
): SetupError {
  const place = [position?.file, position?.line, position?.column].filter((part) => part !== undefined).join(':')
  // Paths and names within the sentence may hold anything as well.
  return new SetupError(code, visible(place === '' ? sentence : `${place}: ${sentence}`), {
    ...(position === undefined ? {} : { position }),
    cause,
  })
}

/** The types to use instead of one that is not supported: the end of many sentences. */
export const SUPPORTED = 'use Ed25519, ECDSA P-256 or P-384, or RSA of 2048 to 8192 bits'
