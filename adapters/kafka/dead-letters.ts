import { type DeadLetter, UnstorableError } from '../../src/dead-letter.ts'
import { SetupError } from '../../src/errors.ts'
import { quote } from '../../src/text.ts'
import { originalOf } from '../../src/wrapping.ts'
import {
  confluentConfig,
  isConfluent,
  isKafkajs,
  type KafkaLike,
  type OutgoingMessage,
  type ProducerLike,
} from './client.ts'
import { FORMS, type Form } from './dead-letter-form.ts'
import type { KafkaRecord } from './index.ts'
import { GZIP, samePartition, sendWritten } from './kafkajs-letters.ts'
import { copyToBytes, snapshot } from './message.ts'

/** How dead letters leave, whatever the client. */
interface Outlet {
  /** Makes sure the topics are there. */
  prepare(topics: readonly string[]): Promise<void>
  /** Which of some topics there are; absent: it cannot look. */
  existing?(topics: readonly string[]): Promise<string[]>
  send(topic: string, messages: readonly OutgoingMessage[], gzip: boolean): Promise<unknown>
  /** false: it has no way to compress */
  readonly gzip: boolean
  /** The client gathers by itself what is sent one by one, or says nothing of what it lost of several. */
  readonly oneByOne: boolean
  close(): Promise<void>
}

/** MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, INVALID_RECORD (no key in a compacted topic): about the record. */
const ABOUT_THE_RECORD: ReadonlySet<unknown> = new Set([10, 18, 87])

/** As much as one request takes: well below the broker's default of 1 MiB. */
const MAX_REQUEST_LETTERS = 500
const MAX_REQUEST_BYTES = 400_000

interface Waiting {
  readonly message: OutgoingMessage
  readonly size: number
  readonly settle: (outcome: Promise<unknown>) => void
}

/** Writes dead letters, acknowledged by every replica in sync. Those of the same moment share a request. */
export class DeadLetterSink {
  readonly #open: () => Promise<Outlet>
  readonly #waiting = new Map<string, Waiting[]>()
  #outlet: Promise<Outlet> | undefined
  #users = 0
  /** settles when the last of those that are sent alone is through */
  #alone: Promise<unknown> = Promise.resolve()

  constructor(open: () => Promise<Outlet>) {
    this.#open = open
  }

  /** One more consumer writes here. */
  acquire(): void {
    this.#users++
  }

