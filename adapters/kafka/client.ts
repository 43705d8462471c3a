/**
 * The few methods of the clients that are used, as structural types: kafkajs 2.2 and the KafkaJS API of
 * @confluentinc/kafka-javascript. No client is imported at run time.
 */

/** A record as a consumer gets it. */
export interface KafkaMessage {
  readonly key?: Buffer | null
  readonly value: Buffer | null
  readonly offset: string
  readonly timestamp: string
  readonly headers?: object | undefined
  /** only with the Confluent client */
  readonly leaderEpoch?: number
}

/** A record to be sent. */
export interface OutgoingMessage {
  readonly key?: unknown
  readonly value: unknown
  readonly headers?: object | undefined
  readonly partition?: unknown
  readonly timestamp?: unknown
}

export interface TopicMessages {
  readonly topic: string
  readonly messages: readonly OutgoingMessage[]
}

export interface BatchLike {
  readonly topic: string
  readonly partition: number
  readonly messages: readonly KafkaMessage[]
  firstOffset(): string | null
  lastOffset(): string
}

export interface EachMessagePayload {
  readonly topic: string
  readonly partition: number
  readonly message: KafkaMessage
  heartbeat(): Promise<void>
}

export interface OffsetList {
  readonly topics?: readonly {
    readonly topic: string
    readonly partitions?: readonly { readonly partition: number; readonly offset: string }[]
  }[]
}

export interface EachBatchPayload {
  readonly batch: BatchLike
  resolveOffset(offset: string, leaderEpoch?: number): void
  heartbeat(): Promise<void>
  commitOffsetsIfNecessary(offsets?: OffsetList): Promise<void>
  isRunning(): boolean
  isStale(): boolean
  pause(): unknown
}

export interface RunConfig {
  readonly eachBatchAutoResolve?: boolean
  readonly eachMessage?: ((payload: never) => Promise<void>) | undefined
  readonly eachBatch?: ((payload: never) => Promise<void>) | undefined
}

export interface TopicPartitionOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: string
}

/** Some partitions of a topic; all of them where none are named. */
export interface TopicPartitions {
  readonly topic: string
  readonly partitions?: readonly number[] | null
}

/** A producer, or a transaction of one. */
export interface SenderLike {
  send(record: never): Promise<unknown>
  sendBatch(batch: never): Promise<unknown>
}

export interface ProducerLike extends SenderLike {
  connect(): Promise<void>
  disconnect(): Promise<void>
  transaction(): Promise<SenderLike>
}

export interface ConsumerLike {
  connect(): Promise<void>
  disconnect(): Promise<void>
  subscribe(subscription: never): Promise<void>
  run(config?: never): Promise<void>
  stop(): Promise<void>
  seek(position: never): void
  pause(topics: never): unknown
  commitOffsets(offsets: never): Promise<void>
}

/** What makes clients. */
export interface KafkaLike {
  producer(config?: never): ProducerLike
  consumer(config: never): ConsumerLike
  admin(config?: never): unknown
}

/** The Confluent client, whose transactions are the producer itself, and whose `send` takes no `acks`. */
export function isConfluent(client: object): boolean {
  return has(client, 'dependentAdmin', '_getInternalClient')
}

/** Only kafkajs hands out its logger. */
export function isKafkajs(kafka: KafkaLike): boolean {
  return has(kafka, 'logger')
}

/** The plain methods of librdkafka's binding below a client of the Confluent client. */
interface ConfluentInternals {
  _getInternalClient?(): RdkafkaConsumer | null
}

interface RdkafkaConsumer {
  readonly globalConfig?: Record<string, unknown>
  subscription?(): unknown
  on?(event: 'rebalance', listener: () => void): unknown
}

/** What the Confluent client is on top of; undefined until it is connected, and for kafkajs. */
export function internalsOf(client: object): RdkafkaConsumer | undefined {
  return (client as ConfluentInternals)._getInternalClient?.() ?? undefined
}

/** The settings of librdkafka behind a client of the Confluent client, once it is connected. */
export function confluentConfig(client: object): Readonly<Record<string, unknown>> {
  return internalsOf(client)?.globalConfig ?? {}
}

/** Whether records may be on their way to a handler already. */
export function isConsuming(consumer: ConsumerLike): boolean {
  if (isConfluent(consumer)) {
    // It does not tell whether it runs, only whether it could.
    const subscription = internalsOf(consumer)?.subscription?.()
    return Array.isArray(subscription) && subscription.length > 0
  }
  try {
    // Pausing nothing changes nothing; kafkajs refuses it until `run` was called.
    consumer.pause([] as never)
    return true
  } catch {
    return false
  }
}

/** Whether an object has these methods, of its own or of its class. */
export function has(value: object, ...methods: readonly string[]): boolean {
  return methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function')
}
