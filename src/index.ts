export { AuthorizedKeys, type ParseOptions } from './authorized-keys/authorized-keys.ts'
export type { ExpiringLine, KeyFault, KeyHealth, KeyStatus } from './authorized-keys/health.ts'
export type { Jwk, JwkSet, JwksOptions } from './authorized-keys/jwks.ts'
export type { DirectoryOptions } from './authorized-keys/key-directory.ts'
export type { PublicKeyStore } from './authorized-keys/key-store.ts'
export type { ServicePolicy } from './authorized-keys/policy.ts'
export type { RemoteJwksOptions } from './authorized-keys/remote-jwks.ts'
export type { RevocationOptions } from './authorized-keys/revocations.ts'
export type { KeySource } from './authorized-keys/snapshot.ts'
export type { PreparedMessage } from './batch/prepared.ts'
export type { Clock } from './clock.ts'
export type { ConsumerOptions, OnRejected } from './consumer-options.ts'
export type { QueueCounters } from './counters.ts'
export { type DeadLetter, type Returned, UnstorableError } from './dead-letter.ts'
export { RejectedError, SetupError, type SetupErrorCode, type SourcePosition } from './errors.ts'
export {
  type DeadLetterFailedEvent,
  type Events,
  type HeldEvent,
  type KeysEvent,
  type NoticeEvent,
  type SettledEvent,
  subscribe,
  type VerdictEvent,
} from './events.ts'
export type { Outcome } from './guard.ts'
export { guardHandler, type HandledMessage, type HandlerOptions, type PlainDelivery } from './guard-handler.ts'
export { FileKeyStore, JwsAdapter, JwtKeyAuth, KeyStore } from './jwt-key-auth/index.ts'
export type { Algorithm } from './keys/algorithms.ts'
export type { KeyFileOptions, SignerHealth } from './keys/key-file.ts'
export {
  address,
  type CoveredProperties,
  type Headers,
  type HeaderValue,
  type Message,
  type ReceivedMessage,
  type Sender,
} from './message.ts'
export type { QueuePolicy } from './policy.ts'
export {
  DEFER_CODES,
  type DeferCode,
  type Disposition,
  dispositionOf,
  REJECT_CODES,
  type ReasonCode,
  type RejectCode,
  SKIP_CODES,
  type SkipCode,
} from './reasons.ts'
export {
  type MemoryReplayGauge,
  MemoryReplayStore,
  type MemoryReplayStoreOptions,
} from './replay/memory-replay-store.ts'
export {
  type RedisLike,
  type RedisReplayForecast,
  type RedisReplayLoad,
  RedisReplayStore,
  type RedisReplayStoreOptions,
} from './replay/redis-replay-store.ts'
export type { BeginResult, CommitResult, ReplayClaim, ReplayStore } from './replay/replay-store.ts'
export { Signer, type SignerFileOptions, type SignerKeyOptions, type SignerOptions } from './signer.ts'
export {
  type AcceptedUnsigned,
  type Authorized,
  type Deferred,
  type Refused,
  type Rejected,
  releaseForRetry,
  type Skipped,
  senderOf,
  unsignedHeaders,
  type Verdict,
  verdictOf,
} from './verdict.ts'
export type { Verified } from './verified.ts'
export { type CheckResult, Verifier, type VerifierOptions } from './verifier.ts'
