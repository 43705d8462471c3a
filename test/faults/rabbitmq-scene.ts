import { type Channel, type ChannelModel, type ConfirmChannel, connect, type GetMessage } from 'amqplib'
import { expect } from 'vitest'
import { uniqueName } from '../brokers/index.ts'

/** What a test on RabbitMQ opens and declares, to be cleared away. */
export class Scene {
  readonly url: string
  readonly #closings: (() => Promise<unknown>)[] = []
  readonly #queues: string[] = []
  #looking: Promise<ChannelModel> | undefined
  #plain: Promise<Channel> | undefined

  constructor(url: string) {
    this.url = url
  }

  /** An unwrapped connection. */
  async connection(): Promise<ChannelModel> {
    const made = await connect(this.url)
    made.on('error', () => undefined)
    this.atEnd(() => made.close())
    return made
  }

  /** An unwrapped channel, for looking at queues. */
  async plain(): Promise<Channel> {
    this.#looking ??= connect(this.url)
    this.#plain ??= this.#looking.then((made) => made.createChannel())
    return this.#plain
  }

  /** Something to do when the test is over; later ones first. */
  atEnd(close: () => Promise<unknown>): void {
    this.#closings.unshift(close)
  }

  /** The name of a new durable queue; it and its dead letters are deleted at the end. */
  async queue(prefix: string, options: object = {}): Promise<string> {
    const name = uniqueName(prefix)
    await (await this.plain()).assertQueue(name, options)
    this.#queues.push(name, `${name}.dlq`)
    return name
  }

  /** How many messages wait in a queue: those in the hands of consumers are not among them. */
  async waiting(queue: string): Promise<number> {
    return (await this.#exists(queue)) ? (await (await this.plain()).checkQueue(queue)).messageCount : 0
  }

  /** Takes everything out of a queue. */
  async drain(queue: string): Promise<GetMessage[]> {
    const channel = await this.plain()
    const taken: GetMessage[] = []
    if (!(await this.#exists(queue))) return taken
    for (;;) {
      const message = await channel.get(queue, { noAck: true })
      if (message === false) return taken
      taken.push(message)
    }
  }

  /** A queue for dead letters is made by the first of them. */
  async #exists(queue: string): Promise<boolean> {
    await this.plain()
    const looking = await (await (this.#looking as Promise<ChannelModel>)).createChannel()
    looking.on('error', () => undefined)
    try {
      await looking.checkQueue(queue)
      await looking.close()
      return true
    } catch (error) {
      if ((error as { code?: unknown }).code !== 404) throw error
      return false
    }
  }

  async end(): Promise<void> {
    for (const close of this.#closings) await close().catch(() => undefined)
    const channel = await this.plain()
    for (const queue of this.#queues) await channel.deleteQueue(queue)
    await (await this.#looking)?.close()
  }
}

/** Publishes through `publish` and waits until the broker has everything. */
export async function publishAll(
  channel: ConfirmChannel,
  queue: string,
  ids: readonly string[],
  publish: (id: string, content: Buffer) => void = (_id, content) => {
    channel.sendToQueue(queue, content, { persistent: true })
  },
): Promise<void> {
  for (const id of ids) publish(id, Buffer.from(id))
  await channel.waitForConfirms()
}

/** `<prefix>-0`, `<prefix>-1`, … */
export function numbered(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${index}`)
}

export function idOf(message: { readonly content: Buffer }): string {
  return message.content.toString()
}

/** Every one at least once, and nothing else. */
export function expectAll(found: readonly string[], wanted: readonly string[]): void {
  expect([...new Set(found)].sort()).toEqual([...wanted].sort())
}

/** One line for whoever reads the log. */
export function report(what: string, counts: Readonly<Record<string, number>>): void {
  const text = Object.entries(counts).map(([name, count]) => `${name} ${count}`)
  console.log(`${what}: ${text.join(', ')}`)
}
