import { checkReprocess } from '../../src/consumer-options.ts'
import type { DeadLetter } from '../../src/dead-letter.ts'
import { SetupError } from '../../src/errors.ts'
import type { Signer } from '../../src/signer.ts'
import type { Rejected, Verdict } from '../../src/verdict.ts'
import type { Verifier } from '../../src/verifier.ts'
import { isWrapped, originalOf, override, wrapOnce } from '../../src/wrapping.ts'
import {
  type ConsumerLike,
  isConsumer,
  isKafka,
  isProducer,
  type KafkaLike,
  type KafkaMessage,
  type ProducerLike,
} from './client.ts'
import { GuardedConsumer } from './consumer.ts'
import { DeadLetterSink, outletOfKafka, outletOfProducer } from './dead-letters.ts'
import { type ProducerOptions, signSends } from './producer.ts'

export type { ConsumerLike, KafkaLike, KafkaMessage, ProducerLike } from './client.ts'
export type { ProducerOptions } from './producer.ts'
export { isWrapped }

/** A record and where it stands: what callbacks get. */
export interface KafkaRecord {
  readonly topic: string
  readonly partition: number
  readonly message: KafkaMessage
}

/** Kafka has no dead-lettering of its own, so there is no `reject`. */
export type KafkaOnRejected = 'dead-letter' | 'acknowledge'

export interface KafkaConsumerOptions {
  /** default `dead-letter` */
  readonly onRejected?: KafkaOnRejected | ((rejection: Rejected, record: KafkaRecord) => KafkaOnRejected)
  /** replaces where dead letters are stored; resolved: stored, rejected: the record is held and this is tried again */
  readonly deadLetter?: (letter: DeadLetter<KafkaRecord>) => Promise<void>
  /** the topic for the dead letters of a topic; default `<topic>-dlt` */
  readonly deadLetterName?: (topic: string) => string
  /**
   * Handles again what was handled before, at its own offset: for working through a topic once more after a reset of the
   * group's offsets. While it is set, whoever can move them can have handlers run again. A copy at another offset is still
   * skipped. Going back by `seek` needs no such option. Default: false
   */
  readonly reprocess?: boolean
  /** hears every verdict; what it throws becomes a process warning */
  readonly onVerdict?: (verdict: Verdict, record: KafkaRecord) => void
}

/** A single consumer cannot make a producer, so it has to be told where dead letters go. */
export type LoneConsumerOptions = KafkaConsumerOptions &
  (
    | { readonly deadLetterProducer: ProducerLike }
    | { readonly deadLetter: NonNullable<KafkaConsumerOptions['deadLetter']> }
    | { readonly onRejected: 'acknowledge' }
  )

/**
 * Signs every record that leaves through the client: a `Kafka`, whose producers are all covered, or a single producer, of
 * kafkajs or the KafkaJS API of `@confluentinc/kafka-javascript`. Transactions are covered too. Returns the same object.
 *
 * @throws SetupError `client-unsupported`, `already-wrapped`; `send` rejects with `header-reserved`, `header-unsupported`
 */
export function wrapProducer<Client extends KafkaLike | ProducerLike>(
  client: Client,
  signer: Signer,
  options: ProducerOptions = {},
): Client {
  wrapOnce(client, 'producer', signer, () => {
    if (isKafka(client)) {
      const kafka: KafkaLike = client
      const make = originalOf(kafka, 'producer')
      override(kafka, 'producer', (config) => {
        const producer = make(config)
        wrapOnce(producer, 'producer', signer, () => signSends(producer, signer, options))
        return producer
      })
    } else if (isProducer(client)) signSends(client, signer, options)
    else throw unsupported()
  })
  return client
}

/**
 * Checks every record that arrives through the client before a handler sees it. Rejected ones go to `<topic>-dlt`.
 * Takes a `Kafka`, whose consumers are all covered, or a single consumer and a producer for its dead letters. Returns the
 * same object.
 *
 * @throws SetupError `client-unsupported`, `already-wrapped`, `already-consuming`, `dead-letters-unavailable`,
 * `option-invalid`; `run` rejects with `dead-letters-unavailable`
 */
export function wrapConsumer<Client extends KafkaLike>(
  client: Client,
  verifier: Verifier,
  options?: KafkaConsumerOptions,
): Client
export function wrapConsumer<Client extends ConsumerLike>(
  client: Client,
  verifier: Verifier,
  options: LoneConsumerOptions,
): Client
export function wrapConsumer<Client extends KafkaLike | ConsumerLike>(
  client: Client,
  verifier: Verifier,
  options: KafkaConsumerOptions & { readonly deadLetterProducer?: ProducerLike } = {},
): Client {
  checkOptions(options)
  const { deadLetterProducer, ...consumerOptions } = options
  wrapOnce(client, 'consumer', verifier, () => {
    if (isKafka(client)) {
      const kafka: KafkaLike = client
      const make = originalOf(kafka, 'consumer')
      const sink = new DeadLetterSink(() =>
        deadLetterProducer === undefined ? outletOfKafka(kafka) : outletOfProducer(deadLetterProducer),
      )
      override(kafka, 'consumer', (config) => {
        const consumer = make(config)
        wrapOnce(consumer, 'consumer', verifier, () => {
          new GuardedConsumer(consumer, verifier, consumerOptions, sink, groupIdOf(config))
        })
        return consumer
      })
    } else if (isConsumer(client)) {
      const sink = deadLetterProducer && new DeadLetterSink(() => outletOfProducer(deadLetterProducer))
      if (sink === undefined && options.deadLetter === undefined && options.onRejected !== 'acknowledge') {
        throw new SetupError(
          'dead-letters-unavailable',
          'a single consumer cannot write dead letters; pass deadLetterProducer or deadLetter, or wrap the Kafka that made it',
        )
      }
      new GuardedConsumer(client, verifier, consumerOptions, sink, undefined)
    } else throw unsupported()
  })
  return client
}

/** Both clients' ways to name the group. */
function groupIdOf(config: unknown): string | undefined {
  const { groupId, kafkaJS, 'group.id': property } = (config ?? {}) as Record<string, unknown>
  const named = groupId ?? (kafkaJS as Record<string, unknown> | undefined)?.groupId ?? property
  return typeof named === 'string' ? named : undefined
}

function checkOptions(options: KafkaConsumerOptions): void {
  const { onRejected, deadLetter, deadLetterName } = options
  checkReprocess(options)
  if (
    onRejected !== undefined &&
    typeof onRejected !== 'function' &&
    !['dead-letter', 'acknowledge'].includes(onRejected)
  ) {
    throw new SetupError('option-invalid', `onRejected must be 'dead-letter', 'acknowledge' or a function`)
  }
  for (const [name, option] of Object.entries({ deadLetter, deadLetterName })) {
    if (option !== undefined && typeof option !== 'function') {
      throw new SetupError('option-invalid', `${name} must be a function`)
    }
  }
}

function unsupported(): SetupError {
  return new SetupError(
    'client-unsupported',
    'this is no Kafka, producer or consumer of kafkajs or of the KafkaJS API of @confluentinc/kafka-javascript',
  )
}
