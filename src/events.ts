import { type Channel, channel } from 'node:diagnostics_channel'
import type { KeyHealth } from './authorized-keys/health.ts'
import type { SetupError } from './errors.ts'
import type { DeferCode, ReasonCode } from './reasons.ts'
import type { Verdict } from './verdict.ts'

/** A message was checked. Published for every message. */
export interface VerdictEvent {
  readonly queue: string
  readonly verdict: Verdict
  /** true: the policy only observes, so the message was handed on whatever the verdict */
  readonly observed: boolean
  /** who seems to have sent it (exchange, app-id and the like): for finding out who still sends unsigned */
  readonly origin?: string
}

/** A message was settled without reaching the handler. */
export interface SettledEvent {
  readonly queue: string
  readonly code: ReasonCode
  readonly how: 'dead-lettered' | 'rejected' | 'acknowledged'
  /** where it stood, in transports with positions: `<topic>/<partition>/<offset>` */
  readonly position?: string
}

/** A message is held: a store or the keys cannot be reached, the clock jumped, or a copy of it is being handled. */
export interface HeldEvent {
  readonly queue: string
  readonly code: DeferCode
  readonly attempt: number
}

/** A dead letter could not be written; its message stays unsettled. */
export interface DeadLetterFailedEvent {
  readonly queue: string
  readonly code: ReasonCode
  /** true: it can never be written, so its message is parked; false: it is tried again */
  readonly permanent: boolean
  readonly error: unknown
}

/** Something of note that is no message: a full replay store, an `acceptUnsignedUntil` that is about to end. */
export interface NoticeEvent {
  readonly queue?: string
  readonly notice:
    | 'replay-store-full'
    | 'accept-unsigned-ends'
    | 'consumer-paused'
    | 'consumer-resumed'
    | 'deliveries-exceeded'
    | 'dead-letter-parked'
  readonly detail: string
}

/** Keys that are read from files were loaded anew, or cannot be used. */
export interface KeysEvent {
  /** `authorized-keys`: of a consumer; `signer`: of a producer */
  readonly role: 'authorized-keys' | 'signer'
  /** the directory or file they come from */
  readonly source: string
  /** as in `keys.health` */
  readonly state: KeyHealth['state']
  readonly error?: SetupError
}

/** The names of the diagnostics channels and what is published on them. */
export interface Events {
  'queue-key-auth:verdict': VerdictEvent
  'queue-key-auth:settled': SettledEvent
  'queue-key-auth:held': HeldEvent
  'queue-key-auth:dead-letter-failed': DeadLetterFailedEvent
  'queue-key-auth:notice': NoticeEvent
  'queue-key-auth:keys': KeysEvent
}

const CHANNELS = {
  'queue-key-auth:verdict': channel('queue-key-auth:verdict'),
  'queue-key-auth:settled': channel('queue-key-auth:settled'),
  'queue-key-auth:held': channel('queue-key-auth:held'),
  'queue-key-auth:dead-letter-failed': channel('queue-key-auth:dead-letter-failed'),
  'queue-key-auth:notice': channel('queue-key-auth:notice'),
  'queue-key-auth:keys': channel('queue-key-auth:keys'),
} satisfies Record<keyof Events, Channel>

/** Publishes an event; says whether anybody listened. The event is made only then. */
export function publish<Name extends keyof Events>(name: Name, event: () => Events[Name]): boolean {
  const target = CHANNELS[name]
  if (!target.hasSubscribers) return false
  target.publish(event())
  return true
}

/**
 * Listens to events, for metrics and tests. The same as `diagnostics_channel.subscribe(name, …)`, with types.
 *
 * @returns a function that stops listening
 */
export function subscribe<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
  const target = CHANNELS[name]
  const handler = (event: unknown): void => listener(event as Events[Name])
  target.subscribe(handler)
  return () => {
    target.unsubscribe(handler)
  }
}
