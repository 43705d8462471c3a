import type { Socket } from 'node:net'
import { connect as connectManager } from 'amqp-connection-manager'
import { type Channel, type ChannelModel, connect } from 'amqplib'
import { type RabbitmqConsumerOptions, wrapConsumer } from '../../adapters/rabbitmq/index.ts'
import type { Verifier } from '../../src/index.ts'

/** A wrapped consumer whose connection comes back by itself. */
export interface ReturningConsumer {
  /** how often it connected */
  connections(): number
  /** Breaks the socket of the connection, as a network does. False: there is none right now. */
  cut(): boolean
  close(): Promise<void>
}

export type SetUp = (channel: Channel) => Promise<void>

type Start = (
  url: string,
  verifier: Verifier,
  setUp: SetUp,
  options?: RabbitmqConsumerOptions,
) => Promise<ReturningConsumer>

/** The two ways a Node program gets a connection that comes back. */
export const RETURNING_CONSUMERS: Readonly<Record<string, Start>> = {
  'amqplib with recovery': async (url, verifier, setUp, options) => {
    let current: ChannelModel | undefined
    let connections = 0
    const recovering = await connect(url, {
      recovery: {
        initialDelay: 20,
        maxDelay: 200,
        // Wrapped before the first connection is made, so that the channels of setup are covered.
        waitForConnect: false,
        setup: async (model: ChannelModel) => {
          connections++
          current = model
          await consumeAgainWhenClosed(model, setUp)
        },
      },
    })
    recovering.on('error', () => undefined)
    wrapConsumer(recovering, verifier, options)
    await recovering.waitForConnect()
    return { connections: () => connections, cut: () => cutSocket(current), close: () => recovering.close() }
  },
  'amqp-connection-manager': async (url, verifier, setUp, options) => {
    let connections = 0
    const manager = connectManager([url], { heartbeatIntervalInSeconds: 60, reconnectTimeInSeconds: 0.05 })
    wrapConsumer(manager, verifier, options)
    manager.on('connect', () => connections++)
    const wrapper = manager.createChannel({ setup: setUp })
    wrapper.on('error', () => undefined)
    await wrapper.waitForConnect()
    return {
      connections: () => connections,
      cut: () => cutSocket(manager.connection as ChannelModel | undefined),
      close: () => manager.close(),
    }
  },
}

/** A channel that the broker closes is opened anew, as programs do that use amqplib alone. */
async function consumeAgainWhenClosed(model: ChannelModel, setUp: SetUp): Promise<void> {
  const channel = await model.createChannel()
  let byBroker = false
  channel.on('error', () => {
    byBroker = true
  })
  channel.on('close', () => {
    if (byBroker) consumeAgainWhenClosed(model, setUp).catch(() => undefined)
  })
  await setUp(channel)
}

function cutSocket(model: ChannelModel | undefined): boolean {
  const { stream } = (model?.connection ?? {}) as { stream?: Socket }
  if (stream === undefined || stream.destroyed) return false
  stream.destroy(new Error('cut by a test'))
  return true
}
