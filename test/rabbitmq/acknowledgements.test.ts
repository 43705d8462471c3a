import type { Channel, ConsumeMessage } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { type RabbitmqConsumerOptions, wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { bench, bodies, errorOf, inbox } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

const ACK = (60 << 16) | 80

interface Acknowledged {
  readonly deliveryTag: number
  readonly multiple: boolean
}

interface Scene {
  readonly queue: string
  readonly channel: Channel
  /** the acknowledgements that the channel sent */
  readonly sent: Acknowledged[]
}

describe.skipIf(url === undefined)('acknowledgements of one tick', () => {
  const at = bench(url)

  /**
   * @param texts bodies; those that begin with "forged" are not signed
   * @param below does something to the channel before it is wrapped
   */
  async function scene(
    texts: readonly string[],
    options?: RabbitmqConsumerOptions,
    below: (channel: Channel) => void = () => undefined,
  ): Promise<Scene> {
    const queue = await at.queue()
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer)
    for (const text of texts) {
      const isForged = text.startsWith('forged')
      const to = isForged ? at.raw : producer
      to.sendToQueue(queue, Buffer.from(text))
      if (isForged) await at.raw.waitForConfirms()
      else await producer.waitForConfirms()
    }
    const channel = await (await at.connection()).createChannel()
    below(channel)
    const sent: Acknowledged[] = []
    const wire = channel as unknown as { sendImmediately(method: number, fields: Acknowledged): unknown }
    const send = wire.sendImmediately
    wire.sendImmediately = (method, fields) => {
      if (method === ACK) sent.push({ deliveryTag: fields.deliveryTag, multiple: Boolean(fields.multiple) })
      return send.call(channel, method, fields)
    }
    return { queue, channel: wrapConsumer(channel, new Verifier({ keys }), options), sent }
  }

  /** Many messages, all of them signed. */
  async function fill(queue: string, texts: readonly string[]): Promise<void> {
    const producer = wrapProducer(await (await at.connection()).createConfirmChannel(), signer, { batch: true })
    for (const text of texts) producer.sendToQueue(queue, Buffer.from(text))
    await producer.waitForConfirms()
  }

  /** What is left in a queue whose consumers are gone, taken out. */
  async function leftIn(queue: string): Promise<string[]> {
    const left: string[] = []
    for (let got = await at.raw.get(queue, { noAck: true }); got !== false; ) {
      left.push(String(got.content))
      got = await at.raw.get(queue, { noAck: true })
    }
    return left.sort()
  }

  /** Settles so many messages in one tick once all of them are there. */
  async function together({ channel, queue }: Scene, count: number, settle: (got: ConsumeMessage[]) => void) {
    const got = await inbox(channel, queue, () => undefined)
    await eventually(() => expect(got).toHaveLength(count))
    settle(got)
    return got
  }

  it('leave as one frame', async () => {
    const at100 = await scene(Array.from({ length: 100 }, (_, index) => `m${index}`))
    const { channel, queue, sent } = at100
    await together(at100, 100, (got) => {
      for (const message of got) channel.ack(message)
      expect(sent).toEqual([])
    })
    await eventually(() => expect(sent).toEqual([{ deliveryTag: 100, multiple: true }]))
    await channel.close()
    expect(await at.ready(queue)).toBe(0)
  })

  it.each<[string, string[], (channel: Channel, got: ConsumeMessage[]) => void, Acknowledged[], string[]]>([
    [
      'what the user has not settled',
      ['a', 'b', 'c', 'd'],
      (channel, got) => {
        for (const index of [0, 1, 3]) channel.ack(got[index] as ConsumeMessage)
      },
      [
        { deliveryTag: 2, multiple: true },
        { deliveryTag: 4, multiple: false },
      ],
      ['c'],
    ],
    [
      'what is given back in the same tick',
      ['a', 'b', 'c'],
      (channel, got) => {
        channel.ack(got[0] as ConsumeMessage)
        channel.ack(got[2] as ConsumeMessage)
        channel.nack(got[1] as ConsumeMessage)
      },
      [
        { deliveryTag: 1, multiple: false },
        { deliveryTag: 3, multiple: false },
      ],
      ['b'],
    ],
    [
      'what was given back before',
      ['a', 'b', 'c'],
      (channel, got) => {
        channel.nack(got[0] as ConsumeMessage)
        channel.ack(got[2] as ConsumeMessage)
        channel.ack(got[1] as ConsumeMessage)
      },
      [{ deliveryTag: 3, multiple: true }],
      ['a'],
    ],
  ])('leave out %s', async (_what, texts, settle, frames, left) => {
    const made = await scene(texts)
    const { channel, queue, sent } = made
    await channel.prefetch(texts.length)
    await together(made, texts.length, (got) => {
      settle(channel, got.slice())
      // What comes again stays unsettled.
    })
    await eventually(() => expect(sent).toEqual(frames))
    await channel.close()
    expect(await leftIn(queue)).toEqual(left)
  })

  it('leave out what waits for its dead letter', async () => {
    let store: () => void = () => undefined
    const stored = new Promise<void>((resolve) => {
      store = resolve
    })
    const made = await scene(['a', 'forged', 'b'], { deadLetter: () => stored })
    const { channel, queue, sent } = made
    await together(made, 2, (got) => {
      for (const message of got) channel.ack(message)
    })
    const apart = [1, 3].map((deliveryTag) => ({ deliveryTag, multiple: false }))
    await eventually(() => expect(sent).toEqual(apart))
    store()
    await eventually(() => expect(sent).toEqual([...apart, { deliveryTag: 2, multiple: false }]))
    await channel.close()
    expect(await at.ready(queue)).toBe(0)
  })

  it('leave out what a get has not handed over, and messages without acknowledgements in between do not matter', async () => {
    const made = await scene(['got', 'a', 'b'], { noAck: 'drop' })
    const { channel, queue, sent } = made
    const other = await scene(['x', 'y'])
    expect(await channel.get(queue)).not.toBe(false)
    const loose: ConsumeMessage[] = []
    await channel.consume(other.queue, (message) => void (message && loose.push(message)), { noAck: true })
    await eventually(() => expect(loose).toHaveLength(2))
    await together(made, 2, (got) => {
      for (const message of got) channel.ack(message)
    })
    const apart = [4, 5].map((deliveryTag) => ({ deliveryTag, multiple: false }))
    await eventually(() => expect(sent).toEqual(apart))
    await channel.close()
    expect(await leftIn(queue)).toEqual(['got'])
    expect(await at.ready(other.queue)).toBe(0)
  })

  it('leave out what a tracer below has not passed on yet', { timeout: 60_000 }, async () => {
    let pass: () => void = () => undefined
    const { channel, queue, sent } = await scene([], undefined, (plain) => {
      const consume = plain.consume
      plain.consume = (from, onMessage, options) => {
        const traced: typeof onMessage = (message) => {
          if (String(message?.content) === 'late') pass = () => onMessage(message)
          else onMessage(message)
        }
        return consume.call(plain, from, traced, options)
      }
    })
    // More than are kept track of at a time, so that its place was another's before.
    const before = Array.from({ length: 16_500 }, (_, index) => `m${index}`)
    await fill(queue, [...before, 'late', 'b', 'c'])
    const kept: ConsumeMessage[] = []
    const got = await inbox(channel, queue, (message) => {
      if (String(message.content) === 'late') kept.push(message)
      else channel.ack(message)
    })
    await eventually(() => expect(got).toHaveLength(before.length + 2))
    const late = before.length + 1
    const apart = [late + 1, late + 2].map((deliveryTag) => ({ deliveryTag, multiple: false }))
    await eventually(() => expect(sent.slice(-2)).toEqual(apart))
    pass()
    expect(bodies(kept)).toEqual(['late'])
    await channel.close()
    expect(await leftIn(queue)).toEqual(['late'])
  })

  it('leave out one that stays unsettled while thousands come after it', { timeout: 60_000 }, async () => {
    const { channel, queue, sent } = await scene([])
    const count = 17_000
    await fill(
      queue,
      Array.from({ length: count }, (_, index) => `m${index}`),
    )
    const got = await inbox(channel, queue, (message) => {
      if (message.fields.deliveryTag > 1) channel.ack(message)
    })
    await eventually(() => expect(got).toHaveLength(count))
    await eventually(() => expect(sent).toHaveLength(count - 1))
    await channel.close()
    expect(await leftIn(queue)).toEqual(['m0'])
  })

  it('leave before the channel closes, before its connection does, and before recover', async () => {
    for (const end of ['channel', 'connection', 'recover'] as const) {
      const made = await scene(['a', 'b', 'c'])
      const { queue } = made
      const connection = wrapConsumer(await at.connection(), new Verifier({ keys }))
      const channel = await connection.createChannel()
      const got = await together({ ...made, channel }, 3, (all) => {
        for (const message of all.slice(0, 2)) channel.ack(message)
      })
      if (end === 'recover') {
        await channel.recover()
        await eventually(() => expect(bodies(got)).toEqual(['a', 'b', 'c', 'c']))
        channel.ack(got[3] as ConsumeMessage)
      }
      if (end === 'connection') await connection.close()
      else await channel.close()
      expect(await leftIn(queue)).toEqual(end === 'recover' ? [] : ['c'])
    }
  })

  it('end the channel as with the plain client where a message is acknowledged twice', async () => {
    const made = await scene(['a', 'b'])
    const { channel, queue } = made
    const error = errorOf(channel)
    await together(made, 2, (got) => {
      channel.ack(got[0] as ConsumeMessage)
      channel.ack(got[0] as ConsumeMessage)
    })
    expect((await error).code).toBe(406)
    expect(await leftIn(queue)).toEqual(['b'])
  })

  it('are thrown back by a channel that is closed', async () => {
    const made = await scene(['a'])
    const { channel } = made
    const [message] = await together(made, 1, () => undefined)
    await channel.close()
    expect(() => channel.ack(message as ConsumeMessage)).toThrow('Channel closed')
  })

  it('settle exactly what was settled, whatever the order', { timeout: 60_000 }, async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const random = mulberry32(seed)
      const texts = Array.from({ length: 80 }, (_, index) => `${random() < 0.1 ? 'forged' : 'm'}${index}`)
      const made = await scene(texts)
      const { channel, queue } = made
      const kept = new Set(texts.filter((text) => !text.startsWith('forged') && random() < 0.1))
      const settled = new Set<string>()
      const waiting: ConsumeMessage[] = []
      const settle = (message: ConsumeMessage): void => {
        settled.add(String(message.content))
        const by = random()
        if (by < 0.8) channel.ack(message)
        else if (by < 0.9) channel.nack(message, false, false)
        else channel.reject(message, false)
      }
      await inbox(channel, queue, (message) => {
        if (kept.has(String(message.content))) return
        if (random() < 0.5) settle(message)
        else waiting.push(message)
        if (random() < 0.2) {
          for (const each of waiting.splice(0).sort(() => random() - 0.5)) {
            if (random() < 0.7) settle(each)
            else setTimeout(() => settle(each), random() * 20)
          }
        }
      })
      const good = texts.filter((text) => !text.startsWith('forged') && !kept.has(text))
      await eventually(() => {
        for (const message of waiting.splice(0)) settle(message)
        expect(settled.size).toBe(good.length)
      })
      const forged = texts.filter((text) => text.startsWith('forged'))
      expect(bodies(await at.letters(queue, forged.length)).sort()).toEqual([...forged].sort())
      // It waits until what was rejected is acknowledged behind its dead letter.
      await channel.close()
      expect(await leftIn(queue), `seed ${seed}`).toEqual([...kept].sort())
    }
  })
})

function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
