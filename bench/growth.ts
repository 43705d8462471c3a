import { AuthorizedKeys, Signer, Verifier } from '../src/index.ts'
import { compare, type Effort } from './measure.ts'
import { check, messagesOf, receivedWith } from './tokens.ts'

/** What must not grow. */

/** CPU microseconds of a verification among a few and among many authorized lines. */
export async function growthOfLines(counts: readonly number[], effort: Effort): Promise<ReadonlyMap<number, number>> {
  const signer = Signer.generate('checkout')
  const line = signer.authorizedKeysLine('orders')
  const contenders = counts.map((count) => {
    const others = Array.from({ length: count - 1 }, () => Signer.generate('other').authorizedKeysLine('elsewhere'))
    const verifier = new Verifier({ keys: AuthorizedKeys.parse([...others, line].join('\n')), replay: 'off' })
    const messages = messagesOf(32, 1024)
    const received = receivedWith(
      messages,
      messages.map((message) => signer.sign(message)),
    )
    const run = (): void => {
      for (const message of received) check(verifier, message)
    }
    return { name: String(count), operations: received.length, run }
  })
  const medians = await compare(contenders, effort)
  return new Map(counts.map((count) => [count, medians.get(String(count)) as number]))
}

/** Resident megabytes after so many messages of batches, each verified and remembered by the replay store. */
export async function growthOfMemory(counts: readonly number[]): Promise<ReadonlyMap<number, number>> {
  const signer = Signer.generate('checkout')
  const verifier = new Verifier({ keys: AuthorizedKeys.parse(signer.authorizedKeysLine('orders')) })
  const messages = messagesOf(256, 100)
  const resident = new Map<number, number>()
  let done = 0
  for (const count of counts) {
    for (; done < count; done += messages.length) {
      for (const [index, received] of receivedWith(messages, signer.signBatch(messages)).entries()) {
        const { sender, digest } = verifier.verify(received)
        const claim = { key: sender.tokenId, digest, position: undefined, owner: String(index), leaseSeconds: 30 }
        await verifier.replay?.begin(claim)
        await verifier.replay?.commit(claim, verifier.retentionSeconds('orders'))
      }
    }
    resident.set(count, process.memoryUsage.rss() / 2 ** 20)
  }
  return resident
}
