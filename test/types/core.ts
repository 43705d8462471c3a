/** Checked by the compiler, never run: what the public face lets one write, and what it does not. */

import type * as Public from '../../src/index.ts'
import {
  AuthorizedKeys,
  address,
  type ConsumerOptions,
  type Disposition,
  dispositionOf,
  guardHandler,
  type HandledMessage,
  type KeySource,
  MemoryReplayStore,
  type Message,
  type PlainDelivery,
  type ReasonCode,
  type ReceivedMessage,
  RejectedError,
  type ReplayStore,
  type releaseForRetry,
  type Sender,
  SetupError,
  type SetupErrorCode,
  Signer,
  senderOf,
  subscribe,
  unsignedHeaders,
  type Verdict,
  Verifier,
  type verdictOf,
} from '../../src/index.ts'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const equal = <A, B>(_: Equal<A, B>): void => undefined

export async function producer(key: string): Promise<string> {
  const signer = await Signer.fromFile('key.pem', { service: 'checkout', expiresInSeconds: 60 })
  Signer.fromKey(key, { service: 'checkout', algorithm: 'RS256', unsignedHeaders: ['x-*'] })
  // @ts-expect-error: a service is needed
  Signer.fromKey(key, {})
  // @ts-expect-error: there is no such algorithm
  Signer.fromKey(key, { service: 'checkout', algorithm: 'HS256' })
  // @ts-expect-error: made by its static methods only
  new Signer()
  const message: Message = { destination: address('amqp', 'orders', 'order.created'), payload: null }
  // @ts-expect-error: an address has a component
  address('amqp')
  // @ts-expect-error: a body that is absent is null, in so many letters
  signer.sign({ destination: 'amqp:/orders' })
  // @ts-expect-error: a body is bytes
  signer.sign({ destination: 'amqp:/orders', payload: '{}' })
  // @ts-expect-error: a Date cannot be signed
  signer.sign({ ...message, headers: { at: new Date() } })
  signer.sign({ ...message, headers: { list: ['a', 1, null, { b: true }], none: undefined } })
  // Signing is synchronous.
  equal<ReturnType<typeof signer.sign>, string>(true)
  return signer.authorizedKeysLine(['orders.*', 'invoices'])
}

export function consumer(keys: AuthorizedKeys, source: KeySource, store: ReplayStore): Verifier {
  new Verifier({ keys, replay: 'off' })
  new Verifier({ keys: source, replay: store, maxAgeSeconds: 60, queues: { 'orders.*': { rollout: 'observe' } } })
  new Verifier({ keys, replay: new MemoryReplayStore(), acceptUnsignedUntil: '2026-12-31' })
  // @ts-expect-error: keys are needed
  new Verifier({ replay: 'off' })
  // @ts-expect-error: off is off, and nothing else is
  new Verifier({ keys, replay: false })
  // @ts-expect-error: units are in the names
  new Verifier({ keys, maxAge: 60 })
  // @ts-expect-error: there is no such mode
  new Verifier({ keys, rollout: 'warn' })
  return new Verifier({ keys: AuthorizedKeys.parse('') })
}

export function verdicts(verifier: Verifier, received: ReceivedMessage, message: HandledMessage): void {
  // Verifying is synchronous.
  equal<ReturnType<typeof verifier.verify>['sender'], Sender>(true)
  // @ts-expect-error: the address it was delivered by is needed
  verifier.verify({ queue: 'orders', token: 'x', payload: null })
  verifier.verify(received).sender.service.toUpperCase()
  // @ts-expect-error: nobody may have signed it
  senderOf(message).service
  equal<ReturnType<typeof verdictOf>, Verdict | undefined>(true)
  equal<ReturnType<typeof releaseForRetry>, Promise<void>>(true)
  const forgeable = unsignedHeaders(message)
  // @ts-expect-error: it is what came with the message, and nobody's to change
  forgeable.priority = 1
  // @ts-expect-error: what no signature covers is not among the headers by type either
  message.unsignedHeaders
}

