import type { Admission } from '../../src/guard.ts'
import type { EachMessagePayload } from './client.ts'
import { Hold, LetGoError } from './hold.ts'
import { toView } from './message.ts'
import type { Partition } from './partition.ts'

type EachMessage = (payload: EachMessagePayload) => Promise<void>

/**
 * The user's `eachMessage` behind the checks. The client passes the offset when the promise resolves, so it resolves when
 * the handler was through or the dead letter is stored, and rejects where the record was let go.
 */
export async function guardEachMessage(
  payload: EachMessagePayload,
  eachMessage: EachMessage,
  partition: Partition,
  maxHoldSeconds: number | undefined,
): Promise<void> {
  const hold = new Hold(payload.heartbeat, () => partition.letGo(), maxHoldSeconds)
  partition.arrive()
  try {
    await pass(payload, eachMessage, partition, hold)
  } catch (error) {
    if (!(error instanceof LetGoError)) throw error
    partition.leaveBehind(payload.message.offset)
    throw hold.failure === undefined ? error : hold.failure.error
  }
}

async function pass(
  payload: EachMessagePayload,
  eachMessage: EachMessage,
  partition: Partition,
  hold: Hold,
): Promise<void> {
  const { message } = payload
  const { signal } = partition
  const handle = async (admission: Admission): Promise<void> => {
    const { verdict, verified, release } = admission
    if (signal.aborted) {
      await release()
      throw new LetGoError()
    }
    partition.handOver(message.offset, admission)
    try {
      const view = toView(message, verified, { verdict, release })
      await hold.pause(async () => eachMessage({ ...payload, message: view }))
    } catch (error) {
      await partition.release([message.offset])
      throw error
    }
    if (!(await partition.commitUpTo(BigInt(message.offset)))) throw new LetGoError()
  }
  const outcome = partition.receive(message, { handle, acknowledge: () => undefined })
  const ended = outcome instanceof Promise ? await hold.wait(outcome) : outcome
  if (ended === 'let-go') throw new LetGoError()
}
