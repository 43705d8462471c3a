import { connect as connectManager } from 'amqp-connection-manager'
import { type ChannelModel, connect } from 'amqplib'
import { connect as connectWithCallback } from 'amqplib/callback_api'
import { describe, expect, inject, it } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/rabbitmq/index.ts'
import { Verifier } from '../../src/index.ts'
import { testKeys } from '../../src/testing.ts'
import { eventually } from '../eventually.ts'
import { amqplib010, amqplib010Callbacks, bench } from './helpers.ts'

const url = inject('amqpUrl') as string
const { signer, keys } = testKeys('checkout')

type Kind = 'createChannel' | 'createConfirmChannel'

/** Publishes in the way that a first script does, and closes the connection at once. */
type Script = (queue: string, bodies: readonly Buffer[], kind: Kind, batch: boolean) => Promise<unknown>

const promises =
  (library: typeof import('amqplib')): Script =>
  async (queue, bodies, kind, batch) => {
    const connection = wrapProducer(await library.connect(url), signer, { batch })
    const channel = await connection[kind]()
    for (const body of bodies) channel.sendToQueue(queue, body)
    await connection.close()
  }

const callbacks =
  (library: typeof import('amqplib/callback_api')): Script =>
  (queue, bodies, kind, batch) =>
    new Promise((resolve, reject) => {
      library.connect(url, (error, connection) => {
        if (error) return reject(error)
        wrapProducer(connection, signer, { batch })[kind]((failed, channel) => {
          if (failed) return reject(failed)
          for (const body of bodies) channel.sendToQueue(queue, body)
          connection.close((closing) => (closing ? reject(closing) : resolve(undefined)))
        })
      })
    })

const SCRIPTS: Record<string, Script> = {
  'amqplib 2': promises({ connect } as typeof import('amqplib')),
  'amqplib 0.10': promises(amqplib010),
  'amqplib 2, callbacks': callbacks({ connect: connectWithCallback } as never),
  'amqplib 0.10, callbacks': callbacks(amqplib010Callbacks),
  'a recovering connection': async (queue, bodies, kind, batch) => {
    const connection = wrapProducer(await connect(url, { recovery: { waitForConnect: false } }), signer, { batch })
    const channel = await connection[kind]()
    for (const body of bodies) channel.sendToQueue(queue, body)
    await connection.close()
  },
  'the raw connection of a manager': async (queue, bodies, kind, batch) => {
    const manager = wrapProducer(connectManager([url]), signer, { batch })
    await manager.connect()
    const channel = await (manager.connection as ChannelModel)[kind]()
    for (const body of bodies) channel.sendToQueue(queue, body)
    await manager.close()
  },
  'a connection wrapped in both roles': async (queue, bodies, kind, batch) => {
    const connection = wrapProducer(wrapConsumer(await connect(url), new Verifier({ keys })), signer, { batch })
    const channel = await connection[kind]()
    for (const body of bodies) channel.sendToQueue(queue, body)
    await connection.close()
  },
  'a channel from before the connection was wrapped': async (queue, bodies, kind, batch) => {
    const connection = await connect(url)
    const channel = await connection[kind]()
    wrapProducer(connection, signer, { batch })
    for (const body of bodies) channel.sendToQueue(queue, body)
    await connection.close()
  },
  'many channels': async (queue, bodies, kind, batch) => {
    const connection = wrapProducer(await connect(url), signer, { batch })
    const channels = await Promise.all(bodies.map(() => connection[kind]()))
    for (const [index, body] of bodies.entries()) channels[index]?.sendToQueue(queue, body)
    await connection.close()
  },
}

describe.skipIf(url === undefined)('a wrapped connection that is closed right after publishing', () => {
  const at = bench(url)

  describe.each(Object.entries(SCRIPTS))('%s', (_name, script) => {
    it.each<[string, Kind, boolean]>([
      ['a channel', 'createChannel', false],
      ['a channel, in batches', 'createChannel', true],
      ['a confirm channel', 'createConfirmChannel', false],
    ])('loses nothing: %s', async (_what, kind, batch) => {
      const queue = await at.queue()
      // Several frames each.
      const bodies = Array.from({ length: 20 }, () => Buffer.alloc(200_000, 'x'))
      await script(queue, bodies, kind, batch)
      await eventually(async () => expect(await at.ready(queue)).toBe(bodies.length))
    })
  })

  it('closes as before where nothing was published, and rejects what was closed already', async () => {
    const connection = wrapProducer(await at.connection(), signer)
    await connection.createChannel()
    await connection.close()
    await expect(connection.close()).rejects.toThrow(/closed/i)
  })

  it('closes though a channel of it was closed before, or is closing', async () => {
    const connection = wrapProducer(await at.connection(), signer)
    const queue = await at.queue()
    const [closed, closing] = [await connection.createChannel(), await connection.createChannel()]
    for (const channel of [closed, closing]) channel.sendToQueue(queue, Buffer.from('x'))
    await closed.close()
    const both = [closing.close(), connection.close(), connection.close()]
    await Promise.all(both)
    await eventually(async () => expect(await at.ready(queue)).toBe(2))
  })
})
