import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import {
  isWrapped,
  MemoryBroker,
  type MemoryMessage,
  wrapConsumer,
  wrapProducer,
} from '../../../adapters/memory/index.ts'
import { MemoryReplayStore } from '../../../src/replay/memory-replay-store.ts'
import type { ReplayStore } from '../../../src/replay/replay-store.ts'
import { Signer } from '../../../src/signer.ts'
import { testKeys } from '../../../src/testing.ts'
import { senderOf, unsignedHeaders } from '../../../src/verdict.ts'
import { Verifier } from '../../../src/verifier.ts'

const { signer, keys, verifier } = testKeys('shop')

function codeOf(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return (error as { code?: unknown }).code
  }
  return undefined
}

describe('wrapProducer and wrapConsumer', () => {
  it('return the same client, decorated by own properties only', () => {
    const client = new MemoryBroker().connect()
    const prototype = Object.getPrototypeOf(client)
    const methods = Object.getOwnPropertyDescriptors(prototype)
    expect(isWrapped(client)).toBe(false)
    expect(wrapProducer(client, signer)).toBe(client)
    expect(wrapConsumer(client, verifier)).toBe(client)
    expect(isWrapped(client)).toBe(true)
    expect(Object.getPrototypeOf(client)).toBe(prototype)
    expect(Object.getOwnPropertyDescriptors(prototype)).toEqual(methods)
  })

  it('do nothing the second time, and refuse another signer or verifier', () => {
    const client = wrapConsumer(wrapProducer(new MemoryBroker().connect(), signer), verifier)
    const { publish, consume } = client
    wrapConsumer(wrapProducer(client, signer), verifier)
    expect([client.publish, client.consume]).toEqual([publish, consume])
    expect(codeOf(() => wrapProducer(client, Signer.generate('other')))).toBe('already-wrapped')
    expect(codeOf(() => wrapConsumer(client, new Verifier({ keys })))).toBe('already-wrapped')
  })

  it('refuse a client that consumes already, and what is no client', async () => {
    const client = new MemoryBroker().connect()
    await client.consume('q', () => undefined)
    expect(codeOf(() => wrapConsumer(client, verifier))).toBe('already-consuming')
    expect(codeOf(() => wrapConsumer(new MemoryBroker() as never, verifier))).toBe('client-unsupported')
    expect(codeOf(() => wrapProducer({ publish: () => true } as never, signer))).toBe('client-unsupported')
  })

  it('replace a token that is there already', async () => {
    const broker = new MemoryBroker()
    const client = wrapConsumer(wrapProducer(broker.connect(), signer), verifier)
    await client.consume('a', (message) => {
      client.publish('b', message.payload, { headers: message.headers })
      client.ack(message)
    })
    client.publish('a', Buffer.from('x'), { headers: { kept: 1 } })
    await turn()
    const [forwarded] = broker.peek('b')
    expect(forwarded?.headers).toMatchObject({ kept: 1 })
    const { queueauth: token, ...headers } = forwarded?.headers ?? {}
    const received = { queue: 'b', deliveredBy: ['memory:b'], token, payload: Buffer.from('x'), headers }
    expect(verifier.verify(received).sender).toMatchObject({ service: 'shop', destination: 'memory:b' })
  })

  it('refuse names no address or dead letter can have', async () => {
    const client = wrapConsumer(wrapProducer(new MemoryBroker().connect(), signer), verifier, {
      deadLetterName: (queue) => queue.replace(/-in$/, ''),
    })
    expect(codeOf(() => client.publish('\ud800', null))).toBe('destination-invalid')
    await expect(client.consume('\ud800', () => undefined)).rejects.toMatchObject({ code: 'destination-invalid' })
    await expect(client.consume('orders', () => undefined)).rejects.toMatchObject({ code: 'option-invalid' })
    await client.consume('orders-in', () => undefined)
  })

  it('give the handler what is signed, tracing context and the token', async () => {
    const broker = new MemoryBroker()
    const producer = wrapProducer(broker.connect(), signer)
    const consumer = wrapConsumer(broker.connect(), verifier)
    const got: MemoryMessage[] = []
    await consumer.consume('q', (message) => got.push(message))
    producer.publish('q', Buffer.from('x'), {
      headers: { signed: 1, traceparent: '00-1', baggage: 'b', CC: ['other'] },
      properties: { type: 'order', appId: 'shop' },
    })
    await turn()
    const [message] = got as [MemoryMessage]
    expect(Object.keys(message.headers).sort()).toEqual(['queueauth', 'signed', 'traceparent'])
    expect(message.properties).toEqual({ type: 'order', appId: 'shop' })
    expect({ ...unsignedHeaders(message) }).toEqual({ baggage: 'b', CC: ['other'] })
  })

  it('do not let the user settle what was not handed over', async () => {
    const broker = new MemoryBroker()
    const consumer = wrapConsumer(broker.connect(), verifier, { deadLetter: () => new Promise(() => undefined) })
    await consumer.consume('q', () => undefined)
    broker.connect().publish('q', Buffer.from('forged'))
    await turn()
    expect(() => consumer.ack({ deliveryTag: 1 })).toThrow('delivery tag')
    consumer.destroy()
    expect(broker.peek('q')).toHaveLength(1)
  })
})

