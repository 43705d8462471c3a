import { setMaxListeners } from 'node:events'
import type { ConsumerOptions } from '../../src/consumer-options.ts'
import type { DeadLetter } from '../../src/dead-letter.ts'
import { type Admission, type Delivery, Guard, type Outcome } from '../../src/guard.ts'
import type { Verifier } from '../../src/verifier.ts'
import type { KafkaMessage } from './client.ts'
import type { KafkaRecord } from './index.ts'
import { toReceived } from './message.ts'

/** What the partitions of a consumer have in common. */
export interface PartitionSetup {
  readonly verifier: Verifier
  readonly options: ConsumerOptions<KafkaRecord>
  /** the consumer group, as far as it is known yet */
  groupId(): string | undefined
  storeDeadLetter(letter: DeadLetter<KafkaRecord>): Promise<void>
}

/** The records of one partition: they are decided in order, and what waits there holds up no other partition. */
export class Partition {
  readonly topic: string
  readonly number: number
  readonly #setup: PartitionSetup
  /** handed over and not settled, by offset */
  readonly #inHand = new Map<bigint, Admission>()
  /** aborts when what is held has to be let go */
  #hold = newAbort()
  /** aborts when commits that the replay store has not taken are given up */
  #leases = newAbort()
  #guard: Guard<KafkaRecord> | undefined
  #sought = false
  #leftBehind: string | undefined

  constructor(topic: string, number: number, setup: PartitionSetup) {
    this.topic = topic
    this.number = number
    this.#setup = setup
  }

  get verifier(): Verifier {
    return this.#setup.verifier
  }

  /** Aborts when what is held now has to be let go. */
  get signal(): AbortSignal {
    return this.#hold.signal
  }

  /** Settles when every record so far was handed over or turned down. */
  get turn(): Promise<void> | undefined {
    return this.#guard?.turn
  }

  /** Lets go of what is held. What is in hand can still be settled, if the replay store takes its commit. */
  letGo(): void {
    this.#leases.abort()
    this.#leases = newAbort()
    this.letGoOfHeld()
  }

  /** The same, but commits of what is in hand are tried until the replay store takes them. */
  letGoOfHeld(): void {
    this.#hold.abort()
    this.#hold = newAbort()
    this.#guard = undefined
  }

  /** The user sought another position: what is here is not what is wanted. */
  leave(): void {
    this.#sought = true
    this.letGo()
  }

  /** A record comes to be handled by itself; whatever was sought before, this is where it led. */
  arrive(): void {
    this.#sought = false
    this.#leftBehind = undefined
  }

  /** A record that came by itself was let go. */
  leaveBehind(offset: string): void {
    if (this.#sought) this.#leftBehind = offset
  }

  /** Whether the record of an offset was let go because the user sought another position. */
  wasLeftBehind(offset: string): boolean {
    return this.#leftBehind === String(offset)
  }

  receive(
    message: KafkaMessage,
    hooks: Pick<Delivery<KafkaRecord>, 'handle' | 'acknowledge' | 'held'>,
  ): Outcome | Promise<Outcome> {
    const { verifier, options } = this.#setup
    const { signal } = this
    const { deadLetter, ...others } = options
    const store = deadLetter ?? this.#setup.storeDeadLetter
    this.#guard ??= new Guard<KafkaRecord>(verifier, { ...others, signal, leaseSignal: this.#leases.signal })
    let leave: (outcome: 'let-go') => void = () => undefined
    const outcome = this.#guard.receive({
      received: toReceived(this.topic, this.number, message, this.#setup.groupId()),
      native: { topic: this.topic, partition: this.number, message },
      deadLetter: async (letter) => {
        const storing = store(letter)
        leaveLate(storing, signal, () => leave('let-go'))
        await storing
      },
      ...hooks,
    })
    if (!(outcome instanceof Promise)) return outcome
    return new Promise<Outcome>((resolve, reject) => {
      leave = resolve
      outcome.then(resolve, reject)
    })
  }

  /** Remembers what the user got, so that committing its offset commits its token. */
  handOver(offset: string, admission: Admission): void {
    this.#inHand.set(BigInt(offset), admission)
  }

  /** The user is through with everything up to this offset. False: the replay store could not be told. */
  commitUpTo(offset: bigint): boolean | Promise<boolean> {
    const pending: Promise<boolean>[] = []
    for (const [at, admission] of this.#inHand) {
      if (at > offset) continue
      this.#inHand.delete(at)
      const committed = admission.commit()
      if (committed instanceof Promise) pending.push(committed)
      else if (!committed) return false
    }
    if (pending.length === 0) return true
    return Promise.all(pending).then((all) => all.every((committed) => committed))
  }

  /** The user is not through with these. */
  async release(offsets: Iterable<string>): Promise<void> {
    const released: (void | Promise<void>)[] = []
    for (const offset of offsets) {
      const admission = this.#inHand.get(BigInt(offset))
      this.#inHand.delete(BigInt(offset))
      released.push(admission?.release())
    }
    await Promise.all(released)
  }
}

/** Every record of a batch may listen. */
function newAbort(): AbortController {
  const abort = new AbortController()
  setMaxListeners(0, abort.signal)
  return abort
}

/** How long a dead letter that is being written may still take when its record is let go. */
const PATIENCE_MS = 2_000

/** A dead letter under way does not keep the client from ending: whoever gets the record next writes it again. */
function leaveLate(storing: Promise<void>, signal: AbortSignal, leave: () => void): void {
  let timer: NodeJS.Timeout | undefined
  const letGo = (): void => {
    timer = setTimeout(leave, PATIENCE_MS)
  }
  if (signal.aborted) letGo()
  else signal.addEventListener('abort', letGo, { once: true })
  const stop = (): void => {
    clearTimeout(timer)
    signal.removeEventListener('abort', letGo)
  }
  storing.then(stop, stop)
}
