import type { Lease } from './leases.ts'
import { type Headers, NO_HEADERS, type Sender } from './message.ts'
import type { DeferCode, ReasonCode, RejectCode, SkipCode } from './reasons.ts'

/** What the checks said of a message. */
export type Verdict = Authorized | AcceptedUnsigned | Refused

export class Authorized {
  readonly outcome: 'authorized' = 'authorized'
  readonly sender: Sender

  constructor(sender: Sender) {
    this.sender = sender
  }
}

/** There is no token, and the queue's policy still lets such messages pass. */
export interface AcceptedUnsigned {
  readonly outcome: 'unsigned'
}

/** Refusals by what becomes of the message. */
export type Refused = Rejected | Deferred | Skipped

export interface Rejected extends Refusal {
  readonly outcome: 'rejected'
  readonly code: RejectCode
}

export interface Deferred extends Refusal {
  readonly outcome: 'deferred'
  readonly code: DeferCode
}

export interface Skipped extends Refusal {
  readonly outcome: 'skipped'
  readonly code: SkipCode
}

interface Refusal {
  readonly code: ReasonCode
  /** for people: printable ASCII, cut, without token, body or header text */
  readonly detail: string
  /** the key that signed; only when the signature was valid */
  readonly fingerprint?: string
  /** the service the key belongs to; only when the signature was valid and the token named that service */
  readonly service?: string
}

/** What is remembered on a message that was handed on. */
export class Inspection {
  readonly verdict: Verdict
  /** headers and properties that no signature covers */
  readonly unsignedHeaders: Headers
  /** releasing it lets the message's id go, so that its copy on a retry queue is handled */
  readonly lease: Lease
  /**
   * aborts when the channel it came by is gone: for transports where a message is settled by a number that stands for
   * another one elsewhere
   */
  readonly gone: AbortSignal | undefined

  constructor(verdict: Verdict, unsignedHeaders: Headers, lease: Lease, gone?: AbortSignal) {
    this.verdict = verdict
    this.unsignedHeaders = unsignedHeaders
    this.lease = lease
    this.gone = gone
  }
}

/**
 * An enumerable symbol keeps the inspection on spread copies of a message, which frameworks hand to their handlers. It
 * cannot come from the wire, and it is registered so that two copies of this package in one program agree on it.
 */
const INSPECTION: unique symbol = Symbol.for('queue-key-auth.inspection') as never

interface Inspected {
  [INSPECTION]?: Inspection
}

/** Remembers the inspection on a message (or on an object that travels with it, such as its headers). */
export function mark(target: object, inspection: Inspection): void {
  ;(target as Inspected)[INSPECTION] = inspection
}

export function inspectionOf(target: unknown): Inspection | undefined {
  return typeof target === 'object' && target !== null ? (target as Inspected)[INSPECTION] : undefined
}

/** Who signed a message; undefined when it was not verified (not wrapped, unsigned, or observed and found bad). */
export function senderOf(message: object): Sender | undefined {
  const verdict = verdictOf(message)
  return verdict?.outcome === 'authorized' ? verdict.sender : undefined
}

/** What the checks said of a message, also where the policy only observes; undefined for a message that was not checked. */
export function verdictOf(message: object): Verdict | undefined {
  return inspectionOf(message)?.verdict
}

/**
 * The headers and properties of a message that its signature does not cover. Anyone who can write to the queue can
 * forge them.
 */
export function unsignedHeaders(message: object): Headers {
  return inspectionOf(message)?.unsignedHeaders ?? NO_HEADERS
}

/**
 * Call this before publishing a message again with its old token (to a retry queue): its id counts as not handled from
 * now on, so the copy is handled and not skipped as a duplicate. A wrapped producer does it by itself.
 */
export async function releaseForRetry(message: object): Promise<void> {
  await inspectionOf(message)?.lease.release()
}
