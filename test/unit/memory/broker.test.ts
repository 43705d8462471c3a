import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { MemoryBroker, type MemoryClient, type MemoryMessage } from '../../../adapters/memory/index.ts'

/** Consumes without settling. */
async function collect(client: MemoryClient, queue: string, prefetch?: number): Promise<MemoryMessage[]> {
  const got: MemoryMessage[] = []
  await client.consume(queue, (message) => got.push(message), prefetch === undefined ? {} : { prefetch })
  return got
}

function texts(messages: readonly { payload: Buffer | null }[]): (string | undefined)[] {
  return messages.map(({ payload }) => payload?.toString())
}

function publish(client: MemoryClient, queue: string, ...bodies: string[]): void {
  for (const body of bodies) client.publish(queue, Buffer.from(body))
}

describe('MemoryBroker', () => {
  it('delivers in order, after publish returned', async () => {
    const client = new MemoryBroker().connect()
    const got = await collect(client, 'q')
    publish(client, 'q', '1', '2', '3')
    expect(got).toEqual([])
    await turn()
    expect(texts(got)).toEqual(['1', '2', '3'])
    expect(got.map(({ redelivered }) => redelivered)).toEqual([false, false, false])
  })

  it('lets consumers take turns', async () => {
    const client = new MemoryBroker().connect()
    const [one, two] = [await collect(client, 'q'), await collect(client, 'q')]
    publish(client, 'q', '1', '2', '3', '4')
    await turn()
    expect([texts(one), texts(two)]).toEqual([
      ['1', '3'],
      ['2', '4'],
    ])
  })

  it('hands out no more than prefetch allows', async () => {
    const client = new MemoryBroker().connect()
    const got = await collect(client, 'q', 2)
    publish(client, 'q', '1', '2', '3')
    await turn()
    expect(texts(got)).toEqual(['1', '2'])
    client.ack(got[0] as MemoryMessage)
    await turn()
    expect(texts(got)).toEqual(['1', '2', '3'])
  })

  it('puts a message that is given back into its old place, and marks it', async () => {
    const broker = new MemoryBroker()
    const client = broker.connect()
    const got = await collect(client, 'q', 2)
    publish(client, 'q', '1', '2', '3')
    await turn()
    client.nack(got[1] as MemoryMessage)
    client.nack(got[0] as MemoryMessage)
    expect(broker.peek('q').map(({ payload, redelivered }) => [payload?.toString(), redelivered])).toEqual([
      ['1', true],
      ['2', true],
      ['3', false],
    ])
  })

  it('moves a refused message to the dead letters of its queue, else drops it', async () => {
    const broker = new MemoryBroker()
    const client = broker.connect()
    await client.assertQueue('q', { deadLetterQueue: 'dead' })
    for (const queue of ['q', 'other']) {
      await client.consume(queue, (message) => client.nack(message, { requeue: false }))
      client.publish(queue, Buffer.from(queue), { headers: { a: 1 } })
    }
    await turn()
    expect(broker.peek('dead')).toEqual([
      { queue: 'dead', payload: Buffer.from('q'), headers: { a: 1 }, properties: {}, redelivered: false },
    ])
    await client.close()
    expect([broker.peek('q'), broker.peek('other')]).toEqual([[], []])
  })

  it('keeps a refused message unsettled while the dead letters are full', async () => {
    const broker = new MemoryBroker()
    const client = broker.connect()
    await client.assertQueue('q', { deadLetterQueue: 'dead' })
    await client.assertQueue('dead', { maxLength: 0 })
    const got = await collect(client, 'q')
    publish(client, 'q', 'x')
    await turn()
    const [message] = got as [MemoryMessage]
    expect(() => client.nack(message, { requeue: false })).toThrow('full')
    await client.assertQueue('dead')
    client.nack(message, { requeue: false })
    expect(texts(broker.peek('dead'))).toEqual(['x'])
  })

  it('gives unsettled messages back when a client ends', async () => {
    const broker = new MemoryBroker()
    const [one, two] = [broker.connect(), broker.connect()]
    const got = await collect(one, 'q')
    publish(two, 'q', '1', '2', '3')
    await turn()
    one.ack(got[1] as MemoryMessage)
    const closed = once(one, 'close')
    await one.close()
    await closed
    expect(texts(broker.peek('q'))).toEqual(['1', '3'])
    expect(() => one.ack(got[0] as MemoryMessage)).toThrow('closed')
    expect(() => one.publish('q', null)).toThrow('closed')
    await one.close()
  })

  it('destroys a client whose callback throws', async () => {
    const broker = new MemoryBroker()
    const client = broker.connect()
    await client.consume('q', () => {
      throw new Error('bug')
    })
    const failed = once(client, 'error')
    publish(client, 'q', '1', '2')
    expect(await failed).toEqual([new Error('bug')])
    expect(client.isClosed).toBe(true)
    expect(texts(broker.peek('q'))).toEqual(['1', '2'])
  })

  it('does not starve the event loop when a message is always given back', async () => {
    const client = new MemoryBroker().connect()
    let deliveries = 0
    await client.consume('q', (message) => {
      deliveries++
      client.nack(message)
    })
    publish(client, 'q', 'x')
    await turn()
    await turn()
    await client.close()
    expect(deliveries).toBeGreaterThan(1)
  })

  it('settles what is in hand only, once', async () => {
    const client = new MemoryBroker().connect()
    const got = await collect(client, 'q')
    publish(client, 'q', 'x')
    await turn()
    client.ack({ ...(got[0] as MemoryMessage) })
    expect(() => client.ack(got[0] as MemoryMessage)).toThrow('delivery tag')
    expect(() => client.nack({ deliveryTag: 99 })).toThrow('delivery tag')
  })

  it('shares nothing between producer, broker and consumers', async () => {
    const broker = new MemoryBroker()
    const client = broker.connect()
    const payload = Buffer.from('body')
    const list = [1, { deep: Buffer.from('x') }]
    const headers: Record<string, never> = { list } as never
    client.publish('q', payload, { headers })
    payload.fill(0)
    list.length = 0
    const [first] = broker.peek('q')
    first?.payload?.fill(0)
    Object.assign(first?.headers as object, { list: 'changed' })
    const [second] = broker.peek('q')
    expect(second?.payload?.toString()).toBe('body')
    expect(second?.headers).toEqual({ list: [1, { deep: Buffer.from('x') }] })
  })

  it('carries hostile header names as they are', () => {
    const broker = new MemoryBroker()
    const headers = Object.fromEntries([
      ['__proto__', { polluted: true }],
      ['constructor', 'x'],
    ])
    broker.connect().publish('q', null, { headers })
    const carried = broker.peek('q')[0]?.headers
    expect(Object.entries(carried ?? {})).toEqual([
      ['__proto__', { polluted: true }],
      ['constructor', 'x'],
    ])
    expect(Object.getPrototypeOf(carried)).toBe(Object.prototype)
  })

  it.each([
    ['a queue without a name', '', null, {}],
    ['a text for a body', 'q', 'text', {}],
    ['no body at all', 'q', undefined, {}],
    ['a function for a header', 'q', null, { headers: { f: () => 1 } }],
  ])('refuses %s', (_what, queue, payload, options) => {
    expect(() => new MemoryBroker().connect().publish(queue, payload as never, options as never)).toThrow(TypeError)
  })
})
