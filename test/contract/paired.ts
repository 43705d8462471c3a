import type { PreparedMessage } from '../../src/batch/prepared.ts'
import type { Message } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'

const known = new WeakMap<Signer, Signer>()

/** The same signer, none of whose tokens stands alone: a batch has each of its messages twice. */
export function paired(signer: Signer): Signer {
  const earlier = known.get(signer)
  if (earlier !== undefined) return earlier
  const signPrepared = (prepared: readonly PreparedMessage[]): string[] =>
    signer.signPrepared(prepared.flatMap((message) => [message, message])).filter((_, index) => index % 2 === 0)
  const pairing = {
    service: signer.service,
    prepare: (message: Message) => signer.prepare(message),
    signPrepared,
    signBatch: (messages: readonly Message[]) => signPrepared(messages.map((message) => signer.prepare(message))),
    sign: (message: Message) => signPrepared([signer.prepare(message)])[0],
  } as unknown as Signer
  known.set(signer, pairing)
  return pairing
}
