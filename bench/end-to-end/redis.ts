import { Redis } from 'ioredis'
import { wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import type { Verifier } from '../../src/index.ts'
import { startRedis } from '../../test/brokers/index.ts'
import {
  CHUNK,
  DUMMY_HEADER,
  InFlight,
  type Producer,
  type ProducerOptions,
  type Queue,
  type Transport,
} from './transport.ts'

const GROUP = 'workers'

/** Entries that a stream keeps: more than ever wait, so that the server's memory stays as it is. */
const KEPT = 50_000

type Entry = readonly [id: Buffer, fields: readonly Buffer[]]

export const redis: Transport = {
  name: 'Redis',
  client: 'ioredis',
  variants: ['pipelines'],
  start: () => startRedis(),
  createQueue,
  openProducer,
  openConsumer,
  tokenLength: (native) => {
    const [, fields] = native as Entry
    return fields[fields.findIndex((field, index) => index % 2 === 0 && String(field) === 'queueauth') + 1]?.length ?? 0
  },
}

async function createQueue({ address, name }: Queue): Promise<() => Promise<void>> {
  const client = new Redis(address)
  await client.xgroup('CREATE', name, GROUP, '0', 'MKSTREAM')
  return async () => {
    await client.del(name)
    await client.quit()
  }
}

async function openProducer({ address, name }: Queue, options: ProducerOptions): Promise<Producer> {
  const { signer, batch, dummy } = options
  const client = new Redis(address)
  if (signer !== undefined) wrapProducer(client, signer, { batch })
  await client.ping()
  const { stream } = client as unknown as { stream: { bytesWritten: number } }
  const more = dummy === undefined ? [] : [DUMMY_HEADER, dummy]
  const inFlight = new InFlight()
  return {
    send(bodies) {
      const pipeline = client.pipeline()
      for (const body of bodies) pipeline.xadd(name, 'MAXLEN', '~', KEPT, '*', 'body', body, ...more)
      return inFlight.add(pipeline.exec().then(failOnError))
    },
    settle: () => inFlight.settle(),
    bytesWritten: () => stream.bytesWritten,
  }
}

function failOnError(results: readonly [error: Error | null, result: unknown][] | null): void {
  for (const [error] of results ?? []) if (error !== null) throw error
}

async function openConsumer(
  { address, name }: Queue,
  verifier: Verifier | undefined,
  handle: (body: Buffer, native: unknown) => void,
): Promise<void> {
  const client = new Redis(address)
  if (verifier !== undefined) wrapConsumer(client, verifier)
  const read = async (): Promise<readonly Entry[]> => {
    const reply = await client.xreadgroupBuffer(
      ...(['GROUP', GROUP, 'bench', 'COUNT', CHUNK, 'BLOCK', 1000, 'STREAMS', name, '>'] as const),
    )
    return (reply as [key: Buffer, entries: Entry[]][] | null)?.[0]?.[1] ?? []
  }
  const loop = async (): Promise<void> => {
    for (let settling: Promise<unknown> = Promise.resolve(); ; ) {
      // The acknowledgements of a page leave with the next read.
      const [entries] = await Promise.all([read(), settling])
      for (const entry of entries) handle(entry[1][1] as Buffer, entry)
      settling = entries.length === 0 ? Promise.resolve() : client.xack(name, GROUP, ...entries.map(([id]) => id))
    }
  }
  await client.ping()
  // Its failure ends the process.
  void loop()
}
