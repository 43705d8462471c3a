import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import {
  consumeStream,
  type RedisClient,
  type StreamConsumer,
  wrapProducer,
} from '../../../adapters/redis-streams/index.ts'
import type { HeaderValue } from '../../message.ts'
import type { Signer } from '../../signer.ts'
import { CommandError, EXIT, say } from '../output.ts'
import type { DemoTransport, WireMessage } from './transport.ts'

/** What is used of ioredis, which is the user's own. */
interface Ioredis {
  readonly Redis: new (url: string, options: object) => Client
}

interface Client extends RedisClient {
  connect(): Promise<void>
  quit(): Promise<unknown>
}

const CONNECT_TIMEOUT_MS = 5_000
const GROUP = 'queue-key-auth-demo'

export async function openRedis(): Promise<DemoTransport> {
  const url = serverUrl()
  const { Redis } = loadIoredis()
  const open = async (): Promise<Client> => {
    const client = new Redis(url.href, { lazyConnect: true, connectTimeout: CONNECT_TIMEOUT_MS, retryStrategy: null })
    // connect() rejects with the same.
    client.on('error', () => undefined)
    await client.connect()
    return client
  }
  try {
    const client = await open()
    const version = /redis_version:([\d.]+)/.exec(String(await client.call('INFO', 'server')))?.[1] ?? ''
    return demoOn(client, open, `Redis ${version} at ${url.host}`)
  } catch (error) {
    throw new CommandError(`Redis at ${url.host} cannot be used: ${reasonOf(error)}`, {
      hint: 'start one with `docker run --rm -p 6379:6379 redis:8`, and set REDIS_URL=redis://localhost',
      cause: error,
    })
  }
}

function demoOn(client: Client, open: () => Promise<Client>, title: string): DemoTransport {
  const prefix = `queue-key-auth-demo.${randomBytes(4).toString('hex')}`
  const queueNamed = (name: string): string => `${prefix}.${name}`
  const producers = new Map<Signer, Client>()
  let consumer: StreamConsumer | undefined
  return {
    title,
    queueNamed,
    async send(signer, queue, body) {
      const producer = producers.get(signer) ?? wrapProducer(await open(), signer)
      producers.set(signer, producer)
      await producer.call('XADD', queue, '*', 'body', body)
    },
    async copyAll(queue) {
      const entries = (await client.callBuffer('XRANGE', queue, '-', '+')) as [Buffer, Buffer[]][]
      return entries.map(([, fields]) => fromFields(fields))
    },
    async inject(queue, { body, headers }) {
      const fields = Object.entries(headers).flatMap(([name, value]) => [name, value as Buffer])
      await client.call('XADD', queue, '*', 'body', body, ...fields)
    },
    async consume(queue, verifier, handler) {
      consumer = consumeStream({
        ...{ redis: client, stream: queue, group: GROUP, consumer: 'demo', verifier, handler },
        blockSeconds: 0.1,
      })
    },
    async takeDeadLetter(queue) {
      const name = `{${queue}}:dlq`
      const [entry] = (await client.callBuffer('XRANGE', name, '-', '+', 'COUNT', 1)) as [Buffer, Buffer[]][]
      if (entry === undefined) return undefined
      await client.call('XDEL', name, String(entry[0]))
      return fromFields(entry[1]).headers
    },
    async close() {
      try {
        await consumer?.stop()
        for (const queue of ['orders', 'invoices'].map(queueNamed)) await client.call('DEL', queue)
        await client.call('DEL', `{${queueNamed('orders')}}:dlq`)
        for (const one of [client, ...producers.values()]) await one.quit()
      } catch {
        say(`the streams ${prefix}.* could not be deleted; redis-cli DEL does it`)
      }
    },
  }
}

function fromFields(fields: readonly Buffer[]): WireMessage {
  const headers: Record<string, HeaderValue> = {}
  let body: Buffer = Buffer.alloc(0)
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [name, value] = [String(fields[index]), fields[index + 1] as Buffer]
    if (name === 'body') body = value
    else headers[name] = name === 'queueauth' ? value : value.toString()
  }
  return { body, headers }
}

function serverUrl(): URL {
  const hint = 'write for example REDIS_URL=redis://localhost:6379'
  const text = process.env.REDIS_URL
  if (!text) throw new CommandError('REDIS_URL is not set', { hint, exitCode: EXIT.usage })
  // Nothing of the text is repeated: it may hold a password.
  if (!URL.canParse(text)) throw new CommandError('REDIS_URL is no URL', { hint, exitCode: EXIT.usage })
  const url = new URL(text)
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    throw new CommandError('REDIS_URL does not begin with redis:// or rediss://', { hint, exitCode: EXIT.usage })
  }
  return url
}

/** The one of the project the command is run in, wherever the command itself is installed. */
function loadIoredis(): Ioredis {
  try {
    return createRequire(join(process.cwd(), 'package.json'))('ioredis') as Ioredis
  } catch (error) {
    throw new CommandError('ioredis is not installed in this folder', {
      hint: 'run `npm install ioredis`',
      cause: error,
    })
  }
}

/** A code only: what the client and the server say could repeat the user or the password. */
function reasonOf(error: unknown): string {
  const { code, message = '' } = error as { code?: unknown; message?: string }
  const reply = /^(?:NOAUTH|WRONGPASS|NOPERM|ERR)\b|\bETIMEDOUT\b/.exec(message)?.[0]
  return reply ?? (code === undefined ? 'it does not speak the protocol of Redis with us' : String(code))
}
