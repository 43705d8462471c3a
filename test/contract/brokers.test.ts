import { connect } from 'amqplib'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { probeRabbitmq } from '../brokers/handshake.ts'
import { startRabbitmq, uniqueName } from '../brokers/index.ts'

const amqpUrl = inject('amqpUrl')
const canStart = inject('startableBrokers')

describe.skipIf(amqpUrl === undefined)('the RabbitMQ of this run', () => {
  it('answers the AMQP 0-9-1 handshake', async () => {
    expect(await probeRabbitmq(amqpUrl ?? '')).toMatch(/^\d+\.\d+\.\d+/)
  })
})

describe.skipIf(!canStart.includes('rabbitmq'))('a RabbitMQ of a test’s own', () => {
  it('keeps durable messages over a kill and a restart, and takes more configuration', async () => {
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
})

async function openConnection(url: string) {
  const connection = await connect(url)
  // Without a listener for `error`, a broken connection ends the process.
  connection.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => connection.once('close', () => resolve()))
  return { connection, closed }
}
