import { acrossBuilds } from './across-builds.ts'
import type { ReceivedMessage } from './message.ts'
import type { RejectCode } from './reasons.ts'
import type { Rejected } from './verdict.ts'

/** A rejected message on its way to where it can be looked at. */
export interface DeadLetter<Native = unknown> {
  readonly reason: RejectCode
  /** for people; holds no token, body or header text */
  readonly detail: string
  /** the queue it was read from */
  readonly queue: string
  readonly at: Date
  /** only when the signature was valid */
  readonly fingerprint?: string
  /** only when the signature was valid and the key belongs to that service */
  readonly service?: string
  readonly received: ReceivedMessage
  /** the client's own message */
  readonly message: Native
}

/** A dead letter can never be stored as it is: it is parked, and its message stays unsettled. */
export class UnstorableError extends Error {
  static {
    acrossBuilds(UnstorableError, 'UnstorableError')
  }

  override readonly name = 'UnstorableError'
}

export function createDeadLetter<Native>(
  rejected: Rejected,
  received: ReceivedMessage,
  message: Native,
): DeadLetter<Native> {
  const { code, detail, fingerprint, service } = rejected
  return {
    reason: code,
    detail,
    queue: received.queue,
    at: new Date(),
    ...(fingerprint !== undefined && { fingerprint }),
    ...(service !== undefined && { service }),
    received,
    message,
  }
}

/** The headers that explain a dead letter. They are not signed: whoever reads dead letters must not trust them. */
export function explanationHeaders(letter: DeadLetter): Record<string, string> {
  return {
    'queueauth-reason': letter.reason,
    'queueauth-detail': letter.detail,
    'queueauth-queue': letter.queue,
    'queueauth-at': letter.at.toISOString(),
    ...(letter.fingerprint !== undefined && { 'queueauth-fingerprint': letter.fingerprint }),
    ...(letter.service !== undefined && { 'queueauth-service': letter.service }),
  }
}

/** What a header is called on a dead letter that cannot carry it under its own name: ours, or one the broker acts on. */
export function originalHeaderName(name: string): string {
  return `queueauth-original-${name}`
}
