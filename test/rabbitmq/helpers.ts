import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import {
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  type ConsumeMessage,
  connect,
  type GetMessage,
} from 'amqplib'
import { afterAll, beforeAll, expect } from 'vitest'
import { uniqueName } from '../brokers/index.ts'

/** What a test file needs of a broker beside the clients under test. */
export interface Bench {
  /** a plain channel, in confirm mode */
  readonly raw: ConfirmChannel
  /** a plain connection, closed after the tests */
  connection(): Promise<ChannelModel>
  /** the name of a new durable queue */
  queue(prefix?: string): Promise<string>
  /** the dead letters of a queue, taken from there */
  letters(queue: string, count?: number): Promise<GetMessage[]>
  /** the next message of a queue, which must be there */
  take(queue: string): Promise<GetMessage>
  /** messages that are ready in a queue; of one for dead letters that was not needed yet: 0 */
  ready(queue: string): Promise<number>
  /** whether there is such a queue */
  exists(queue: string): Promise<boolean>
  /** whether a requeue counts against the delivery limit of a quorum queue: up to RabbitMQ 4.2 */
  countsRequeues(): Promise<boolean>
}

export function bench(address: string | undefined | (() => string)): Bench {
  const open: ChannelModel[] = []
  let raw: ConfirmChannel
  const connection = async (): Promise<ChannelModel> => {
    const made = await connect((typeof address === 'function' ? address() : address) as string)
    // Without a listener, a connection that breaks ends the process.
    made.on('error', () => undefined)
    open.push(made)
    return made
  }
  beforeAll(async () => {
    raw = await (await connection()).createConfirmChannel()
  })
  afterAll(async () => {
    await Promise.allSettled(open.map((made) => made.close()))
  })
  const checked = async (queue: string): Promise<number | undefined> => {
    // A queue that is missing ends the channel.
    const checking = await (await shared()).createChannel()
    checking.on('error', () => undefined)
    try {
      const { messageCount } = await checking.checkQueue(queue)
      await checking.close()
      return messageCount
    } catch (error) {
      if ((error as { code?: unknown }).code !== 404) throw error
      return undefined
    }
  }
  let sharing: Promise<ChannelModel> | undefined
  const shared = (): Promise<ChannelModel> => {
    // A test may close every connection of its server.
    sharing ??= connection().then((made) => {
      made.once('close', () => {
        sharing = undefined
      })
      return made
    })
    return sharing
  }
  return {
    get raw() {
      return raw
    },
    connection,
    exists: async (queue) => (await checked(queue)) !== undefined,
    queue: async (prefix = 'queue') => (await raw.assertQueue(uniqueName(prefix))).queue,
    letters: async (queue, count = 1) => {
      const letters: GetMessage[] = []
      await expect
        .poll(async () => {
          // It is made by the first of them.
          if ((await checked(`${queue}.dlq`)) === undefined) return 0
          while (letters.length < count) {
            const letter = await raw.get(`${queue}.dlq`, { noAck: true })
            if (letter === false) break
            letters.push(letter)
          }
          return letters.length
        })
        .toBe(count)
      return letters
    },
    take: async (queue) => {
      const message = await raw.get(queue, { noAck: true })
      if (message === false) throw new Error(`nothing is in ${queue}`)
      return message
    },
    ready: async (queue) => (await checked(queue)) ?? 0,
    countsRequeues: async () => {
      const { serverProperties } = (await connection()).connection
      const [major = 0, minor = 0] = String(serverProperties.version).split('.').map(Number)
      return major < 4 || (major === 4 && minor < 3)
    },
  }
}

/** Collects what a consumer gets and acknowledges it. */
export async function inbox(
  channel: Channel,
  queue: string,
  onMessage: (message: ConsumeMessage) => void = (message) => channel.ack(message),
): Promise<ConsumeMessage[]> {
  const got: ConsumeMessage[] = []
  await channel.consume(queue, (message) => {
    if (message === null) return
    got.push(message)
    onMessage(message)
  })
  return got
}

