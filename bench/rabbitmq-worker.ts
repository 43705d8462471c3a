import { type Channel, type ChannelModel, connect } from 'amqplib'
import { wrapConsumer, wrapProducer } from '../adapters/rabbitmq/index.ts'
import { AuthorizedKeys, Signer, Verifier } from '../src/index.ts'
import type { Job, Result } from './rabbitmq.ts'

/** One side of the same program: a producer or a consumer, in a process of its own. */

process.once('message', (job: Job) => {
  void (job.role === 'producer' ? produce(job) : consume(job)).then((result) => {
    process.send?.(result)
  })
})

async function consume(job: Job): Promise<Result> {
  const { channel, connection } = await open(job)
  await channel.prefetch(1000)
  if (job.how === 'single' || job.how === 'batch') {
    wrapConsumer(channel, new Verifier({ keys: AuthorizedKeys.parse(job.line) }))
  }
  const latencies: number[] = []
  let count = 0
  let cpu = process.cpuUsage()
  const finished = new Promise<void>((resolve) => {
    void channel
      .consume(job.queue, (message) => {
        if (message === null) return
        if (count === 0) cpu = process.cpuUsage()
        if (job.rate !== undefined) latencies.push(now() - JSON.parse(message.content.toString()).at)
        else if (job.handlerMicros > 0) work(message.content, job.handlerMicros)
        channel.ack(message)
        if (++count === job.total) resolve()
      })
      .then(() => process.send?.('ready'))
  })
  await finished
  const { user, system } = process.cpuUsage(cpu)
  const result = { endedAt: now(), cpuMicros: user + system, bytes: 0, latencies }
  await channel.close()
  await connection.close()
  return result
}

async function produce(job: Job): Promise<Result> {
  const { channel, connection } = await open(job)
  if (job.how === 'single' || job.how === 'batch') {
    const signer = Signer.fromKey(job.key, { service: 'bench' })
    wrapProducer(channel, signer, { batch: job.how === 'batch' })
  }
  const headers = job.how === 'header' ? { dummy: 'x'.repeat(job.dummyLength) } : {}
  const { stream } = connection.connection as unknown as { stream: { bytesWritten: number } }
  const written = stream.bytesWritten
  const cpu = process.cpuUsage()
  const startedAt = now()
  for (let sent = 0; sent < job.total; ) {
    // A tick's worth: what one request, one timer or one read from a socket makes a program publish.
    const end = job.rate === undefined ? Math.min(job.total, sent + 100) : sent + 1
    let writable = true
    for (; sent < end; sent++) {
      writable = channel.publish('', job.queue, bodyOf(sent, job.bytes), {
        headers,
        contentType: 'application/json',
        persistent: job.persistent,
      })
    }
    if (job.rate !== undefined) await new Promise((resolve) => setTimeout(resolve, 1000 / (job.rate as number)))
    else if (!writable) await new Promise((resolve) => channel.once('drain', resolve))
    else await new Promise(setImmediate)
    if (job.persistent && sent % 1000 === 0) await confirmed(channel)
  }
  if (job.persistent) await confirmed(channel)
  const { user, system } = process.cpuUsage(cpu)
  await channel.close()
  const bytes = stream.bytesWritten - written
  await connection.close()
  return { startedAt, endedAt: now(), cpuMicros: user + system, bytes, latencies: [] }
}

async function open(job: Job): Promise<{ connection: ChannelModel; channel: Channel }> {
  const connection = await connect(job.url)
  const channel = job.persistent ? await connection.createConfirmChannel() : await connection.createChannel()
  return { connection, channel }
}

function confirmed(channel: Channel): Promise<void> {
  return (channel as unknown as { waitForConfirms(): Promise<void> }).waitForConfirms()
}

function now(): number {
  return performance.timeOrigin + performance.now()
}

function bodyOf(order: number, bytes: number): Buffer {
  const text = `{"at":${now()},"order":${order},"padding":"`
  return Buffer.from(`${text.padEnd(bytes - 2, 'x')}"}`)
}

/** A handler that reads its message and is busy for a while. */
function work(content: Buffer, micros: number): void {
  const until = performance.now() + micros / 1000
  JSON.parse(content.toString())
  while (performance.now() < until);
}