describe('close', () => {
  /** A store far away: commits are answered when told to. */
  function remoteStore(): { store: ReplayStore; answer: () => void } {
    const memory = new MemoryReplayStore()
    let answer = (): void => undefined
    const told = new Promise<void>((resolve) => {
      answer = resolve
    })
    const store: ReplayStore = {
      begin: (claim) => memory.begin(claim),
      commit: async (claim, seconds) => {
        await told
        return memory.commit(claim, seconds)
      },
      release: (claim) => memory.release(claim),
      renew: (claim) => memory.renew(claim),
    }
    return { store, answer }
  }

  it('waits for commits under way, and acknowledges after them', async () => {
    const broker = new MemoryBroker()
    const { store, answer } = remoteStore()
    const consumer = wrapConsumer(broker.connect(), new Verifier({ keys, replay: store }))
    await consumer.consume('q', (message) => consumer.ack(message))
    wrapProducer(broker.connect(), signer).publish('q', Buffer.from('x'))
    await turn()
    const closed = vi.fn()
    const closing = consumer.close().then(closed)
    await turn()
    expect(closed).not.toHaveBeenCalled()
    answer()
    await closing
    expect(broker.peek('q')).toEqual([])
  })

  it('refuses a second acknowledgement while the first is under way', async () => {
    const broker = new MemoryBroker()
    const { store } = remoteStore()
    const consumer = wrapConsumer(broker.connect(), new Verifier({ keys, replay: store }))
    const got: MemoryMessage[] = []
    await consumer.consume('q', (message) => got.push(message))
    wrapProducer(broker.connect(), signer).publish('q', Buffer.from('x'))
    await turn()
    const [message] = got as [MemoryMessage]
    consumer.ack(message)
    expect(() => consumer.ack(message)).toThrow('delivery tag')
    consumer.destroy()
    expect(broker.peek('q')).toHaveLength(1)
  })

  it('waits for a dead letter under way, and lets go of one that cannot be written', async () => {
    const broker = new MemoryBroker()
    const plain = broker.connect()
    let store = (): void => undefined
    const stored = new Promise<void>((resolve) => {
      store = resolve
    })
    const consumer = wrapConsumer(broker.connect(), verifier, {
      deadLetter: ({ queue }) => (queue === 'slow' ? stored : Promise.reject(new Error('down'))),
    })
    await consumer.consume('slow', () => undefined)
    await consumer.consume('down', () => undefined)
    plain.publish('slow', Buffer.from('x'))
    plain.publish('down', Buffer.from('x'))
    await turn()
    const closed = vi.fn()
    const closing = consumer.close().then(closed)
    await turn()
    expect(closed).not.toHaveBeenCalled()
    store()
    await closing
    expect([broker.peek('slow'), broker.peek('down')]).toMatchObject([[], [{ redelivered: true }]])
  })

  it('lets nobody handle a message any more, also one that was waiting for the store', async () => {
    const broker = new MemoryBroker()
    const memory = new MemoryReplayStore()
    let answer = (): void => undefined
    const told = new Promise<void>((resolve) => {
      answer = resolve
    })
    const replay: ReplayStore = {
      begin: (claim) => told.then(() => memory.begin(claim)),
      commit: (claim, seconds) => memory.commit(claim, seconds),
      release: (claim) => memory.release(claim),
      renew: (claim) => memory.renew(claim),
    }
    const slow = wrapConsumer(broker.connect(), new Verifier({ keys, replay }))
    const handler = vi.fn()
    await slow.consume('q', handler)
    wrapProducer(broker.connect(), signer).publish('q', Buffer.from('x'))
    await turn()
    const closing = slow.close()
    answer()
    await closing
    expect(handler).not.toHaveBeenCalled()
    expect(memory.gauge().inProgress).toBe(0)
    expect(broker.peek('q')).toHaveLength(1)
  })

  it('by a throw in the handler hands the message to the next consumer at once', async () => {
    const broker = new MemoryBroker()
    const first = wrapConsumer(broker.connect(), verifier)
    await first.consume('q', () => {
      throw new Error('bug')
    })
    const failed = once(first, 'error')
    wrapProducer(broker.connect(), signer).publish('q', Buffer.from('x'))
    expect(await failed).toEqual([new Error('bug')])
    const handled = vi.fn()
    const second = wrapConsumer(broker.connect(), verifier)
    await second.consume('q', (message) => handled(senderOf(message)?.service, message.redelivered))
    await turn()
    expect(handled).toHaveBeenCalledExactlyOnceWith('shop', true)
  })
})
