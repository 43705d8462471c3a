import { SetupError } from '../../src/errors.ts'
import type { Verifier } from '../../src/verifier.ts'
import { originalOf, override } from '../../src/wrapping.ts'
import {
  type ConsumerLike,
  confluentConfig,
  type EachBatchPayload,
  type EachMessagePayload,
  internalsOf,
  isConfluent,
  isConsuming,
  type RunConfig,
  type TopicPartitionOffset,
  type TopicPartitions,
} from './client.ts'
import { DeadLetterTopics } from './dead-letter-topics.ts'
import type { DeadLetterSink } from './dead-letters.ts'
import { guardEachBatch } from './each-batch.ts'
import { guardEachMessage } from './each-message.ts'
import type { KafkaConsumerOptions } from './index.ts'
import { Partition, type PartitionSetup } from './partition.ts'

/**
 * The Confluent client expels a consumer whose handler is silent for max.poll.interval.ms, cannot rebalance meanwhile,
 * and fetches a record that was let go again at once. kafkajs can hold for ever, but counts what is let go as failures.
 */
const CONFLUENT_MAX_HOLD_SECONDS = 10

/** How long an end waits for what was in flight when it began: a commit, the producer of dead letters. */
const DRAIN_MS = 2_000

type Asynchronous = (...args: unknown[]) => Promise<void>

/** A consumer whose handlers get authorized records only. */
export class GuardedConsumer {
  readonly #consumer: ConsumerLike
  readonly #setup: PartitionSetup
  readonly #deadLetters: DeadLetterTopics
  readonly #partitions = new Map<string, Partition>()
  readonly #maxHoldSeconds: number | undefined
  /** clients of librdkafka whose rebalances are heard */
  readonly #followed = new WeakSet<object>()
  #groupId: string | undefined
  #ended = new AbortController()
  /** how often it began to end */
  #ends = 0
  /** settles when dead letters can be written, and stays where they cannot; undefined: they can */
  #ready: Promise<void> | undefined

