import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { wrapConsumer, wrapProducer } from '../../../adapters/rabbitmq/index.ts'
import type { Signer } from '../../signer.ts'
import { CommandError, EXIT, say } from '../output.ts'
import type { DemoTransport, WireMessage } from './transport.ts'

/** What is used of amqplib, which is the user's own. */
interface Amqplib {
  connect(url: string, options: { timeout: number }): Promise<Connection>
}

interface Connection {
  readonly connection: { readonly serverProperties: { readonly version?: unknown } }
  createChannel(): Promise<Channel>
  createConfirmChannel(): Promise<Channel & { waitForConfirms(): Promise<void> }>
  on(event: 'error', listener: (error: Error) => void): unknown
  close(): Promise<void>
}

interface Channel {
  assertQueue(queue: string, options: object): Promise<unknown>
  deleteQueue(queue: string): Promise<unknown>
  publish(exchange: string, routingKey: string, content: Buffer, options?: object): boolean
  get(queue: string, options?: { noAck?: boolean }): Promise<Message | false>
  consume(queue: string, handler: (message: Message | null) => void): Promise<unknown>
  ack(message: Message): void
  nackAll(requeue: boolean): void
}

interface Message {
  readonly content: Buffer
  readonly properties: { readonly headers?: WireMessage['headers'] | undefined }
}

const CONNECT_TIMEOUT_MS = 5_000

/** The queues go away by themselves when the demo is stopped half-way. */
const QUEUE_OPTIONS = { durable: true, arguments: { 'x-expires': 300_000 } }

export async function openRabbitmq(): Promise<DemoTransport> {
  const url = brokerUrl()
  const amqplib = loadAmqplib()
  const open: Connection[] = []
  try {
    for (let count = 0; count < 2; count++) {
      const connection = await amqplib.connect(url.href, { timeout: CONNECT_TIMEOUT_MS })
      connection.on('error', (error) => say(`RabbitMQ ended a connection: ${error.message}`))
      open.push(connection)
    }
    return await prepare(url, ...(open as [Connection, Connection]))
  } catch (error) {
    await Promise.allSettled(open.map((connection) => connection.close()))
    throw new CommandError(`RabbitMQ at ${url.host} cannot be used: ${reasonOf(error)}`, {
      hint: 'start one with `docker run --rm -p 5672:5672 rabbitmq:4`, and set AMQP_URL=amqp://localhost',
      cause: error,
    })
  }
}

async function prepare(url: URL, connection: Connection, consuming: Connection): Promise<DemoTransport> {
  const prefix = `queue-key-auth-demo.${randomBytes(4).toString('hex')}`
  const queueNamed = (name: string): string => `${prefix}.${name}`
  const queues = ['orders', 'orders.dlq', 'invoices'].map(queueNamed)
  const channel = await connection.createConfirmChannel()
  for (const queue of queues) await channel.assertQueue(queue, QUEUE_OPTIONS)
  const producers = new Map<Signer, typeof channel>()
  return {
    title: `RabbitMQ ${connection.connection.serverProperties.version} at ${url.host}`,
    queueNamed,
    async send(signer, queue, body) {
      const producer = producers.get(signer) ?? wrapProducer(await connection.createConfirmChannel(), signer)
      producers.set(signer, producer)
      producer.publish('', queue, body)
      await producer.waitForConfirms()
    },
    async copyAll(queue) {
      const reading = await connection.createChannel()
      const copies: WireMessage[] = []
      for (let message = await reading.get(queue); message; message = await reading.get(queue)) {
        copies.push({ body: message.content, headers: message.properties.headers ?? {} })
      }
      reading.nackAll(true)
      return copies
    },
    async inject(queue, { body, headers }) {
      channel.publish('', queue, body, { headers })
      await channel.waitForConfirms()
    },
    async consume(queue, verifier, handler) {
      const consumer = await wrapConsumer(consuming, verifier).createChannel()
      await consumer.consume(queue, (message) => {
        if (message === null) return
        handler(message)
        consumer.ack(message)
      })
    },
    async takeDeadLetter(queue) {
      const letter = await channel.get(`${queue}.dlq`, { noAck: true })
      return letter ? (letter.properties.headers ?? {}) : undefined
    },
    async close() {
      try {
        await consuming.close()
        for (const queue of queues) await channel.deleteQueue(queue)
        await connection.close()
      } catch {
        say(`the queues ${prefix}.* could not be deleted; RabbitMQ does it in five minutes`)
      }
    },
  }
}

function brokerUrl(): URL {
  const hint = 'write for example AMQP_URL=amqp://guest:guest@localhost:5672'
  const text = process.env.AMQP_URL
  if (!text) throw new CommandError('AMQP_URL is not set', { hint, exitCode: EXIT.usage })
  // Nothing of the text is repeated: it may hold a password.
  if (!URL.canParse(text)) throw new CommandError('AMQP_URL is no URL', { hint, exitCode: EXIT.usage })
  const url = new URL(text)
  if (url.protocol !== 'amqp:' && url.protocol !== 'amqps:') {
    throw new CommandError('AMQP_URL does not begin with amqp:// or amqps://', { hint, exitCode: EXIT.usage })
  }
  return url
}

/** The one of the project the command is run in, wherever the command itself is installed. */
function loadAmqplib(): Amqplib {
  try {
    return createRequire(join(process.cwd(), 'package.json'))('amqplib') as Amqplib
  } catch (error) {
    throw new CommandError('amqplib is not installed in this folder', {
      hint: 'run `npm install amqplib`',
      cause: error,
    })
  }
}

/** A code only: what the client and the broker say could repeat the user or the password. */
function reasonOf(error: unknown): string {
  const { code, message = '' } = error as { code?: unknown; message?: string }
  const reply = /\b\d{3} \([A-Z-]+\)|\bETIMEDOUT\b/.exec(message)?.[0]
  return reply ?? (code === undefined ? 'it does not speak AMQP 0-9-1 with us' : String(code))
}
