import type { ConfirmChannel } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { amqplib010, bench, bodies, errorOf, inbox } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, verifier } = testKeys('checkout')

const clients = [['amqplib'], ['0.10']] as const

describe.skipIf(url === undefined).each(clients)('publishes that are gathered, %s', (library) => {
  const at = bench(url)

  async function producer(): Promise<ConfirmChannel> {
    const connection = library === 'amqplib' ? await at.connection() : await amqplib010.connect(url)
    connection.on('error', () => undefined)
    return wrapProducer(await connection.createConfirmChannel(), signer, { batch: true })
  }

  /** The bodies that arrive, with the tokens' shared parts. */
  async function arrived(queue: string, count: number): Promise<{ bodies: string[]; signatures: number }> {
    const channel = wrapConsumer(await (await at.connection()).createChannel(), verifier)
    const got = await inbox(channel, queue)
    await eventually(() => expect(got).toHaveLength(count))
    const shared = got.map(({ properties }) => String(properties.headers?.queueauth).split('~')[0])
    return { bodies: bodies(got), signatures: new Set(shared).size }
  }

  it('share a signature a tick, and arrive in their order', async () => {
    const queue = await at.queue()
    const channel = await producer()
    for (let round = 0; round < 3; round++) {
      for (let count = 0; count < 20; count++) channel.sendToQueue(queue, Buffer.from(`${round} ${count}`))
      await undefined
    }
    await channel.waitForConfirms()
    const { bodies: got, signatures } = await arrived(queue, 60)
    expect(got).toEqual(Array.from({ length: 60 }, (_, index) => `${Math.floor(index / 20)} ${index % 20}`))
    expect(signatures).toBe(3)
  })

  it('are as they were when publish was called, whatever becomes of buffers and headers', async () => {
    const queue = await at.queue()
    const channel = await producer()
    const body = Buffer.alloc(4)
    const headers: Record<string, unknown> = {}
    for (let count = 0; count < 10; count++) {
      body.write(`n ${count} `)
      headers.n = count
      channel.sendToQueue(queue, body, { headers })
    }
    body.fill(0)
    headers.n = 'changed'
    await channel.waitForConfirms()
    expect((await arrived(queue, 10)).bodies).toEqual(Array.from({ length: 10 }, (_, count) => `n ${count} `))
  })

  it('publish says when to stop, and again true once the channel has drained', async () => {
    const queue = await at.queue()
    const channel = await producer()
    const body = Buffer.alloc(64 * 1024, 'x')
    let sent = 0
    let stops = 0
    while (stops < 3) {
      let writable = true
      while (writable) {
        writable = channel.sendToQueue(queue, body)
        sent++
        // A program that publishes until it is told to stop lets the tick end now and then.
        if (sent % 16 === 0) await undefined
      }
      stops++
      await new Promise((resolve) => channel.once('drain', resolve))
      expect(channel.sendToQueue(queue, body)).toBe(true)
      sent++
    }
    await channel.waitForConfirms()
    await eventually(async () => expect(await at.ready(queue)).toBe(sent))
  })

  it('none is lost when the channel is closed in the same tick', async () => {
    const queue = await at.queue()
    const channel = await producer()
    for (let count = 0; count < 50; count++) channel.sendToQueue(queue, Buffer.from(`${count}`))
    // (What a plain channel has published in the tick in which its connection is closed, amqplib drops.)
    await channel.close()
    expect((await arrived(queue, 50)).bodies).toEqual(Array.from({ length: 50 }, (_, count) => `${count}`))
  })

  it('leave before any other frame of the channel', async () => {
    const queue = await at.queue()
    const channel = await producer()
    for (let count = 0; count < 5; count++) channel.sendToQueue(queue, Buffer.from(`${count}`))
    const purged = await channel.purgeQueue(queue)
    expect(purged.messageCount).toBe(5)
  })

  it('none is lost in silence when the channel is gone before they leave', async () => {
    const queue = await at.queue()
    const channel = await producer()
    const failed: unknown[] = []
    const told = errorOf(channel)
    // The broker closes the channel for this; then, in one tick, publishes for a channel that is gone.
    await expect(channel.checkQueue(`${queue}-nowhere`)).rejects.toThrow()
    await told
    for (let count = 0; count < 3; count++) {
      try {
        channel.sendToQueue(queue, Buffer.from('late'), {}, (error) => failed.push(error))
      } catch (error) {
        failed.push(error)
      }
    }
    await eventually(() => expect(failed).toHaveLength(3))
    expect(failed.every((error) => error instanceof Error)).toBe(true)
    expect(await at.ready(queue)).toBe(0)
  })

  it('every callback is called when the socket is cut with publishes under way', async () => {
    const queue = await at.queue()
    const channel = await producer()
    channel.on('error', () => undefined)
    const answers: (Error | null)[] = []
    const { stream } = channel.connection as unknown as { stream: { destroy(error: Error): void } }
    for (let count = 0; count < 20; count++) {
      channel.sendToQueue(queue, Buffer.from(`${count}`), {}, (error) => answers.push(error as Error | null))
      if (count === 9) {
        await undefined
        stream.destroy(new Error('cut'))
      }
    }
    await eventually(() => expect(answers).toHaveLength(20))
    const confirmed = answers.filter((error) => error === null).length
    expect(await at.ready(queue)).toBeGreaterThanOrEqual(confirmed)
  })
})