export function reasons(error: unknown, verdict: Verdict): string {
  if (error instanceof RejectedError) {
    equal<typeof error.code, ReasonCode>(true)
    equal<typeof error.disposition, Disposition>(true)
    // @ts-expect-error: the set is closed
    if (error.code === 'token-bad') return error.code
  }
  if (error instanceof SetupError) equal<typeof error.code, SetupErrorCode>(true)
  const unknown: string = 'key-unknown'
  equal<ReturnType<typeof dispositionOf>, Disposition | undefined>(true)
  dispositionOf(unknown)?.toUpperCase()
  dispositionOf('key-unknown').toUpperCase()
  switch (verdict.outcome) {
    case 'authorized':
      return verdict.sender.service
    case 'unsigned':
      return 'unsigned'
    case 'rejected':
    case 'deferred':
    case 'skipped':
      return verdict.code
  }
}

export async function ownTransport(delivery: PlainDelivery, verifier: Verifier): Promise<void> {
  const options: ConsumerOptions<ReceivedMessage> = {
    onRejected: (rejection) => (rejection.code === 'age-exceeded' ? 'acknowledge' : 'dead-letter'),
    deadLetter: async (letter) => void letter.received.payload,
    onVerdict: (verdict) => void verdict.outcome,
  }
  const outcome = await guardHandler(delivery, verifier, (message) => void message.payload?.length, options)
  equal<typeof outcome, 'handled' | 'settled' | 'let-go'>(true)
  // @ts-expect-error: there is no such choice
  const wrong: ConsumerOptions = { onRejected: 'drop' }
  // @ts-expect-error: storing a dead letter takes a promise that says when it is stored
  const early: ConsumerOptions = { deadLetter: () => undefined }
  void [wrong, early]
  const stop = subscribe('queue-key-auth:verdict', ({ queue, verdict }) => void [queue.length, verdict.outcome])
  stop()
  // @ts-expect-error: there is no such channel
  subscribe('queue-key-auth:verdicts', () => undefined)
}

type True<T extends true> = T

/** What stands in a public signature can be imported, to declare a variable or a function of one's own. */
export interface Named {
  readonly parse: True<Equal<Parameters<typeof AuthorizedKeys.parse>[1], Public.ParseOptions | undefined>>
  readonly directory: True<
    Equal<Parameters<typeof AuthorizedKeys.fromDirectory>[1], Public.DirectoryOptions | undefined>
  >
  readonly store: [Public.PublicKeyStore, Public.ServicePolicy, Public.RevocationOptions, Public.RemoteJwksOptions]
  readonly jwks: [Public.Jwk, Public.JwkSet, Public.JwksOptions]
  readonly handler: True<Equal<Parameters<typeof guardHandler>[3], Public.HandlerOptions>>
  readonly outcome: True<Equal<Awaited<ReturnType<typeof guardHandler>>, Public.Outcome>>
  readonly check: True<Equal<ReturnType<Verifier['check']>, Public.CheckResult>>
  readonly clock: True<Equal<Public.VerifierOptions['clock'], Public.Clock | undefined>>
  readonly memory: True<
    Equal<ConstructorParameters<typeof MemoryReplayStore>[0], Public.MemoryReplayStoreOptions | undefined>
  >
  readonly gauge: True<Equal<ReturnType<MemoryReplayStore['gauge']>, Public.MemoryReplayGauge>>
  readonly begin: True<Equal<Parameters<ReplayStore['begin']>[0], Public.ReplayClaim>>
  readonly results: [Public.BeginResult, Public.CommitResult]
  readonly codes: True<Equal<ReasonCode, Public.RejectCode | Public.DeferCode | Public.SkipCode>>
  readonly verdict: True<Equal<Verdict, Public.Authorized | Public.AcceptedUnsigned | Public.Refused>>
  readonly refused: True<Equal<Public.Refused, Public.Rejected | Public.Deferred | Public.Skipped>>
  readonly events: True<
    Equal<
      Public.Events,
      {
        'queue-key-auth:verdict': Public.VerdictEvent
        'queue-key-auth:settled': Public.SettledEvent
        'queue-key-auth:held': Public.HeldEvent
        'queue-key-auth:dead-letter-failed': Public.DeadLetterFailedEvent
        'queue-key-auth:notice': Public.NoticeEvent
        'queue-key-auth:keys': Public.KeysEvent
      }
    >
  >
  readonly letter: True<Equal<Public.DeadLetter['returned'], Public.Returned | undefined>>
  readonly position: True<Equal<SetupError['position'], Public.SourcePosition | undefined>>
}
