import { describe } from 'vitest'
import { KINDS, redisUrl } from '../redis-streams/clients.ts'
import { adapterContract } from './adapter-contract.ts'
import { features, redisHarness } from './redis-harness.ts'

describe.skipIf(redisUrl === '')('on a real Redis', () => {
  const own = { ...features, requeue: true, awaitsHandler: true, handlersSettle: true }
  for (const batch of [false, true]) {
    const title = batch ? 'Redis Streams, in batches' : 'Redis Streams'
    for (const { name, open, prefix } of KINDS) {
      adapterContract(`${title}, wrapConsumer, ${name}:`, redisHarness({ open, prefix, batch }), features)
    }
    for (const { name, open, prefix } of KINDS.slice(0, 3)) {
      const harness = redisHarness({ open, prefix, batch, ownLoop: true })
      adapterContract(`${title}, consumeStream, ${name}:`, harness, own)
    }
  }
})
