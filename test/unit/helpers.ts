import { hash, type KeyObject } from 'node:crypto'
import { AuthorizedKeys } from '../../src/authorized-keys/authorized-keys.ts'
import type { KeySource } from '../../src/authorized-keys/snapshot.ts'
import type { Clock } from '../../src/clock.ts'
import { digestParts } from '../../src/covered-parts.ts'
import { RejectedError } from '../../src/errors.ts'
import type { Algorithm } from '../../src/keys/algorithms.ts'
import { openSshPublicKey, publicKeyOf } from '../../src/keys/public-key.ts'
import { signData } from '../../src/keys/signatures.ts'
import type { Message, ReceivedMessage } from '../../src/message.ts'
import { dispositionOf, type ReasonCode } from '../../src/reasons.ts'
import { Verifier, type VerifierOptions } from '../../src/verifier.ts'
import { privateKeyFor } from './keys/helpers.ts'

/** 2026-01-01T00:00:00Z, in seconds: when every hand-made token was signed. */
export const NOW = 1_767_225_600

/** A wall clock and a monotonic one that move only when told. */
export class ManualClock implements Clock {
  #wall = NOW * 1000
  #monotonic = 5_000

  now(): number {
    return this.#wall
  }

  monotonic(): number {
    return this.#monotonic
  }

  /** Time passes. */
  advance(seconds: number): this {
    this.#wall += seconds * 1000
    this.#monotonic += seconds * 1000
    return this
  }

  /** Somebody sets the clock. */
  jump(seconds: number): this {
    this.#wall += seconds * 1000
    return this
  }
}

export const MESSAGE: Message = {
  destination: 'amqp:orders/order.created',
  payload: Buffer.from('{"order":1}'),
  properties: { type: 'order', messageId: 'm-1' },
  headers: { tenant: 'acme', 'x-attempt': 1 },
}

/** The claims of a message, written down apart from the signer. */
export function claimsOf(message: Message = MESSAGE): Record<string, unknown> {
  const names = Object.keys(message.headers ?? {}).sort()
  return {
    iss: 'checkout',
    aud: message.destination,
    iat: NOW,
    jti: 'AAAAAAAAAAAAAAAAAAAAAA',
    bh: message.payload === null ? null : hash('sha256', message.payload, 'base64url'),
    hh: digestParts(message.properties, message.headers, names),
    ...(names.length > 0 && { hs: names }),
  }
}

export interface Draft {
  readonly algorithm?: Algorithm
  readonly key?: KeyObject
  /** members over the right ones (undefined: none of that name), or the text itself */
  readonly header?: Record<string, unknown> | string
  readonly claims?: Record<string, unknown> | string
  readonly message?: Message
}

/** A token made by hand, with a right signature over whatever its parts say. */
export function tokenOf(draft: Draft = {}): string {
  const { algorithm = 'Ed25519', key = privateKeyFor(algorithm), message } = draft
  const header = { alg: algorithm, typ: 'queueauth-v1+jwt', kid: publicKeyOf(key).keyId }
  const input = `${encodePart(header, draft.header)}.${encodePart(claimsOf(message), draft.claims)}`
  return `${input}.${signData(algorithm, key, Buffer.from(input)).toString('base64url')}`
}

function encodePart(right: Record<string, unknown>, wanted: Record<string, unknown> | string = {}): string {
  const text = typeof wanted === 'string' ? wanted : JSON.stringify({ ...right, ...wanted })
  return Buffer.from(text).toString('base64url')
}

/** The message as it arrives from queue `orders`, with that token. */
export function receivedWith(token: unknown, overrides: Partial<ReceivedMessage> = {}): ReceivedMessage {
  const { destination, payload, properties = {}, headers = {} } = MESSAGE
  return { queue: 'orders', deliveredBy: [destination], token, payload, properties, headers, ...overrides }
}

/** A line of authorized_keys. */
export function lineOf(
  options = 'queues="orders"',
  algorithm: Algorithm = 'Ed25519',
  service = 'checkout',
  key: KeyObject = privateKeyFor(algorithm),
): string {
  return `${service} ${options} ${openSshPublicKey(publicKeyOf(key))}`
}

export function keysOf(...lines: readonly string[]): AuthorizedKeys {
  return AuthorizedKeys.parse(lines.join('\n'))
}

/** A verifier whose clock stands still at {@link NOW}; the keys are one line of `checkout` for `orders` unless told. */
export function verifierFor(options: Partial<VerifierOptions> = {}): Verifier {
  return new Verifier({ keys: keysOf(lineOf()), clock: new ManualClock(), ...options })
}

/** Keys that a test can change and take away. */
export class ChangingKeys implements KeySource {
  snapshot: KeySource['snapshot']
  stale = false
  readonly refresh?: () => Promise<void>

  constructor(keys: AuthorizedKeys | undefined, refresh?: () => Promise<void>) {
    this.snapshot = keys?.snapshot
    if (refresh !== undefined) this.refresh = refresh
  }

  use(keys: AuthorizedKeys | undefined): void {
    this.snapshot = keys?.snapshot
  }
}

/** What the checks say in one word: `authorized`, `unsigned` or a reason code; `verify` must say the same. */
export function judge(verifier: Verifier, received: ReceivedMessage): 'authorized' | 'unsigned' | ReasonCode {
  const result = verifier.check(received)
  if (!('outcome' in result)) return 'authorized'
  if (result.outcome === 'unsigned') return 'unsigned'
  const thrown = rejectionOf(() => verifier.verify(received))
  if (thrown?.code !== result.code || thrown.disposition !== dispositionOf(result.code)) {
    throw new Error(`verify() says ${thrown?.code}, check() says ${result.code}`)
  }
  return result.code
}

export function rejectionOf(call: () => unknown): RejectedError | undefined {
  try {
    call()
    return undefined
  } catch (error) {
    if (error instanceof RejectedError) return error
    throw error
  }
}
