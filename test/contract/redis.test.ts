import { describe } from 'vitest'
import { KINDS, redisUrl } from '../redis-streams/clients.ts'
import { adapterContract } from './adapter-contract.ts'
import { features, redisHarness } from './redis-harness.ts'

describe.skipIf(redisUrl === '')('on a real Redis', () => {
  for (const { name, open, prefix } of KINDS) {
    adapterContract(`Redis Streams, wrapConsumer, ${name}:`, redisHarness({ open, prefix }), features)
  }
  for (const { name, open, prefix } of KINDS.slice(0, 3)) {
    const own = { ...features, requeue: true, awaitsHandler: true, handlersSettle: true }
    adapterContract(`Redis Streams, consumeStream, ${name}:`, redisHarness({ open, prefix, ownLoop: true }), own)
  }
})