  /** One consumer has disconnected; with the last one the producer goes too. */
  async release(): Promise<void> {
    this.#users--
    if (this.#users > 0) return
    const outlet = this.#outlet
    this.#outlet = undefined
    await (await outlet?.catch(() => undefined))?.close()
  }

  /**
   * Those of some topics that there are, where the client can look: a misspelt one shall leave no other behind.
   *
   * @throws SetupError `dead-letters-unavailable`
   */
  async existing(topics: readonly string[]): Promise<readonly string[]> {
    if (topics.length === 0) return topics
    try {
      const outlet = await this.#opened()
      return (await outlet.existing?.(topics)) ?? topics
    } catch (cause) {
      throw new SetupError(
        'dead-letters-unavailable',
        'the topics cannot be looked up, so neither can those for dead letters; allow this client to describe them, or pass deadLetter or onRejected',
        { cause },
      )
    }
  }

  /**
   * Looks the dead-letter topics up, and creates those that are absent where the client can.
   *
   * @throws SetupError `dead-letters-unavailable`
   */
  async prepare(topics: readonly string[]): Promise<void> {
    if (topics.length === 0) return
    try {
      await (await this.#opened()).prepare(topics)
    } catch (cause) {
      throw new SetupError(
        'dead-letters-unavailable',
        `dead-letter topic ${topics.map((topic) => quote(topic)).join(', ')} cannot be used; create it, allow this client to write to it, or pass deadLetter or onRejected`,
        { cause },
      )
    }
  }

  /** Resolves when the letter is stored. */
  async store(topic: string, letter: DeadLetter<KafkaRecord>): Promise<void> {
    const outlet = await this.#opened()
    for (const make of FORMS) {
      const form = make(letter)
      if (form.compressed && !outlet.gzip) continue
      try {
        return await this.#write(outlet, topic, form)
      } catch (error) {
        if (!isAboutTheRecord(error)) throw error
      }
    }
    throw new UnstorableError(`topic ${quote(topic)} takes no form of it`)
  }

  #opened(): Promise<Outlet> {
    // Whoever was late must not open what nobody would close.
    if (this.#users === 0) return Promise.reject(new Error('every consumer that writes here has disconnected'))
    const opening = this.#outlet ?? this.#open()
    this.#outlet = opening
    // An outlet that did not open is opened anew by whoever comes next.
    opening.catch(() => {
      if (this.#outlet === opening) this.#outlet = undefined
    })
    return opening
  }

  async #write(outlet: Outlet, topic: string, form: Form): Promise<void> {
    if (form.compressed) return await this.#sendAlone(outlet, topic, form)
    try {
      await new Promise<unknown>((resolve) => this.#enqueue(outlet, topic, form.message, resolve))
    } catch (error) {
      // Which of the letters in the request was too large shows when it is sent alone.
      if (!isAboutTheRecord(error)) throw error
      await this.#sendAlone(outlet, topic, form)
    }
  }

  /** One after the other: clients gather what is sent at the same time, and a limit counts for all of that. */
  async #sendAlone(outlet: Outlet, topic: string, { message, compressed }: Form): Promise<void> {
    const sending = this.#alone.then(() => outlet.send(topic, [message], compressed))
    this.#alone = sending.catch(() => undefined)
    await sending
  }

  #enqueue(outlet: Outlet, topic: string, message: OutgoingMessage, settle: Waiting['settle']): void {
    const waiting = this.#waiting.get(topic) ?? []
    this.#waiting.set(topic, waiting)
    if (waiting.length === 0) setImmediate(() => this.#flush(outlet, topic))
    waiting.push({ message, size: sizeOf(message), settle })
  }

  #flush(outlet: Outlet, topic: string): void {
    const waiting = this.#waiting.get(topic) ?? []
    this.#waiting.delete(topic)
    for (let start = 0; start < waiting.length; ) {
      let bytes = 0
      let end = start
      for (; end < waiting.length && end - start < (outlet.oneByOne ? 1 : MAX_REQUEST_LETTERS); end++) {
        bytes += waiting[end]?.size ?? 0
        if (bytes > MAX_REQUEST_BYTES && end > start) break
      }
      const together = waiting.slice(start, end)
      const sent = outlet.send(
        topic,
        together.map(({ message }) => message),
        false,
      )
      for (const { settle } of together) settle(sent)
      start = end
    }
  }
}

/** kafkajs throws a TypeError for what it cannot encode. */
function isAboutTheRecord(error: unknown): boolean {
  return ABOUT_THE_RECORD.has((error as { code?: unknown } | null)?.code) || error instanceof TypeError
}

function sizeOf({ key, value, headers }: OutgoingMessage): number {
  let size = 100 + lengthOf(key) + lengthOf(value)
  for (const [name, item] of Object.entries(headers ?? {})) {
    size += name.length + (Array.isArray(item) ? item : [item]).reduce((sum: number, one) => sum + 5 + lengthOf(one), 0)
  }
  return size
}

function lengthOf(value: unknown): number {
  return typeof value === 'string' || value instanceof Uint8Array ? Buffer.byteLength(value) : 0
}

type Send = (record: object) => Promise<unknown>

/** The captured original: a forged token must not come out signed. */
function sendOf(producer: ProducerLike): Send {
  return originalOf(producer, 'send') as unknown as Send
}

/** The Confluent client changes what it sends, and a letter may be sent again. */
function copies(messages: readonly OutgoingMessage[]): OutgoingMessage[] {
  return messages.map((message) => snapshot(message, copyToBytes))
}

/** A producer of the user's, connected by the user. */
export async function outletOfProducer(producer: ProducerLike): Promise<Outlet> {
  const send = sendOf(producer)
  if (isConfluent(producer)) {
    const { dependentAdmin } = producer as unknown as { dependentAdmin(): AdminLike }
    return {
      prepare: async (topics) => {
        checkConfluentProducer(producer)
        await createAbsent(dependentAdmin.call(producer), topics)
      },
      existing: (topics) => existing(dependentAdmin.call(producer), topics),
      send: (topic, messages) => send({ topic, messages: copies(messages) }),
      gzip: false,
      oneByOne: true,
      close: async () => undefined,
    }
  }
  const sendBatch = originalOf(producer, 'sendBatch') as unknown as Send
  return {
    // Sending nothing asks for the topic all the same.
    prepare: async (topics) =>
      void (await sendBatch({ topicMessages: topics.map((topic) => ({ topic, messages: [] })) })),
    send: (topic, messages, gzip) => send({ topic, messages, acks: -1, ...(gzip && { compression: GZIP }) }),
    gzip: true,
    oneByOne: true,
    close: async () => undefined,
  }
}

/** What it acknowledges and whether it is in a transaction is the producer's own, not that of a send. */
function checkConfluentProducer(producer: ProducerLike): void {
  const config = confluentConfig(producer)
  const acks = config.acks ?? config['request.required.acks'] ?? -1
  if (String(acks) !== '-1' && acks !== 'all') {
    throw new Error('its producer does not wait for all replicas in sync; make it with acks: -1')
  }
  if (config['transactional.id'] !== undefined) {
    throw new Error('its producer is transactional, so an aborted transaction would take dead letters along')
  }
}

/** Producers of our own. */
export async function outletOfKafka(kafka: KafkaLike): Promise<Outlet> {
  const make = originalOf(kafka, 'producer') as unknown as (config: object) => ProducerLike
  const admin = (): AdminLike => kafka.admin() as AdminLike
  if (isKafkajs(kafka)) return outletOfKafkajs(make, admin)
  // With eachMessage letters come one at a time, each waited for: the client shall not wait for more of them.
  const plain = make({ kafkaJS: { acks: -1 }, 'linger.ms': 0 })
  const packing = make({ kafkaJS: { acks: -1, compression: 'gzip' }, 'linger.ms': 0 })
  await plain.connect()
  let packs: Promise<void> | undefined
  return {
    prepare: (topics) => createAbsent(admin(), topics),
    existing: (topics) => existing(admin(), topics),
    send: async (topic, messages, gzip) => {
      if (!gzip) return sendOf(plain)({ topic, messages: copies(messages) })
      packs ??= packing.connect()
      await packs
      return sendOf(packing)({ topic, messages: copies(messages) })
    },
    gzip: true,
    oneByOne: true,
    close: async () => {
      await plain.disconnect()
      if (packs !== undefined) await packing.disconnect()
    },
  }
}

async function outletOfKafkajs(make: (config: object) => ProducerLike, admin: () => AdminLike): Promise<Outlet> {
  const producer = make({ createPartitioner: samePartition })
  await producer.connect()
  const send = sendOf(producer)
  return {
    prepare: (topics) => createAbsent(admin(), topics),
    existing: (topics) => existing(admin(), topics),
    send: (topic, messages, gzip) => sendWritten(send, topic, messages, gzip),
    gzip: true,
    oneByOne: false,
    close: () => producer.disconnect(),
  }
}

interface AdminLike {
  connect(): Promise<void>
  disconnect(): Promise<void>
  listTopics(): Promise<string[]>
  createTopics(options: { topics: { topic: string }[] }): Promise<unknown>
}

async function existing(admin: AdminLike, topics: readonly string[]): Promise<string[]> {
  await admin.connect()
  try {
    const present = new Set(await admin.listTopics())
    return topics.filter((topic) => present.has(topic))
  } finally {
    await admin.disconnect()
  }
}

async function createAbsent(admin: AdminLike, topics: readonly string[]): Promise<void> {
  await admin.connect()
  try {
    const present = new Set(await admin.listTopics())
    const absent = topics.filter((topic) => !present.has(topic))
    if (absent.length > 0) await admin.createTopics({ topics: absent.map((topic) => ({ topic })) })
  } catch (error) {
    // A busy broker may not know yet what it just made; the dead letters themselves are tried again until it does.
    if ((error as { type?: unknown }).type !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error
  } finally {
    await admin.disconnect()
  }
}
