import type { Admission } from '../../src/guard.ts'
import type { Lease } from '../../src/leases.ts'
import { inspectionOf } from '../../src/verdict.ts'
import { override } from '../../src/wrapping.ts'
import { type AmqpMessage, type ChannelLike, takesCallbacks } from './client.ts'

interface Handed {
  readonly raw: AmqpMessage
  readonly admission: Admission
}

/** Stands for a message that is not the user's to settle. */
const WITHHELD = 'withheld'

type Verb = (raw: AmqpMessage) => unknown

/** What the replay store must know before the broker; false: it could not be told, so the message stays unsettled. */
type First = (lease: Pick<Lease, 'commit' | 'release'>) => boolean | Promise<boolean>

/** No delivery has this tag, so the broker answers as it does to any it does not know: 406 closes the channel. */
const UNKNOWN_TAG = Number.MAX_SAFE_INTEGER

/**
 * Who may settle what. A message is looked up by its delivery tag, since users pass copies, and settled by its raw form,
 * since tracers know it by identity. Settling many at once becomes settling one by one what was handed over, so that a
 * message whose dead letter is pending is never among them.
 */
export class Settlements {
  /** by tag, in the order of arrival: what the user has, and what the user has not seen yet or never will */
  readonly #unsettled = new Map<number, Handed | typeof WITHHELD>()
  /** settled by the user while the replay store is being told, until the broker is */
  readonly #settling = new Map<number, Promise<void>>()
  #used = false
  #takingBack = false
  readonly #original: Pick<ChannelLike, 'ack' | 'nack' | 'reject'>
  readonly #track: (pending: Promise<unknown>) => void
  readonly #checkOpen: () => void
  readonly #gone: AbortSignal

  /**
   * @param checkOpen throws what the client throws where it can no longer settle anything
   * @param gone aborts when the channel is gone
   */
  constructor(
    channel: ChannelLike,
    original: Pick<ChannelLike, 'ack' | 'nack' | 'reject'>,
    track: (pending: Promise<unknown>) => void,
    checkOpen: () => void,
    gone: AbortSignal,
  ) {
    this.#original = original
    this.#track = track
    this.#checkOpen = checkOpen
    this.#gone = gone
    // The callback API's methods can be chained.
    const chained = takesCallbacks(channel) ? channel : undefined
    override(channel, 'ack', (message, allUpTo) => {
      this.#settle(message, allUpTo, commit, (raw) => original.ack(raw))
      return chained
    })
    override(channel, 'nack', (message, allUpTo, requeue) => {
      this.#settle(message, allUpTo, release, (raw) => original.nack(raw, false, requeue))
      return chained
    })
    override(channel, 'reject', (message, requeue) => {
      this.#settle(message, false, release, (raw) => original.reject(raw, requeue))
      return chained
    })
    override(channel, 'ackAll', () => {
      this.#settleUpTo(Number.POSITIVE_INFINITY, commit, (raw) => original.ack(raw))
      return chained
    })
    override(channel, 'nackAll', (requeue) => {
      this.#settleUpTo(Number.POSITIVE_INFINITY, release, (raw) => original.nack(raw, false, requeue))
      return chained
    })
  }

  /** Whether there was anything to settle. */
  get used(): boolean {
    return this.#used
  }