  /** @param groupId where the caller knows it */
  constructor(
    consumer: ConsumerLike,
    verifier: Verifier,
    options: KafkaConsumerOptions,
    sink: DeadLetterSink | undefined,
    groupId: string | undefined,
  ) {
    if (isConsuming(consumer)) {
      throw new SetupError(
        'already-consuming',
        'the consumer is subscribed or runs already, so its records would stay unchecked; call wrapConsumer right after making it',
      )
    }
    this.#consumer = consumer
    this.#deadLetters = new DeadLetterTopics(options, sink)
    this.#groupId = groupId
    this.#maxHoldSeconds = isConfluent(consumer) ? CONFLUENT_MAX_HOLD_SECONDS : undefined
    const { deadLetter, deadLetterName: _, ...others } = options
    this.#setup = {
      verifier,
      options: { ...others, onRejected: this.#deadLetters.choose },
      groupId: () => this.#groupId,
      leaseSignal: () => this.#ended.signal,
      storeDeadLetter: async (letter) => (deadLetter ? deadLetter(letter) : this.#deadLetters.store(letter)),
      ready: () => this.#ready,
    }
    this.#install()
  }

  #install(): void {
    const consumer = this.#consumer
    const original = {
      run: originalOf(consumer, 'run') as Asynchronous,
      subscribe: originalOf(consumer, 'subscribe') as Asynchronous,
      stop: originalOf(consumer, 'stop'),
      disconnect: originalOf(consumer, 'disconnect'),
      seek: originalOf(consumer, 'seek') as (position: TopicPartitionOffset) => void,
      pause: originalOf(consumer, 'pause') as (topics: readonly TopicPartitions[]) => unknown,
      commitOffsets: originalOf(consumer, 'commitOffsets') as Asynchronous,
    }
    this.#listen()
    override(consumer, 'subscribe', (async (subscription?: Subscription) => {
      const subscribing = original.subscribe(subscription)
      // Whoever does not wait runs with what it subscribes to. What cannot be subscribed to is the client's to refuse.
      const topics = subscription?.topics
      for (const topic of Array.isArray(topics) ? topics : [subscription?.topic]) {
        if (typeof topic === 'string' && !topic.startsWith('^')) this.#deadLetters.add(topic)
      }
      await subscribing
    }) as never)
    override(consumer, 'run', (async (config: RunConfig = {}) => {
      // kafkajs does nothing where it runs already.
      if (!isConfluent(consumer) && isConsuming(consumer)) return original.run(this.#guarded(config))
      // kafkajs forgets what was sought before, and the Confluent client keeps it.
      if (isConfluent(consumer)) this.#followRebalances()
      else this.#forgetSeeks()
      this.#groupId ??= this.#confluentGroupId()
      const run = (): Promise<void> => original.run(this.#guarded(config))
      // kafkajs cannot be asked to seek or pause before it runs; the Confluent client cannot be stopped once it does.
      await (isConfluent(consumer) ? this.#runWhenReady(run) : this.#runAtOnce(run, original.stop))
    }) as never)
    override(consumer, 'stop', () => this.#end(original.stop))
    override(consumer, 'disconnect', async () => {
      try {
        await this.#end(original.disconnect)
      } finally {
        await this.#closeDeadLetters()
      }
    })
    override(consumer, 'seek', ((position: TopicPartitionOffset) => {
      // With this very method the Confluent client goes back to a record that was let go or whose handler failed, also
      // where the user sought another. Its offsets are numbers, those of its users are text.
      if (isConfluent(consumer) && typeof position.offset === 'number') {
        const partition = this.#partitions.get(nameOf(position.topic, position.partition))
        if (partition?.wasLeftBehind(position.offset)) return
        original.seek(position)
        partition?.leave()
        return
      }
      original.seek(position)
      this.#partition(position.topic, position.partition).seek(Number(position.offset))
    }) as never)
    override(consumer, 'pause', ((topics: readonly TopicPartitions[] = []) => {
      const resume = original.pause(topics)
      // Whoever pauses gets nothing more; what the handlers have in hand is still theirs.
      for (const { topic, partitions } of topics) {
        for (const partition of this.#partitions.values()) {
          if (partition.topic === topic && (partitions?.includes(partition.number) ?? true)) partition.letGoOfHeld()
        }
      }
      return resume
    }) as never)
    override(consumer, 'commitOffsets', (async (...args: readonly unknown[]) => {
      // Where this throws the user may undo what was done: then it was not handled, and comes again.
      await original.commitOffsets(...args)
      const [offsets] = args as [readonly TopicPartitionOffset[] | undefined | null]
      for (const { topic, partition, offset } of offsets ?? []) {
        // A Long of kafkajs is taken as well.
        if (/^\d+$/.test(String(offset))) {
          await this.#partitions.get(nameOf(topic, partition))?.commitUpTo(BigInt(String(offset)) - 1n)
        }
      }
    }) as never)
  }

  /** Runs, and delivers nothing before dead letters can be written. Where they cannot, it is stopped again. */
  async #runAtOnce(run: () => Promise<void>, stop: () => Promise<void>): Promise<void> {
    const ends = this.#ends
    let open: () => void = () => undefined
    const ready = new Promise<void>((resolve) => {
      open = resolve
    })
    this.#ready = ready
    const [ran, opened] = await Promise.allSettled([run(), this.#deadLetters.open()])
    // Whoever stopped or disconnected meanwhile needs no dead letters.
    if (opened.status === 'rejected' && this.#ends === ends) {
      await this.#end(stop)
      throw opened.reason
    }
    if (ran.status === 'rejected') throw ran.reason
    // As with the plain consumer, whoever waits for `run` goes on before the first record comes.
    setImmediate(() => {
      if (this.#ready === ready) this.#ready = undefined
      open()
    })
  }

  async #runWhenReady(run: () => Promise<void>): Promise<void> {
    const ends = this.#ends
    try {
      await this.#deadLetters.open()
    } catch (error) {
      if (this.#ends === ends) throw error
    }
    if (this.#ends === ends) await run()
  }

  #guarded(config: RunConfig): RunConfig {
    const eachMessage = config.eachMessage as ((payload: EachMessagePayload) => Promise<void>) | undefined
    const eachBatch = config.eachBatch as ((payload: EachBatchPayload) => Promise<void>) | undefined
    const guarded: RunConfig = {
      ...config,
      ...(eachMessage && {
        eachMessage: (payload: EachMessagePayload) =>
          this.#letGoOnFailure(
            guardEachMessage(
              payload,
              eachMessage,
              this.#partition(payload.topic, payload.partition),
              this.#maxHoldSeconds,
            ),
          ),
      }),
      ...(eachBatch && {
        eachBatchAutoResolve: false,
        eachBatch: (payload: EachBatchPayload) => {
          const { topic, partition } = payload.batch
          const { eachBatchAutoResolve = true } = config
          return this.#letGoOnFailure(
            guardEachBatch(
              payload,
              eachBatch,
              this.#partition(topic, partition),
              eachBatchAutoResolve,
              this.#maxHoldSeconds,
            ),
          )
        },
      }),
    }
    return guarded
  }

  /** Before it tries again, kafkajs waits for all partitions: what is held in the others must not keep it waiting. */
  async #letGoOnFailure(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      this.#letGo()
      throw error
    }
  }

  /** The client stops asking for records at once and then waits for its handlers, so that is the time to let go. */
  async #end(end: () => Promise<void>): Promise<void> {
    this.#ends++
    const ending = end()
    this.#letGo()
    // What is in flight still has a moment to be committed when its handler is through.
    const again = setInterval(() => this.#letGo(), DRAIN_MS)
    try {
      await ending
    } finally {
      clearInterval(again)
      this.#over()
      this.#forgetSeeks()
    }
  }

  #forgetSeeks(): void {
    for (const partition of this.#partitions.values()) partition.end()
  }

  #rejoin(): void {
    for (const partition of this.#partitions.values()) partition.rejoin()
  }

  /** Whoever runs again begins with leases that are renewed. */
  #over(): void {
    this.#ended.abort()
    this.#ended = new AbortController()
    this.#letGo()
  }

  /** The producer of dead letters is not waited for when it gets no answer. */
  async #closeDeadLetters(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DRAIN_MS)
    })
    await Promise.race([this.#deadLetters.close(), patience])
    clearTimeout(timer)
  }

  #letGo(): void {
    for (const partition of this.#partitions.values()) partition.letGo()
  }

  #partition(topic: string, partition: number): Partition {
    const name = nameOf(topic, partition)
    const known = this.#partitions.get(name)
    if (known !== undefined) return known
    const made = new Partition(topic, partition, this.#setup)
    this.#partitions.set(name, made)
    return made
  }

  /**
   * A lone consumer of kafkajs tells its group when it has joined it, which is before its first record. One that crashes
   * disconnects by itself, and where it does not begin anew a producer left open would keep the process alive.
   */
  #listen(): void {
    // The Confluent client throws when it is asked for its events.
    if (isConfluent(this.#consumer)) return
    const consumer = this.#consumer as ConsumerLike & WithEvents
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      this.#groupId ??= payload.groupId
      this.#rejoin()
    })
    consumer.on(consumer.events.CRASH, async ({ payload }) => {
      if (payload.restart) return
      this.#ends++
      this.#over()
      await this.#closeDeadLetters()
    })
  }

  #followRebalances(): void {
    const client = internalsOf(this.#consumer)
    if (client === undefined || this.#followed.has(client)) return
    this.#followed.add(client)
    client.on?.('rebalance', () => this.#rejoin())
  }

  /** The Confluent client has no such event, but a setting. */
  #confluentGroupId(): string | undefined {
    const groupId = confluentConfig(this.#consumer)['group.id']
    return typeof groupId === 'string' ? groupId : undefined
  }
}

interface Subscription {
  readonly topic?: unknown
  readonly topics?: unknown
}

interface WithEvents {
  on(event: string, listener: (event: { payload: { groupId: string; restart?: boolean } }) => void): void
  readonly events: { readonly GROUP_JOIN: string; readonly CRASH: string }
}

function nameOf(topic: string, partition: number): string {
  return `${topic}/${partition}`
}
