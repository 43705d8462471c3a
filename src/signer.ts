import { hash, type JsonWebKey, type KeyObject, randomFillSync } from 'node:crypto'
import { acrossBuilds } from './across-builds.ts'
import { Batch } from './batch/batch.ts'
import { type DigestedMessage, digestMessage, groupsOf, type PreparedMessage } from './batch/prepared.ts'
import { PartsDigester } from './covered-parts.ts'
import { SetupError } from './errors.ts'
import { ALGORITHMS, type Algorithm, algorithmOf, algorithmsFor, defaultAlgorithm } from './keys/algorithms.ts'
import { generatePrivateKey } from './keys/generate.ts'
import { KeyFile, type KeyFileOptions, type SignerHealth } from './keys/key-file.ts'
import { readPrivateKey } from './keys/private-key.ts'
import { openSshPublicKey, type PublicKey, publicKeyOf } from './keys/public-key.ts'
import { signData } from './keys/signatures.ts'
import type { Message } from './message.ts'
import {
  ANYTHING,
  above0,
  checkOptions,
  FUNCTION,
  type OptionRules,
  oneOf,
  TEXT_LIST,
  TEXT_OR_BYTES,
  wholeNumber,
} from './option-check.ts'
import { quote } from './text.ts'
import {
  BATCH_TOKEN_TYPE,
  type CommonClaims,
  encodeClaims,
  encodeHeader,
  isDestination,
  isServiceName,
  MAX_BATCH_SIZE,
  MAX_TOKEN_LENGTH,
  type MessageClaims,
  TOKEN_TYPE,
  type TreeClaims,
} from './token.ts'
import { HeaderSelection } from './unsigned-headers.ts'

export interface SignerOptions {
  /** the name this service signs as; the authorized line of its key must have the same */
  readonly service: string
  /**
   * `RS256` for an RSA key, which signs `PS256` otherwise. `EdDSA` for an Ed25519 key: the same signature, and the older
   * name of it in the token, for consumers whose library knows no other (PyJWT, go-jose, golang-jwt, Rust's
   * jsonwebtoken). Every other key has one algorithm only
   */
  readonly algorithm?: Algorithm | 'EdDSA'
  /** headers to leave unsigned besides the tracing defaults, `x-legacy-*` style; the handler does not get to see them */
  readonly unsignedHeaders?: readonly string[]
  /** a deadline in whole seconds from signing: handling must not start after it. Default: none */
  readonly expiresInSeconds?: number
}

export interface SignerKeyOptions extends SignerOptions {
  /** opens an encrypted PKCS#8 key */
  readonly passphrase?: string | Uint8Array
}

export interface SignerFileOptions extends SignerKeyOptions, KeyFileOptions {}

/** Names of headers in a token, in characters, that leave room for everything else: for any key and place in a batch. */
const MAX_BATCHED_NAMES = 2048

/** A hundred years: added to any time of day it stays a safe integer. */
const MAX_EXPIRES_IN_SECONDS = 3_155_760_000

const SIGNER_RULES: OptionRules<SignerOptions> = {
  // It has a code of its own.
  service: ANYTHING,
  algorithm: oneOf(...ALGORITHMS, 'EdDSA'),
  unsignedHeaders: TEXT_LIST,
  expiresInSeconds: wholeNumber(1, MAX_EXPIRES_IN_SECONDS),
}

const { service: _, ...GENERATE_RULES } = SIGNER_RULES

const KEY_RULES: OptionRules<SignerKeyOptions> = { ...SIGNER_RULES, passphrase: TEXT_OR_BYTES }

const FILE_RULES: OptionRules<SignerFileOptions> = {
  ...KEY_RULES,
  pollSeconds: above0('seconds', 86_400),
  onError: FUNCTION,
}

/** A private key, and what follows from it. It is replaced as a whole. */
interface Identity {
  readonly privateKey: KeyObject
  readonly publicKey: PublicKey
  readonly algorithm: Algorithm
  /** the first part of a token, by its type */
  readonly headers: Readonly<Record<typeof TOKEN_TYPE | typeof BATCH_TOKEN_TYPE, string>>
}

/** Signs messages for one service with its private key. Synchronous, so that it fits into a client's `publish`. */
export class Signer {
  static {
    acrossBuilds(Signer, 'Signer')
  }

  readonly service: string
  readonly #wantedAlgorithm: SignerOptions['algorithm']
  #identity: Identity
  #file: KeyFile | undefined
  readonly #selection: HeaderSelection
  readonly #expiresInSeconds: number | undefined
  readonly #ids = new TokenIds()
  readonly #parts = new PartsDigester('base64url')
  readonly #batchedParts = new PartsDigester('binary')
  /** the destination that was found to be one last */
  #destination = ''

