// What the consumers of a campaign have in common: where they are built, their verifier, and how they note an effect.

import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

export const job = JSON.parse(process.argv[2])

const { AuthorizedKeys, RedisReplayStore, Verifier } = await import(join(job.built, 'src/index.js'))

/** A process whose parent is gone ends. */
process.on('disconnect', () => process.exit(1))

function store() {
  const redis = new Redis(job.storeUrl, { retryStrategy: () => 100 })
  redis.on('error', () => undefined)
  return new RedisReplayStore(redis)
}

export const verifier = new Verifier({
  keys: AuthorizedKeys.parse(job.authorizedKeys),
  leaseSeconds: 2,
  ...(job.storeUrl && { replay: store() }),
})

export const adapter = (name) => import(join(job.built, `adapters/${name}/index.js`))

/** What a handler does: it takes a moment, and leaves a line in a file, at once. */
export async function work(name) {
  await sleep(Math.random() * 4)
  appendFileSync(job.effectsFile, `${name}\n`)
}

export function onClose(close) {
  process.on('message', async (message) => {
    if (message !== 'close') return
    await close()
    process.removeAllListeners('disconnect')
    process.exit(0)
  })
}
