import { setTimeout as sleep } from 'node:timers/promises'
import { AuthorizedKeys, guardHandler, Signer, Verifier } from '../../src/index.ts'
import { cpuSince } from '../measure.ts'
import { messagesOf, QUEUE, receivedWith } from '../tokens/messages.ts'
import type { Growth, Task } from './messages.ts'

/** Handles message after message, as a consumer does: verified, remembered, acknowledged. */

const CHUNK = 250

process.once('message', ({ kind, counts }: Task) => {
  void handle(kind, counts).then(() => process.disconnect())
})

async function handle(kind: Task['kind'], counts: readonly number[]): Promise<void> {
  const signer = Signer.generate('checkout')
  const verifier = new Verifier({ keys: AuthorizedKeys.parse(signer.authorizedKeysLine(QUEUE)) })
  const messages = messagesOf(CHUNK, 100)
  let handled = 0
  const handler = (): void => {
    handled++
  }
  const options = { onRejected: 'acknowledge' } as const
  let done = 0
  for (const count of counts) {
    const before = done
    let micros = 0
    while (done < count) {
      const tokens = kind === 'batch' ? signer.signBatch(messages) : messages.map((message) => signer.sign(message))
      const received = receivedWith(messages, tokens)
      const spent = cpuSince()
      for (const message of received) {
        await guardHandler({ message, acknowledge: () => undefined }, verifier, handler, options)
      }
      micros += spent()
      done += CHUNK
    }
    if (handled !== done) throw new Error(`the benchmark is broken: ${done - handled} messages were not handled`)
    process.send?.({ messages: count, micros: micros / (done - before), ...(await memory()) } satisfies Growth)
  }
}

/** Arrays beside the heap are given back by a thread of the collector's, some time after it is through. */
async function memory(): Promise<{ resident: number; heap: number }> {
  for (let round = 0; round < 3; round++) {
    global.gc?.()
    await sleep(50)
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { resident: rss / 2 ** 20, heap: (heapUsed + external) / 2 ** 20 }
}