  private constructor(privateKey: KeyObject, options: SignerOptions) {
    const { service, expiresInSeconds } = options
    if (typeof service !== 'string' || !isServiceName(service)) {
      throw new SetupError(
        'service-invalid',
        `service ${quote(String(service))} is not 1 to 128 letters, digits and "._/-" with a letter or digit at both ends`,
      )
    }
    this.service = service
    this.#wantedAlgorithm = options.algorithm
    this.#identity = identityOf(privateKey, options.algorithm)
    this.#selection = new HeaderSelection(options.unsignedHeaders)
    this.#expiresInSeconds = expiresInSeconds
  }

  /**
   * Reads a private key file: PEM (PKCS#8, PKCS#1, SEC1), JWK, or what `ssh-keygen -t ed25519` writes.
   *
   * The file is watched until {@link close}: when another key is written there, messages are signed with that one from then
   * on, once it has signed something that its public half verifies. While the file cannot be used, the last good key goes
   * on signing; {@link health}, the event `queue-key-auth:keys` and `onError` tell of it. Watching keeps no process alive.
   *
   * @throws SetupError `key-file-unreadable`, `key-file-permissions`, `key-malformed`, `key-encrypted`,
   * `key-type-unsupported`, `key-too-weak`, `service-invalid`, `option-invalid`
   */
  static async fromFile(path: string, given: SignerFileOptions): Promise<Signer> {
    const options = checkOptions('Signer.fromFile', given, FILE_RULES)
    let signer: Signer | undefined
    const file = await KeyFile.open(path, options, (key) => {
      if (signer === undefined) signer = new Signer(key, options)
      else signer.#identity = identityOf(key, signer.#wantedAlgorithm)
    })
    // KeyFile.open() has called back, or has thrown.
    const opened = signer as unknown as Signer
    opened.#file = file
    return opened
  }

  /** The same from a key in memory. */
  static fromKey(key: KeyObject | string | Uint8Array | JsonWebKey, given: SignerKeyOptions): Signer {
    const options = checkOptions('Signer.fromKey', given, KEY_RULES)
    const { passphrase } = options
    return new Signer(readPrivateKey(key, passphrase === undefined ? {} : { passphrase }), options)
  }

  /** A signer with a new Ed25519 key that exists in this process only: for tests and trials. */
  static generate(service: string, options: Omit<SignerOptions, 'service'> = {}): Signer {
    return new Signer(generatePrivateKey(), { ...checkOptions('Signer.generate', options, GENERATE_RULES), service })
  }

  /** The algorithm that is signed with now; `Ed25519` also where the token says `EdDSA`. */
  get algorithm(): Algorithm {
    return this.#identity.algorithm
  }

  /** The RFC 7638 SHA-256 thumbprint of the public key, 43 characters: the token's `kid`. */
  get keyId(): string {
    return this.#identity.publicKey.keyId
  }

  /** The public key's fingerprint as `ssh-keygen -l` prints it, `SHA256:…`. */
  get fingerprint(): string {
    return this.#identity.publicKey.fingerprint
  }

  /** Whether the key file is in order; always `ok` for a key that is not from a file. */
  get health(): SignerHealth {
    return this.#file?.health() ?? { state: 'ok', error: undefined }
  }

