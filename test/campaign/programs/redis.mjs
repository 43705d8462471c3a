// A consumer of a Redis stream: one server, one behind Sentinels, or a Cluster.

import { Cluster, Redis } from 'ioredis'
import { adapter, job, onClose, verifier, work } from './common.mjs'

const { consumeStream } = await adapter('redis-streams')
const { nodes, options } = job.redis
const redis = nodes === undefined ? new Redis(options) : new Cluster(nodes, options)
redis.on('error', () => undefined)
const running = consumeStream({
  redis,
  stream: job.stream,
  group: 'workers',
  consumer: job.name,
  verifier,
  blockSeconds: 0.05,
  claimIdleSeconds: 1,
  concurrency: 20,
  // What was in flight when its consumer was killed comes again and again.
  maxDeliveries: Number.POSITIVE_INFINITY,
  onVerdict: () => undefined,
  handler: ({ values }) => work(values.n),
})
onClose(async () => {
  await running.stop()
  redis.disconnect()
})
process.send('consuming')
