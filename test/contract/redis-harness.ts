import { deadLetterStreamOf } from '../../adapters/redis-streams/dead-letter-form.ts'
import { consumeStream, type StreamMessage, wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { encodeFields } from '../../adapters/redis-streams/message.ts'
import { address, type HeaderValue, isReservedHeader } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import { uniqueName } from '../brokers/index.ts'
import type { Redis6 } from '../redis-streams/clients.ts'
import type { ConsumerSetup, Delivered, Features, Harness, TestConsumer, TestMessage, TestProducer } from './harness.ts'
import { paired } from './paired.ts'
import { text } from './scene.ts'

const GROUP = 'workers'

export const features: Features = {
  nullPayload: false,
  repeatedHeaders: true,
  structuredHeaders: false,
  brokerDeadLetters: false,
  requeue: false,
  positions: true,
  headersInBody: true,
  atomicDeadLetters: true,
  anyBody: true,
  properties: [],
}

/** How the contract runs on Redis: a client, its prefix, and whose loop reads. */
export interface RedisSetup {
  readonly open: () => Redis6
  readonly prefix?: string
  /** `consumeStream`; else a loop as users write it, over a wrapped client */
  readonly ownLoop?: boolean
  /** pipelines, and every token is one of a batch */
  readonly batch?: boolean
}

/** A message as fields: the body is the field `payload`, headers are fields of their own. */
function toFields({ payload, headers = {} }: TestMessage): (string | Buffer)[] {
  const pairs: [string, unknown][] = [['payload', payload]]
  for (const [name, value] of Object.entries(headers)) {
    for (const item of Array.isArray(value) ? value : [value]) pairs.push([name, item])
  }
  return pairs.filter(([, value]) => value !== undefined).flat() as (string | Buffer)[]
}

function fromFields(fields: readonly Buffer[]): Required<TestMessage> {
  const headers: Record<string, HeaderValue> = {}
  let payload: Buffer | null = null
  for (let index = 0; index < fields.length; index += 2) {
    const [name, value] = [String(fields[index]), fields[index + 1] as Buffer]
    if (name === 'payload') payload = value
    else headers[name] = Object.hasOwn(headers, name) ? [headers[name], value].flat() : value
  }
  return { payload, headers, properties: {} }
}

export function redisHarness({ open, prefix = '', ownLoop = false, batch = false }: RedisSetup): Harness {
  const as = (signer: Signer | undefined): Signer | undefined => signer && (batch ? paired(signer) : signer)
  let shared: Redis6
  const made: string[] = []

  /** Dead letters have physical names; the shared client has no prefix. */
  const physical = (queue: string): string => (/:dlq(?::parked)?$/.test(queue) ? queue : prefix + queue)

  /** What a group has not acknowledged, or all where there is no group. */
  async function waiting(key: string): Promise<[Buffer, Buffer[]][]> {
    const entries = (await shared.xrangeBuffer(key, '-', '+')) as [Buffer, Buffer[]][]
    const groups = (await shared.xinfo('GROUPS', key).catch(() => [])) as unknown[][]
    if (groups.length === 0) return entries
    const last = groups[0]?.[(groups[0] as unknown[]).indexOf('last-delivered-id') + 1] as string
    const pending = (await shared.xpending(key, GROUP, '-', '+', 10_000)) as [string][]
    const ids = new Set(pending.map(([id]) => id))
    return entries.filter(([id]) => ids.has(String(id)) || isAfter(String(id), last))
  }

  return {
    async start() {
      shared = withoutPrefix(open())
    },
    async stop() {
      for (const key of made) await shared.del(key)
      await shared.quit()
    },
    async createQueue(queue) {
      made.push(prefix + queue, deadLetterStreamOf(prefix + queue))
      await shared.xgroup('CREATE', prefix + queue, GROUP, '0', 'MKSTREAM')
    },
    destinationOf: (queue) => address('redis', prefix + queue),
    policyName: (queue) => prefix + queue,
    signedForm: ({ payload, headers = {} }) => {
      const kept = Object.entries(headers).filter(([name]) => !isReservedHeader(name))
      const fields = toFields({ payload, headers: Object.fromEntries(kept) })
      return { payload: encodeFields(fields.map((field) => Buffer.from(field))) }
    },
    batch,
    openProducer: async (signer) => producer(open(), as(signer), batch),
    openConsumer: async (setup) => {
      const client = watch(open(), shared)
      const signer = as(setup.signer)
      if (signer !== undefined) wrapProducer(client.redis, signer, { batch })
      return ownLoop ? loopConsumer(client, setup) : clientConsumer(client, setup)
    },
    async take(queue) {
      const key = physical(queue)
      const entries = await waiting(key).catch((error: Error) => {
        // Broken dead letters are no stream.
        if (error.message.startsWith('WRONGTYPE')) return []
        throw error
      })
      if (entries.length > 0) await shared.xdel(key, ...entries.map(([id]) => String(id)))
      return entries.map(([, fields]) => fromFields(fields))
    },
    deadLetterQueueOf: (queue) => deadLetterStreamOf(prefix + queue),
    parkedQueueOf: (queue) => `${deadLetterStreamOf(prefix + queue)}:parked`,
    brokerDeadLetterQueueOf: (queue) => `${queue}:none`,
    async breakDeadLetters(queue) {
      await shared.set(deadLetterStreamOf(prefix + queue), 'not a stream')
    },
    async repairDeadLetters(queue) {
      await shared.del(deadLetterStreamOf(prefix + queue))
    },
  }
}

function withoutPrefix(client: Redis6): Redis6 {
  const options = { keyPrefix: '', protocol: 2, replyMapping: 'legacy' } as never
  const made = client.isCluster
    ? (client.duplicate as unknown as (nodes: [], options: unknown) => Redis6)([], options)
    : client.duplicate(options)
  client.disconnect()
  return made as Redis6
}

function isAfter(id: string, other: string): boolean {
  const [[a = 0, b = 0], [c = 0, d = 0]] = [id.split('-').map(Number), other.split('-').map(Number)]
  return a > c || (a === c && b > d)
}

function producer(client: Redis6, signer: Signer | undefined, batch: boolean): TestProducer {
  if (signer !== undefined) wrapProducer(client, signer, { batch })
  const sending = new Set<Promise<unknown>>()
  return {
    publish(queue, message) {
      const entry = [queue, '*', ...toFields(message)] as [string, string, string, string]
      // On a Cluster that was closed before it knew its nodes, ioredis leaves a pipeline pending for good.
      const sent = batch && client.status !== 'end' ? inPipeline(client, entry) : client.xadd(...entry)
      const settled = sent.then(
        () => sending.delete(settled),
        () => sending.delete(settled),
      ) as Promise<unknown>
      sending.add(settled)
      return sent
    },
    flush: async () => {
      await Promise.all(sending)
    },
    close: async () => {
      if (client.status !== 'end') await client.quit()
      if (client.status !== 'end') await new Promise((resolve) => client.once('end', resolve))
    },
  }
}

async function inPipeline(client: Redis6, entry: [string, string, string, string]): Promise<unknown> {
  const [[error, id] = []] = (await client
    .pipeline()
    .xadd(...entry)
    .exec()) as [Error | null, unknown][]
  if (error) throw error
  return id
}

interface Watched {
  readonly redis: Redis6
  readonly settlements: string[]
  readonly ended: Promise<unknown>
  /** resolves when what was settled so far is among the settlements */
  recorded(): Promise<unknown>
  dieAtNext(): void
  kill(): void
  end(error: unknown): void
}

/** Below the wrapper, which is still to come; also on the connections that are made of this one. */
function watch(client: Redis6, shared: Redis6): Watched {
  const settlements: string[] = []
  const clients = [client]
  const seen = new WeakSet<object>()
  let dying = false
  let end: (error: unknown) => void = () => undefined
  const ended = new Promise<unknown>((resolve) => {
    end = resolve
  })
  // A body is looked up by its id, one after the other, so that the order of the settlements is kept.
  let looking: Promise<unknown> = Promise.resolve()
  const settled = (key: string, id: string): void => {
    looking = looking.then(async () => {
      const [entry] = (await shared.xrangeBuffer(key, id, id)) as [Buffer, Buffer[]][]
      if (entry !== undefined) settlements.push(`ack ${text(fromFields(entry[1]).payload)}`)
    })
  }
  const kill = (): void => {
    for (const one of clients) one.disconnect()
  }
  client.once('end', () => end(undefined))
  const observe = (one: Redis6): Redis6 => {
    const { sendCommand, duplicate } = one
    one.on('error', () => undefined)
    one.sendCommand = (command, stream) => {
      // A Cluster that does not know its nodes yet sends a command again.
      const known = seen.has(command)
      seen.add(command)
      const args = command.args.map(String)
      const isScript = command.name.toLowerCase() === 'eval' && args[0]?.includes("'XACK'")
      if (!known && (isScript || command.name.toLowerCase() === 'xack')) {
        const [key, ids] = isScript ? [args[2], args.slice(5, 6)] : [args[0], args.slice(2)]
        if (dying) kill()
        // What fails settles nothing.
        else for (const id of ids) command.promise.then(() => settled(key as string, id)).catch(() => undefined)
      }
      return sendCommand.call(one, command, stream)
    }
    one.duplicate = ((...args: []) => {
      const made = observe(duplicate.apply(one, args) as Redis6)
      clients.push(made)
      return made
    }) as typeof one.duplicate
    return one
  }
  observe(client)
  return {
    redis: client,
    settlements,
    ended,
    recorded: async () => looking,
    dieAtNext: () => {
      dying = true
    },
    kill,
    end: (error) => {
      end(error)
      kill()
    },
  }
}

/** The loop that users write: what others let lie first, then what is new. */
function clientConsumer(watched: Watched, { verifier, options }: ConsumerSetup): TestConsumer {
  const { redis: client, settlements, ended, recorded, dieAtNext, kill, end } = watched
  if (verifier !== undefined) wrapConsumer(client, verifier, options as never)
  const name = uniqueName('consumer')
  let closing = false
  let loop: Promise<void> = Promise.resolve()
  const deliver = (queue: string, entries: [Buffer, Buffer[]][], handler: (delivered: Delivered) => unknown): void => {
    for (const entry of entries) {
      if (client.status === 'end') return
      const ack = (copy: object = entry): void => {
        client.xack(queue, GROUP, String((copy as [Buffer])[0])).catch(() => undefined)
      }
      handler({ ...fromFields(entry[1]), message: entry, ack, nack: () => undefined })
    }
  }
  const run = async (queue: string, handler: (delivered: Delivered) => unknown): Promise<void> => {
    for (let cursor: string | undefined; cursor !== '0-0' && !closing; ) {
      const reply = await client.callBuffer('xautoclaim', queue, GROUP, name, 0, cursor ?? '0-0', 'COUNT', 100)
      cursor = String((reply as [Buffer])[0])
      deliver(queue, (reply as [Buffer, [Buffer, Buffer[]][]])[1], handler)
    }
    while (!closing) {
      const reply = await client.xreadgroupBuffer(
        ...(['GROUP', GROUP, name, 'COUNT', 100, 'BLOCK', 10, 'STREAMS', queue, '>'] as const),
      )
      const pages = Array.isArray(reply) ? reply.map(([, entries]) => entries) : Object.values(reply ?? {})
      for (const entries of pages) deliver(queue, entries as [Buffer, Buffer[]][], handler)
    }
  }
  return {
    async consume(queue, handler) {
      loop = run(queue, handler).catch((error: unknown) => end(client.status === 'end' ? undefined : error))
    },
    settlements,
    ended,
    dieAtNextSettlement: dieAtNext,
    kill,
    async close() {
      closing = true
      await loop
      if (client.status !== 'end') await client.quit()
      await recorded()
    },
  }
}

function loopConsumer(watched: Watched, { verifier, options }: ConsumerSetup): TestConsumer {
  const { redis: client, settlements, ended, recorded, dieAtNext, kill } = watched
  let stop = async (): Promise<void> => undefined
  return {
    async consume(queue, handler) {
      if (verifier === undefined) throw new Error('consumeStream has no plain form')
      const consumer = consumeStream({
        ...(options as object),
        ...{ redis: client, stream: queue, group: GROUP, consumer: uniqueName('consumer'), verifier },
        ...{ concurrency: 200, blockSeconds: 0.01, claimIdleSeconds: 0.2, maxDeliveries: Number.POSITIVE_INFINITY },
        onError: () => undefined,
        handler: (message: StreamMessage) =>
          new Promise<void>((resolve, reject) => {
            const { payload, headers, properties } = fromFields(message.fields)
            const nack = (): void => {
              settlements.push(`requeue ${text(payload)}`)
              reject(new Error('given back'))
            }
            handler({ message, payload, headers, properties, ack: () => resolve(), nack })
          }),
      })
      stop = () => consumer.stop()
    },
    settlements,
    ended,
    dieAtNextSettlement: dieAtNext,
    kill,
    async close() {
      await stop()
      client.disconnect()
      await recorded()
    },
  }
}
