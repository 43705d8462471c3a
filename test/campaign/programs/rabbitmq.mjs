// A consumer of RabbitMQ that connects again, to the next of its servers, whenever its connection or consumer is gone.

import { once } from 'node:events'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { adapter, job, onClose, verifier, work } from './common.mjs'

const { wrapConsumer } = await adapter('rabbitmq')
let closing = false
let current
/** A stream is read in order, and goes on behind what was handled last. */
let inOrder = Promise.resolve()

function readOffset() {
  try {
    return Number(readFileSync(job.offsetFile, 'utf8')) + 1
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
    return 'first'
  }
}

function writeOffset(offset) {
  writeFileSync(`${job.offsetFile}.new`, String(offset))
  renameSync(`${job.offsetFile}.new`, job.offsetFile)
}

async function handle(channel, message) {
  await work(message.content.toString())
  channel.ack(message)
  if (job.offsetFile) writeOffset(message.properties.headers['x-stream-offset'])
}

async function session(url) {
  const connection = await connect(url, { timeout: 5_000 })
  connection.on('error', () => undefined)
  wrapConsumer(connection, verifier, { onVerdict: () => undefined })
  const over = once(connection, 'close')
  const channel = await connection.createChannel()
  channel.on('error', () => void connection.close().catch(() => undefined))
  await channel.prefetch(20)
  const onMessage = (message) => {
    // The queue's leader is gone.
    if (message === null) return void connection.close().catch(() => undefined)
    // A channel that is gone cannot acknowledge, and what was not acknowledged comes again.
    const handled = job.offsetFile ? inOrder.then(() => handle(channel, message)) : handle(channel, message)
    inOrder = handled.catch(() => undefined)
  }
  const args = job.offsetFile ? { arguments: { 'x-stream-offset': readOffset() } } : {}
  await channel.consume(job.queue, onMessage, { consumerTag: job.name, ...args })
  current = connection
  if (process.connected) process.send('consuming')
  await over
}

onClose(async () => {
  closing = true
  await inOrder
  await current.close()
})

for (let attempt = 0; !closing; attempt++) {
  try {
    await session(job.urls[attempt % job.urls.length])
  } catch {
    // The server is away, or the queue has no leader yet: the next one is asked.
  }
  await sleep(100)
}
