import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { type ChannelModel, connect } from 'amqplib'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { probeRabbitmq, probeRedis } from '../brokers/handshake.ts'
import { startKafka, startRabbitmq, startRedis, uniqueName } from '../brokers/index.ts'
import { probeKafka } from '../brokers/kafka-requests.ts'

const amqpUrl = inject('amqpUrl')
const redisUrl = inject('redisUrl')
const kafkaBrokers = inject('kafkaBrokers')
const startable = inject('startableBrokers')
const version = /^\d+\.\d+\.\d+/

describe('the brokers of this run', () => {
  it.skipIf(amqpUrl === undefined)('RabbitMQ answers the AMQP 0-9-1 handshake', async () => {
    expect(await probeRabbitmq(amqpUrl ?? '')).toMatch(version)
  })

  it.skipIf(redisUrl === undefined)('Redis answers INFO', async () => {
    expect(await probeRedis(redisUrl ?? '')).toMatch(version)
  })

  it.skipIf(kafkaBrokers === undefined)('Kafka answers ApiVersions', async () => {
    await expect(probeKafka(kafkaBrokers?.join(',') ?? '')).resolves.toBeUndefined()
  })
})

// Starts and restarts take seconds each, in Docker tens of them.
describe('a broker of a test’s own', () => {
  it.skipIf(!startable.includes('rabbitmq'))('RabbitMQ keeps durable messages over a kill and a restart', async () => {
    const server = await startRabbitmq({ config: ['consumer_timeout = 123456'] })
    onTestFinished(() => server.stop())
    expect(await server.rabbitmqctl(['environment'])).toContain('{consumer_timeout,123456}')

    const queue = uniqueName('durable')
    const before = await openConnection(server.url)
    const channel = await before.connection.createConfirmChannel()
    channel.on('error', () => undefined)
    await channel.assertQueue(queue, { durable: true })
    channel.sendToQueue(queue, Buffer.from('still here'), { persistent: true })
    await channel.waitForConfirms()
    // The message is on disk by now; what is known of the queue itself is written a little later.
    await server.rabbitmqctl(['eval', 'mnesia:sync_log().'])

    await server.kill()
    await before.closed
    await expect(probeRabbitmq(server.url)).rejects.toThrow()
    await server.restart()

    const after = await openConnection(server.url)
    const message = await (await after.connection.createChannel()).get(queue, { noAck: true })
    expect(message).toMatchObject({ content: Buffer.from('still here') })
    await server.closeConnections()
    await after.closed
    expect(await server.rabbitmqctl(['list_queues', 'name', 'messages'])).toBe(`name\tmessages\n${queue}\t0\n`)
  })

  it.skipIf(!startable.includes('redis'))(
    'Redis keeps what it was told to keep over a kill and a restart',
    async () => {
      const server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
      onTestFinished(() => server.stop())
      expect(await redisCommand(server.url, 'SET key value')).toBe('+OK\r\n')
      await server.kill()
      await expect(probeRedis(server.url)).rejects.toThrow()
      await server.restart()
      expect(await redisCommand(server.url, 'GET key')).toBe('$5\r\nvalue\r\n')
    },
  )

  it.skipIf(!startable.includes('kafka'))('Kafka serves again after a kill and a restart', async () => {
    const server = await startKafka({ config: { 'auto.create.topics.enable': 'false' } })
    onTestFinished(() => server.stop())
    await server.kill()
    await expect(probeKafka(server.address)).rejects.toThrow()
    await server.restart()
    await expect(probeKafka(server.address)).resolves.toBeUndefined()
  })
})

async function openConnection(url: string): Promise<{ connection: ChannelModel; closed: Promise<void> }> {
  const connection = await connect(url)
  // Without a listener for `error`, a broken connection ends the process.
  connection.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => connection.once('close', () => resolve()))
  return { connection, closed }
}

async function redisCommand(url: string, command: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connectTcp(Number(port), hostname)
  socket.write(`${command}\r\n`)
  const [answer] = await once(socket, 'data')
  socket.destroy()
  return String(answer)
}