  /** Whether the user has messages that were not settled. */
  get isHolding(): boolean {
    for (const unsettled of this.#unsettled.values()) if (unsettled !== WITHHELD) return true
    return false
  }

  /**
   * The channel is gone, or nothing leaves by it any more: the broker has back what was not settled, so the next delivery
   * of it must not wait for a lease to run out. Resolves when the replay store knows.
   */
  async lapse(): Promise<void> {
    const lapsed: (void | Promise<void>)[] = []
    for (const unsettled of this.#unsettled.values()) {
      if (unsettled !== WITHHELD) lapsed.push(unsettled.admission.lease.lapse())
    }
    await Promise.all(lapsed)
  }

  /** A message arrived and is ours until it is handed over. */
  withhold(raw: AmqpMessage): void {
    this.#used = true
    this.#unsettled.set(raw.fields.deliveryTag, WITHHELD)
  }

  /** From now on the user may settle it. False: the broker has taken it back meanwhile, or is about to. */
  handOver(raw: AmqpMessage, admission: Admission): boolean {
    const { deliveryTag } = raw.fields
    if (this.#takingBack || this.#unsettled.get(deliveryTag) !== WITHHELD) return false
    this.#unsettled.set(deliveryTag, { raw, admission })
    return true
  }

  /** Settles a message that the user never saw. */
  settle(how: 'ack' | 'requeue' | 'reject', raw: AmqpMessage): void {
    const { deliveryTag } = raw.fields
    if (this.#unsettled.get(deliveryTag) !== WITHHELD) return
    this.#unsettled.delete(deliveryTag)
    if (how === 'ack') this.#original.ack(raw)
    else if (how === 'reject') this.#original.reject(raw, false)
    else this.#original.nack(raw, false, true)
  }

  /**
   * The broker takes back everything: what is in hand is not done with, and nothing of it can be settled any more. Nothing
   * is handed over until the broker is told, or it would be taken back behind its user's back.
   */
  async takeBack<Result>(recover: () => Promise<Result>): Promise<Result> {
    const released: (void | Promise<void>)[] = []
    this.#takingBack = true
    for (const [deliveryTag, unsettled] of this.#unsettled) {
      if (unsettled === WITHHELD) continue
      this.#unsettled.delete(deliveryTag)
      released.push(unsettled.admission.release())
    }
    await Promise.all(released)
    this.#unsettled.clear()
    this.#settling.clear()
    this.#takingBack = false
    return await recover()
  }

  #settle(message: AmqpMessage, allUpTo: boolean | undefined, first: First, verb: Verb): void {
    const { deliveryTag } = message.fields
    const inspection = inspectionOf(message)
    if (inspection?.gone?.aborted && inspection.gone !== this.#gone) {
      // amqp-connection-manager asks the channel of now, where the tag stands for another message. The broker has this one back.
      const told = first(inspection.lease)
      if (told instanceof Promise) this.#track(told)
      return
    }
    const unsettled = this.#unsettled.get(deliveryTag)
    const handed = unsettled === WITHHELD ? undefined : unsettled
    const settling = this.#settling.get(deliveryTag)
    if (allUpTo && (handed !== undefined || deliveryTag === 0)) {
      // Tag 0 with "multiple" means all, as in AMQP.
      this.#settleUpTo(deliveryTag === 0 ? Number.POSITIVE_INFINITY : deliveryTag, first, verb)
    } else if (handed !== undefined) {
      this.#settleOne(deliveryTag, handed, first, verb)
    } else if (settling !== undefined) {
      // Behind the first one, which may have failed: then the message stays unsettled.
      const behind = settling.then(() => {
        if (this.#settling.get(deliveryTag) !== settling) verb(message)
      })
      this.#track(behind)
    } else if (unsettled === WITHHELD) {
      // To the user there is no such message.
      verb({ ...message, fields: { ...message.fields, deliveryTag: UNKNOWN_TAG } })
    } else {
      // Settled before, or never delivered: the broker's answer is the plain client's.
      verb(message)
    }
  }

  #settleUpTo(tag: number, first: First, verb: Verb): void {
    this.#checkOpen()
    for (const [deliveryTag, unsettled] of this.#unsettled) {
      if (deliveryTag <= tag && unsettled !== WITHHELD) this.#settleOne(deliveryTag, unsettled, first, verb)
    }
  }

  /** What throws must not have told the replay store anything: its caller rolls back, and the message comes again. */
  #settleOne(deliveryTag: number, { raw, admission }: Handed, first: First, verb: Verb): void {
    this.#checkOpen()
    this.#unsettled.delete(deliveryTag)
    const ready = first(admission)
    if (!(ready instanceof Promise)) {
      if (ready) verb(raw)
      return
    }
    const settling = ready.then((settle) => {
      // The broker may have taken it back meanwhile.
      const stillOurs = this.#settling.get(deliveryTag) === settling
      if (!settle || !stillOurs) return
      this.#settling.delete(deliveryTag)
      verb(raw)
    })
    this.#settling.set(deliveryTag, settling)
    this.#track(settling)
  }
}

const commit: First = (lease) => lease.commit()

const release: First = (lease) => {
  const released = lease.release()
  return released instanceof Promise ? released.then(() => true) : true
}
