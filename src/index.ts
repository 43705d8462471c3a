export { AuthorizedKeys } from './authorized-keys/authorized-keys.ts'
export type { ExpiringLine, KeyFault, KeyHealth, KeyStatus } from './authorized-keys/health.ts'
export type { DirectoryOptions } from './authorized-keys/key-directory.ts'
export type { KeySource } from './authorized-keys/snapshot.ts'
export type { PreparedMessage } from './batch/prepared.ts'
export type { ConsumerOptions, OnRejected } from './consumer-options.ts'
export type { QueueCounters } from './counters.ts'
export { type DeadLetter, UnstorableError } from './dead-letter.ts'
export { RejectedError, SetupError, type SetupErrorCode } from './errors.ts'
export { type Events, subscribe } from './events.ts'
export { guardHandler, type HandledMessage, type PlainDelivery } from './guard-handler.ts'
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
export { DEFER_CODES, type Disposition, dispositionOf, REJECT_CODES, type ReasonCode, SKIP_CODES } from './reasons.ts'
export { MemoryReplayStore } from './replay/memory-replay-store.ts'
export {
  type RedisLike,
  type RedisReplayForecast,
  type RedisReplayLoad,
  RedisReplayStore,
  type RedisReplayStoreOptions,
} from './replay/redis-replay-store.ts'
export type { ReplayStore } from './replay/replay-store.ts'
export { Signer, type SignerFileOptions, type SignerKeyOptions, type SignerOptions } from './signer.ts'
export { releaseForRetry, senderOf, unsignedHeaders, type Verdict, verdictOf } from './verdict.ts'
export type { Verified } from './verified.ts'
export { Verifier, type VerifierOptions } from './verifier.ts'
