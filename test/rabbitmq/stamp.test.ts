import type { ConfirmChannel } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { Stamp } from '../../adapters/rabbitmq/stamp.ts'
import { testKeys } from '../../src/testing.ts'
import { bench } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer } = testKeys('checkout')

describe.skipIf(url === undefined)('the token of a message', () => {
  const at = bench(url)

  it('is its own, as the headers are, whatever a tracer below adds', async () => {
    const queue = await at.queue()
    const channel = await (await at.connection()).createConfirmChannel()
    const publish = channel.publish
    let count = 0
    channel.publish = (...[exchange, key, content, options, ...rest]: Parameters<ConfirmChannel['publish']>) => {
      // Every other message is traced, and a hook of the tracer publishes by itself once.
      if (count++ % 2 === 0 && options?.headers !== undefined) options.headers[`trace-${count}`] = 'x'
      if (count === 3) channel.publish('', queue, Buffer.from('from the hook'))
      return publish.call(channel, exchange, key, content, options, ...rest)
    }
    wrapProducer(channel, signer)
    for (const body of ['a', 'b', 'c', 'd']) channel.publish('', queue, Buffer.from(body))
    channel.publish('', queue, Buffer.from('e'), { headers: { own: 'yes' } })
    await channel.waitForConfirms()
    const plain = await (await at.connection()).createChannel()
    const seen: [string, string[]][] = []
    const tokens = new Set<unknown>()
    for (let got = await plain.get(queue); got !== false; got = await plain.get(queue)) {
      const { queueauth, ...others } = got.properties.headers ?? {}
      tokens.add(queueauth)
      seen.push([String(got.content), Object.keys(others)])
      plain.nack(got, false, false)
    }
    expect(seen).toEqual([
      ['a', ['trace-1']],
      ['b', []],
      ['from the hook', []],
      ['c', ['trace-3']],
      ['d', ['trace-5']],
      ['e', ['own']],
    ])
    expect(tokens.size).toBe(6)
    expect(tokens).not.toContain(undefined)
  })

  it('is not taken by a message that keeps its own, published by a hook meanwhile', async () => {
    const queue = await at.queue()
    const channel = await (await at.connection()).createConfirmChannel()
    const publish = channel.publish
    let count = 0
    channel.publish = (...args: Parameters<ConfirmChannel['publish']>) => {
      if (count++ === 0) channel.publish('', queue, Buffer.from('inner'), { headers: { queueauth: 'kept' } })
      return publish.apply(channel, args)
    }
    wrapProducer(channel, signer, { preserveToken: true })
    channel.publish('', queue, Buffer.from('outer'))
    await channel.waitForConfirms()
    const plain = await (await at.connection()).createChannel()
    const seen: unknown[][] = []
    for (let got = await plain.get(queue); got !== false; got = await plain.get(queue)) {
      seen.push([String(got.content), got.properties.headers?.queueauth])
      plain.ack(got)
    }
    expect(seen).toEqual([
      ['inner', 'kept'],
      ['outer', expect.stringMatching(/^ey/)],
    ])
  })

  it('is missed where amqplib sends in a way that is not known', async () => {
    const queue = await at.queue()
    const channel = await (await at.connection()).createConfirmChannel()
    Object.defineProperty(channel, 'publish', { value: () => true, writable: true, configurable: true })
    wrapProducer(channel, signer)
    expect(() => channel.publish('', queue, Buffer.from('a'))).toThrow(
      expect.objectContaining({ code: 'client-unsupported', message: expect.stringContaining('without its token') }),
    )
  })

  it('stands among the options where a channel has no way of its own', () => {
    const options = { headers: { own: 'yes' } }
    const sent: unknown[] = []
    new Stamp({} as never).publish('a.b.c', options, () => sent.push(options.headers) > 0)
    expect(sent).toEqual([{ own: 'yes', queueauth: 'a.b.c' }])
  })
})
