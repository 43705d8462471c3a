import type { Cluster as Cluster6, Redis as Redis6 } from 'ioredis'
import type { Cluster as Cluster5, Redis as Redis5 } from 'ioredis-5'
import { consumeStream, wrapConsumer, wrapProducer } from '../../adapters/redis-streams/index.ts'
import { RedisReplayStore, type Signer, type Verifier } from '../../src/index.ts'

/** Compiled, never run: the real clients fit, and keep their types. */

export function clientsFit(
  signer: Signer,
  verifier: Verifier,
  redis5: Redis5,
  redis6: Redis6,
  resp3: Redis6<'resp3'>,
  cluster5: Cluster5,
  cluster6: Cluster6,
): void {
  const wrapped5: Redis5 = wrapProducer(redis5, signer, { streams: ['orders.*'] })
  const wrapped6: Redis6 = wrapConsumer(redis6, verifier, { onRejected: 'acknowledge' })
  const wrappedResp3: Redis6<'resp3'> = wrapConsumer(resp3, verifier)
  const wrappedCluster5: Cluster5 = wrapProducer(cluster5, signer, { batch: true })
  const wrappedCluster6: Cluster6 = wrapConsumer(cluster6, verifier)
  for (const redis of [wrapped5, wrapped6, wrappedResp3, wrappedCluster5, wrappedCluster6]) {
    const names = { stream: 'orders', group: 'g', consumer: 'c' }
    void consumeStream({ redis, ...names, verifier, handler: ({ id, values }) => `${id} ${values.order}` }).stop()
  }
  for (const redis of [redis5, redis6, cluster5, cluster6]) new RedisReplayStore(redis)
  // @ts-expect-error -- a batch has no size of its own to choose
  wrapProducer(redis6, signer, { batch: 100 })
  // @ts-expect-error -- a stream has no default group
  consumeStream({ redis: redis6, stream: 'orders', consumer: 'c', verifier, handler: () => undefined })
}
