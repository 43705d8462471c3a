// A consumer that is killed from outside, at any moment. Its effects go to a file, one line each.

import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

const { built, url, storeUrl, stream, consumer, authorizedKeys, effectsFile, claimIdleSeconds, hangAfter } = JSON.parse(
  process.argv[2],
)
const { AuthorizedKeys, RedisReplayStore, subscribe, Verifier } = await import(join(built, 'src/index.js'))
const { consumeStream } = await import(join(built, 'adapters/redis-streams/index.js'))

process.on('disconnect', () => process.exit(1))

let replay
if (storeUrl !== undefined) {
  const store = new Redis(storeUrl, { retryStrategy: () => 100 })
  store.on('error', () => undefined)
  replay = new RedisReplayStore(store, { timeoutSeconds: 0.5 })
}
let held = 0
let handled = 0
subscribe('queue-key-auth:held', () => held++)
const running = consumeStream({
  redis: new Redis(url),
  stream,
  group: 'workers',
  consumer,
  verifier: new Verifier({ keys: AuthorizedKeys.parse(authorizedKeys), ...(replay && { replay }) }),
  blockSeconds: 0.05,
  claimIdleSeconds,
  concurrency: 20,
  // Those that were in hand when their consumer was killed come again and again.
  maxDeliveries: Number.POSITIVE_INFINITY,
  handler: async ({ values }) => {
    await sleep(Math.random() * 5)
    // Nothing that comes now is finished: it is in hand until this process is killed.
    if (hangAfter !== undefined && ++handled > hangAfter) await new Promise(() => undefined)
    appendFileSync(effectsFile, `${values.n}\n`)
  },
})
process.on('message', async (message) => {
  if (message !== 'close') return
  await running.stop()
  process.send({ held })
  process.disconnect()
  process.exit(0)
})
process.send('consuming')
