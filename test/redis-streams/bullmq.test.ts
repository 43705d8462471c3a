import { Queue, QueueEvents, Worker } from 'bullmq'
import { describe, expect, it, onTestFinished } from 'vitest'
import { wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { testKeys } from '../../src/testing.ts'
import { Verifier } from '../../src/verifier.ts'
import { uniqueName } from '../brokers/index.ts'
import { opened, plain, Redis6, redisUrl } from './clients.ts'

describe.skipIf(redisUrl === '')('BullMQ on a wrapped client', () => {
  it('runs jobs, retries, delays and events, none of them signed', async () => {
    const { signer, keys } = testKeys('shop')
    const connection = opened(new Redis6(redisUrl, { maxRetriesPerRequest: null }))
    wrapConsumer(wrapProducer(connection, signer), new Verifier({ keys }))
    const name = uniqueName('jobs')
    const queue = new Queue(name, { connection })
    const attempts: string[] = []
    const worker = new Worker(
      name,
      async (job) => {
        attempts.push(job.name)
        if (job.name === 'flaky' && job.attemptsMade === 0) throw new Error('once')
        return { done: job.data.n }
      },
      { connection },
    )
    const events = new QueueEvents(name, { connection })
    onTestFinished(async () => {
      await worker.close()
      await events.close()
      await queue.close()
    })
    await events.waitUntilReady()
    const jobs = await Promise.all([
      queue.add('plain', { n: 1 }),
      queue.add('flaky', { n: 2 }, { attempts: 2, backoff: 1 }),
      queue.add('later', { n: 3 }, { delay: 20 }),
    ])
    const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 120_000)))
    expect(results).toEqual([{ done: 1 }, { done: 2 }, { done: 3 }])
    expect(attempts.sort()).toEqual(['flaky', 'flaky', 'later', 'plain'])
    const log = await plain().xrange(`bull:${name}:events`, '-', '+')
    expect(log.length).toBeGreaterThan(8)
    expect(JSON.stringify(log)).not.toContain('queueauth')
  })
})