  /** Stops watching the key file. The key that is known goes on signing. */
  close(): void {
    this.#file?.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /**
   * The line that authorizes this signer, ready to paste into an `authorized_keys` file.
   *
   * @param queues a pattern list, such as `orders.*` or `orders.*,invoices`
   */
  authorizedKeysLine(queues: string | readonly string[]): string {
    const patterns = typeof queues === 'string' ? queues : queues.join(',')
    if (!/^[!-~]+$/.test(patterns) || patterns.includes('"')) {
      throw new SetupError('option-invalid', 'queues must be patterns joined by commas, without spaces or quotes')
    }
    const { algorithm, publicKey } = this.#identity
    const pinned = algorithm === defaultAlgorithm(publicKey.type) ? '' : `,alg="${algorithm}"`
    return `${this.service} queues="${patterns}"${pinned} ${openSshPublicKey(publicKey)}`
  }

  /**
   * The token for a message: one header value, printable ASCII, at most 8192 characters. Every call makes a new one.
   *
   * @throws SetupError `destination-invalid`, `header-reserved`, `header-unsupported`
   */
  sign(message: Message): string {
    const { destination, payload, properties, headers } = message
    const names = this.#namesOf(message)
    const bh = payload === null ? null : hash('sha256', payload, 'base64url')
    const hh = this.#parts.digest(properties, headers, names)
    return this.#seal(TOKEN_TYPE, this.#claims(destination, names), { bh, hh })
  }

  /**
   * The tokens for many messages, in their order, with one signature for all that have the same destination and the same
   * names of headers, up to 1024. Signing costs about a fifteenth then, and verifying a thirtieth; each token is about 350
   * characters longer.
   *
   * @throws SetupError as {@link sign}, and no token is made
   */
  signBatch(messages: readonly Message[]): string[] {
    return this.signPrepared(messages.map((message) => this.prepare(message)))
  }

  /**
   * The first half of {@link signBatch}: reads and checks a message, which may change afterwards.
   *
   * @throws SetupError as {@link sign}
   */
  prepare(message: Message): PreparedMessage {
    const names = this.#namesOf(message)
    // Too long a token is found now, and names that leave no room for a place in a batch are not put in one.
    if (names.length > 0 && names.join().length > MAX_BATCHED_NAMES) return { token: this.sign(message) }
    return digestMessage(message, names, this.#batchedParts)
  }

  /** The second half: the tokens, in the order of the messages. The time of signing is now. */
  signPrepared(prepared: readonly PreparedMessage[]): string[] {
    const tokens = prepared.map((message) => ('token' in message ? message.token : ''))
    for (const { messages, positions } of groupsOf(prepared, MAX_BATCH_SIZE)) {
      const [first] = messages as [DigestedMessage]
      const claims = this.#claims(first.destination, first.names)
      if (messages.length === 1) {
        const bh = first.body === undefined ? null : base64url(first.body)
        tokens[positions[0] as number] = this.#seal(TOKEN_TYPE, claims, { bh, hh: base64url(first.parts) })
        continue
      }
      const batch = new Batch(messages)
      const shared = this.#seal(BATCH_TOKEN_TYPE, claims, { mr: batch.root, n: batch.size })
      for (const [index, position] of positions.entries()) tokens[position] = `${shared}~${batch.place(index)}`
    }
    return tokens
  }

  /** @throws SetupError `destination-invalid`, `header-reserved`, `header-unsupported` */
  #namesOf({ destination, headers }: Message): readonly string[] {
    if (destination !== this.#destination && !isDestination(destination)) {
      throw new SetupError(
        'destination-invalid',
        `destination ${quote(destination)} is not "<scheme>:<components>", percent-encoded and at most 1024 characters`,
      )
    }
    this.#destination = destination
    return this.#selection.covered(headers)
  }

  #claims(destination: string, names: readonly string[]): CommonClaims {
    const now = Math.floor(Date.now() / 1000)
    return {
      iss: this.service,
      aud: destination,
      iat: now,
      jti: this.#ids.next(),
      hs: names.length > 0 ? names : undefined,
      exp: this.#expiresInSeconds === undefined ? undefined : now + this.#expiresInSeconds,
    }
  }

  #seal(typ: keyof Identity['headers'], claims: CommonClaims, content: MessageClaims | TreeClaims): string {
    // read once: the key id in the header and the key that signs belong together
    const { headers, algorithm, privateKey } = this.#identity
    const signingInput = `${headers[typ]}.${encodeClaims(claims, content)}`
    const signature = signData(algorithm, privateKey, Buffer.from(signingInput, 'latin1'))
    const token = `${signingInput}.${signature.toString('base64url')}`
    if (token.length > MAX_TOKEN_LENGTH) {
      throw new SetupError(
        'header-unsupported',
        `the names of the headers make the token longer than ${MAX_TOKEN_LENGTH} characters; send fewer or shorter ones`,
      )
    }
    return token
  }
}

function base64url(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('base64url')
}

function identityOf(privateKey: KeyObject, wanted: SignerOptions['algorithm']): Identity {
  const publicKey = publicKeyOf(privateKey)
  const algorithm = chooseAlgorithm(publicKey, wanted)
  const name = wanted ?? algorithm
  const headers = {
    [TOKEN_TYPE]: encodeHeader(name, publicKey.keyId),
    [BATCH_TOKEN_TYPE]: encodeHeader(name, publicKey.keyId, BATCH_TOKEN_TYPE),
  }
  return { privateKey, publicKey, algorithm, headers }
}

function chooseAlgorithm(key: PublicKey, wanted: SignerOptions['algorithm']): Algorithm {
  if (wanted === undefined) return defaultAlgorithm(key.type)
  const possible = algorithmsFor(key.type)
  const algorithm = algorithmOf(wanted)
  if (algorithm !== undefined && possible.includes(algorithm)) return algorithm
  throw new SetupError(
    'option-invalid',
    `algorithm ${quote(wanted)} does not fit the key; use ${possible.join(' or ')}${key.type === 'ed25519' ? ' or EdDSA' : ''}`,
  )
}

/** 128 random bits an id. Drawn in blocks: asking the system for 16 bytes at a time costs more than the rest of a claim. */
class TokenIds {
  readonly #block = Buffer.allocUnsafeSlow(4096)
  #offset = this.#block.length

  next(): string {
    if (this.#offset === this.#block.length) {
      randomFillSync(this.#block)
      this.#offset = 0
    }
    const id = this.#block.toString('base64url', this.#offset, this.#offset + 16)
    this.#offset += 16
    return id
  }
}
