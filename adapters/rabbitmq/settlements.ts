import type { Admission } from '../../src/guard.ts'
import { override } from '../../src/wrapping.ts'
import type { AmqpMessage, ChannelLike } from './client.ts'

interface Handed {
  readonly raw: AmqpMessage
  readonly admission: Admission
}

type Verb = (raw: AmqpMessage) => unknown

/**
 * The user's `ack`, `nack` and `reject`. A message is looked up by its delivery tag, since users pass copies, and settled
 * by its raw form, since tracers know it by identity. Settling many at once becomes settling one by one what was handed
 * over, so that a message whose dead letter is pending is never among them.
 */
export class Settlements {
  readonly #handed = new Map<number, Handed>()
  readonly #track: (pending: Promise<unknown>) => void

  constructor(
    channel: ChannelLike,
    original: Pick<ChannelLike, 'ack' | 'nack' | 'reject'>,
    track: (pending: Promise<unknown>) => void,
  ) {
    this.#track = track
    override(channel, 'ack', (message, allUpTo) => {
      this.#settle(message, allUpTo, commit, (raw) => original.ack(raw))
    })
    override(channel, 'nack', (message, allUpTo, requeue) => {
      this.#settle(message, allUpTo, release, (raw) => original.nack(raw, false, requeue))
    })
    override(channel, 'reject', (message, requeue) => {
      this.#settle(message, false, release, (raw) => original.reject(raw, requeue))
    })
    override(channel, 'ackAll', () => {
      this.#settleUpTo(Number.POSITIVE_INFINITY, commit, (raw) => original.ack(raw))
    })
    override(channel, 'nackAll', (requeue) => {
      this.#settleUpTo(Number.POSITIVE_INFINITY, release, (raw) => original.nack(raw, false, requeue))
    })
  }

  handOver(raw: AmqpMessage, admission: Admission): void {
    this.#handed.set(raw.fields.deliveryTag, { raw, admission })
  }

  #settle(message: AmqpMessage, allUpTo: boolean | undefined, first: First, verb: Verb): void {
    const { deliveryTag } = message.fields
    if (allUpTo) {
      // Tag 0 with "multiple" means all, as in AMQP.
      this.#settleUpTo(deliveryTag === 0 ? Number.POSITIVE_INFINITY : deliveryTag, first, verb)
      return
    }
    const handed = this.#handed.get(deliveryTag)
    // Settled before, or never handed over: the broker's answer is the plain client's.
    if (handed === undefined) verb(message)
    else this.#settleOne(deliveryTag, handed, first, verb)
  }

  #settleUpTo(tag: number, first: First, verb: Verb): void {
    for (const [deliveryTag, handed] of this.#handed) {
      if (deliveryTag <= tag) this.#settleOne(deliveryTag, handed, first, verb)
    }
  }

  #settleOne(deliveryTag: number, { raw, admission }: Handed, first: First, verb: Verb): void {
    this.#handed.delete(deliveryTag)
    const ready = first(admission)
    if (!(ready instanceof Promise)) {
      if (ready) verb(raw)
      return
    }
    this.#track(
      ready.then((settle) => {
        if (settle) verb(raw)
      }),
    )
  }
}

/** What the replay store must know before the broker; false: it could not be told, so the message stays unsettled. */
type First = (admission: Admission) => boolean | Promise<boolean>

const commit: First = (admission) => admission.commit()

const release: First = (admission) => {
  const released = admission.release()
  return released instanceof Promise ? released.then(() => true) : true
}
