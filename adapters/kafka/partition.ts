import { setMaxListeners } from 'node:events'
import type { ConsumerOptions } from '../../src/consumer-options.ts'
import type { DeadLetter } from '../../src/dead-letter.ts'
import { type Delivery, Guard, type Outcome } from '../../src/guard.ts'
import type { ReceivedMessage } from '../../src/message.ts'
import type { Verifier } from '../../src/verifier.ts'
import type { KafkaMessage } from './client.ts'
import type { KafkaRecord } from './index.ts'
import { destinationOf, toReceived } from './message.ts'
import { type Again, Progress } from './progress.ts'

/** What the partitions of a consumer have in common. */
export interface PartitionSetup {
  readonly verifier: Verifier
  readonly options: ConsumerOptions<KafkaRecord>
  /** the consumer group, as far as it is known yet */
  groupId(): string | undefined
  /** aborts when the consumer has ended */
  leaseSignal(): AbortSignal
  storeDeadLetter(letter: DeadLetter<KafkaRecord>): Promise<void>
}

/** What a handler has in hand. */
export interface InHand {
  /** The user is through with everything up to this offset. False: the replay store was not told. */
  commitUpTo(offset: bigint): boolean | Promise<boolean>
}

/** The records of one partition: they are decided in order, and what waits there holds up no other partition. */
export class Partition {
  readonly topic: string
  readonly number: number
  readonly #setup: PartitionSetup
  readonly #deliveredBy: readonly string[]
  readonly #inHand = new Set<InHand>()
  readonly #progress = new Progress()
  /** aborts when what is held has to be let go */
  #hold = newAbort()
  /** aborts when nobody may wait for commits any longer */
  #wait = newAbort()
  #guard: Guard<KafkaRecord> | undefined
  #sought = false
  #leftBehind: string | undefined

  constructor(topic: string, number: number, setup: PartitionSetup) {
    this.topic = topic
    this.number = number
    this.#setup = setup
    this.#deliveredBy = [destinationOf(topic)]
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

  /** Lets go of what is held, and of what waits for a commit to be written. What is in hand can still be settled. */
  letGo(): void {
    this.#wait.abort()
    this.#wait = newAbort()
    this.letGoOfHeld()
  }

  /** Lets go of what is held. What waits for a commit to be written goes on waiting. */
  letGoOfHeld(): void {
    this.#hold.abort()
    this.#hold = newAbort()
    this.#guard = undefined
  }

  /** The user sought another position. */
  seek(offset: number): void {
    this.#progress.seek(offset)
    this.leave()
  }

  /** Another position was sought: what is here is not what is wanted. */
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

  /** The group was joined anew. */
  rejoin(): void {
    this.#progress.rejoin()
  }

  /** The consumer has ended. */
  end(): void {
    this.#progress.end()
  }

  /** A record has come. Gives what it belongs to, where the user sought it again. */
  reach(offset: string): Again | undefined {
    return this.#progress.arrive(Number(offset))
  }

  /** A record, for its delivery. */
  read(message: KafkaMessage, reprocess: boolean): ReceivedMessage {
    return toReceived(this.topic, this.number, message, this.#setup.groupId(), this.#deliveredBy, reprocess)
  }

  receive(delivery: Delivery<KafkaRecord>): Outcome | Promise<Outcome> {
    const { verifier, options, leaseSignal } = this.#setup
    this.#guard ??= new Guard(verifier, { ...options, signal: this.signal, leaseSignal: leaseSignal() })
    return this.#guard.receive(delivery)
  }

  /** Resolves when the letter is stored. */
  async store(letter: DeadLetter<KafkaRecord>): Promise<void> {
    await this.#setup.storeDeadLetter(letter)
  }

  /** From now until it is put down, committing an offset commits what is in hand up to there. */
  take(inHand: InHand): void {
    this.#inHand.add(inHand)
  }

  putDown(inHand: InHand): void {
    this.#inHand.delete(inHand)
  }

  /** False: the replay store was not told of all that the user is through with. */
  async commitUpTo(offset: bigint): Promise<boolean> {
    const committed = await Promise.all([...this.#inHand].map((inHand) => this.committed(inHand.commitUpTo(offset))))
    return committed.every((one) => one)
  }

  /** Waits for a commit to be written. False: the wait was given up. The commit itself is not: the effect has happened. */
  committed(commit: boolean | Promise<boolean>): boolean | Promise<boolean> {
    if (!(commit instanceof Promise)) return commit
    const { signal } = this.#wait
    return new Promise((resolve, reject) => {
      const giveUp = (): void => resolve(false)
      signal.addEventListener('abort', giveUp, { once: true })
      commit.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp))
    })
  }
}

/** Every record of a batch may listen. */
function newAbort(): AbortController {
  const abort = new AbortController()
  setMaxListeners(0, abort.signal)
  return abort
}
