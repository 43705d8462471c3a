import type { Admission, Outcome } from '../../src/guard.ts'
import type { EachMessagePayload } from './client.ts'
import { RecordDelivery } from './delivery.ts'
import { Hold, LetGoError } from './hold.ts'
import type { InHand, Partition } from './partition.ts'

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
    await new SingleDelivery(payload, eachMessage, partition, hold).pass()
  } catch (error) {
    if (!(error instanceof LetGoError)) throw error
    partition.leaveBehind(payload.message.offset)
    throw hold.failure === undefined ? error : hold.failure.error
  }
}

/** A record that is handled by itself. */
class SingleDelivery extends RecordDelivery implements InHand {
  readonly #payload: EachMessagePayload
  readonly #eachMessage: EachMessage
  readonly #partition: Partition
  readonly #hold: Hold
  readonly #signal: AbortSignal
  #admission: Admission | undefined
  #leave: (outcome: Outcome) => void = () => undefined

  constructor(payload: EachMessagePayload, eachMessage: EachMessage, partition: Partition, hold: Hold) {
    super(payload.message, partition)
    this.#payload = payload
    this.#eachMessage = eachMessage
    this.#partition = partition
    this.#hold = hold
    this.#signal = partition.signal
  }

  async pass(): Promise<void> {
    const outcome = this.#partition.receive(this)
    if (!(outcome instanceof Promise)) return
    // What is in hand at once needs no heartbeats of ours.
    const ended = this.#admission === undefined ? await this.#hold.wait(this.#orLeft(outcome)) : await outcome
    if (ended === 'let-go') throw new LetGoError()
  }

  async handle(admission: Admission): Promise<void> {
    if (this.#signal.aborted) {
      await admission.release()
      throw new LetGoError()
    }
    this.#admission = admission
    this.#partition.take(this)
    this.#hold.pause()
    try {
      await this.#eachMessage({ ...this.#payload, message: this.view(admission) })
    } catch (error) {
      await admission.release()
      throw error
    } finally {
      this.#hold.resume()
      this.#partition.putDown(this)
    }
    const commit = this.#partition.committed(this.commit(admission))
    if (!(commit instanceof Promise ? await this.#hold.wait(commit) : commit)) throw new LetGoError()
  }

  acknowledge(): void {
    // The promise that the client waits for says it.
  }

  commitUpTo(offset: bigint): boolean | Promise<boolean> {
    return offset < BigInt(this.message.offset) || this.#admission === undefined || this.commit(this.#admission)
  }

  override abandon(): void {
    this.#leave('let-go')
  }

  #orLeft(outcome: Promise<Outcome>): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#leave = resolve
      outcome.then(resolve, reject)
    })
  }
}
