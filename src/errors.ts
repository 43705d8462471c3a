import { acrossBuilds } from './across-builds.ts'
import { type Disposition, dispositionOf, type ReasonCode } from './reasons.ts'

/** Why something cannot be set up or sent as asked: a closed set, for `error.code`. */
export type SetupErrorCode =
  /** an option, argument or policy is not what it must be */
  | 'option-invalid'
  /** a service name does not fit the grammar of `iss` */
  | 'service-invalid'
  /** a destination cannot be written as an address, or a queue has no name a policy could match */
  | 'destination-invalid'
  /** a header cannot be signed: its name or the type of its value */
  | 'header-unsupported'
  /** a header uses a name that belongs to this library */
  | 'header-reserved'
  /** a key file cannot be read */
  | 'key-file-unreadable'
  /** a private key file is open to others */
  | 'key-file-permissions'
  /** a key cannot be parsed */
  | 'key-malformed'
  /** a private key is encrypted, and no passphrase or no reader for it is there */
  | 'key-encrypted'
  /** a kind of key that is not supported */
  | 'key-type-unsupported'
  /** a key that is too weak to be trusted */
  | 'key-too-weak'
  /** private key material lies where only public keys belong */
  | 'key-private-in-public-place'
  /** a second key under a name that is taken, or a second private key */
  | 'key-duplicate'
  /** a key that is needed was not given: no private key, or an empty directory of public ones */
  | 'key-missing'
  /** an authorized_keys, revoked_keys or queue_policy text has an error in it */
  | 'authorized-keys-invalid'
  /** the client is not one this adapter knows how to wrap */
  | 'client-unsupported'
  /** the client is wrapped already, by another signer or verifier */
  | 'already-wrapped'
  /** the client consumes already: wrapping it now would leave those deliveries unchecked */
  | 'already-consuming'
  /** consuming without acknowledgements leaves nothing to dead-letter */
  | 'no-ack-refused'
  /** there is nowhere to put dead letters */
  | 'dead-letters-unavailable'

/** Where in a file an error stands. Lines and columns count from 1. */
export interface SourcePosition {
  readonly file?: string
  readonly line?: number
  readonly column?: number
}

/**
 * Something was set up or called in a way that cannot work. The message names the file, line, option or queue and says
 * what to write instead; it never contains a key, a token or a body.
 */
export class SetupError extends Error {
  static {
    acrossBuilds(SetupError, 'SetupError')
  }

  override readonly name = 'SetupError'
  readonly code: SetupErrorCode
  readonly position: SourcePosition | undefined

  constructor(code: SetupErrorCode, message: string, options: { position?: SourcePosition; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.position = options.position
  }
}

/**
 * A message was not authorized ({@link disposition} `reject`), cannot be judged now (`defer`) or was handled before
 * (`skip`). `detail` is for people; it is cut and escaped and holds no token, body or header text.
 */
export class RejectedError extends Error {
  static {
    acrossBuilds(RejectedError, 'RejectedError')
  }

  override readonly name = 'RejectedError'
  readonly code: ReasonCode
  readonly disposition: Disposition
  readonly detail: string

  constructor(code: ReasonCode, detail: string) {
    super(`${code}: ${detail}`)
    this.code = code
    this.disposition = dispositionOf(code)
    this.detail = detail
  }
}