export function bodies(messages: readonly { readonly content: Buffer }[]): string[] {
  return messages.map(({ content }) => content.toString())
}

/** What a closed or closing channel reports, once. */
export function errorOf(channel: Channel): Promise<Error & { code?: number }> {
  return new Promise((resolve) => {
    channel.once('error', resolve)
  })
}

export async function messageOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return (error as Error).message
  }
  return undefined
}

const require = createRequire(import.meta.url)

/** The oldest one. From 4.1 on RabbitMQ wants longer frames than it asks for by itself: see {@link longFrames}. */
export const amqplib0100 = require('amqplib-0.10.0') as typeof import('amqplib')
export const amqplib0100Callbacks = require('amqplib-0.10.0/callback_api') as typeof import('amqplib/callback_api')
export const amqplib1 = require('amqplib-1') as typeof import('amqplib')
export const amqplib1Callbacks = require('amqplib-1/callback_api') as typeof import('amqplib/callback_api')

export function longFrames(url: string): string {
  return `${url}?frameMax=8192`
}

/** amqplib before 1.0 has no types of its own; the present ones fit. */
export const amqplib010 = require('amqplib-0.10') as typeof import('amqplib')
export const amqplib010Callbacks = require('amqplib-0.10/callback_api') as typeof import('amqplib/callback_api')

interface Internals {
  encodeMethod(method: number, channel: number, fields: object): Buffer
  encodeProperties(properties: number, channel: number, size: number, fields: object): Buffer
}

const { encodeMethod, encodeProperties } = require(
  join(dirname(require.resolve('amqplib')), 'lib', 'defs.js'),
) as Internals

const BASIC_PUBLISH = 0x003c0028
const BASIC_PROPERTIES = 0x3c

/**
 * Publishes with a header table that amqplib cannot encode: too long, or with names it cannot have.
 *
 * @param table the encoded entries, see {@link longString} and {@link nested}
 */
export function publishTable(channel: Channel, queue: string, content: Buffer, table: Buffer): void {
  const { ch, connection } = channel as unknown as { ch: number; connection: { sendBytes(bytes: Buffer): void } }
  const method = encodeMethod(BASIC_PUBLISH, ch, { exchange: '', routingKey: queue })
  const empty = encodeProperties(BASIC_PROPERTIES, ch, content.length, { headers: {} })
  // type, channel, length | class, weight, body size (12), flags (2) | table length, table | end
  const header = Buffer.concat([empty.subarray(0, empty.length - 5), uint32(table.length), table, Buffer.from([0xce])])
  header.writeUInt32BE(header.length - 8, 3)
  const body = Buffer.concat([
    Buffer.from([3, ch >> 8, ch & 255]),
    uint32(content.length),
    content,
    Buffer.from([0xce]),
  ])
  connection.sendBytes(Buffer.concat([method, header, ...(content.length > 0 ? [body] : [])]))
  // The broker confirms it like any other.
  ;(channel as unknown as { pushConfirmCallback(callback: unknown): void }).pushConfirmCallback(undefined)
}

/** An entry of an AMQP table: a string. */
export function longString(name: string, value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([shortString(name), Buffer.from('S'), uint32(bytes.length), bytes])
}

/** An entry of an AMQP table: a table. */
export function nested(name: string, table: Buffer): Buffer {
  return Buffer.concat([shortString(name), Buffer.from('F'), uint32(table.length), table])
}

/** An entry of an AMQP table: lists in lists. */
export function deepList(name: string, depth: number): Buffer {
  const lists = Buffer.alloc(5 * depth)
  for (let level = 0; level < depth; level++) {
    lists.write('A', level * 5)
    lists.writeUInt32BE((depth - level - 1) * 5, level * 5 + 1)
  }
  return Buffer.concat([shortString(name), lists])
}

function shortString(text: string): Buffer {
  return Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
