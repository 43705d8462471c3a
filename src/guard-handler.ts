import { CONSUMER_RULES, type ConsumerOptions } from './consumer-options.ts'
import { snapshotOf } from './copies.ts'
import { type Admission, type Delivery, Guard, type Outcome } from './guard.ts'
import type { CoveredProperties, HeaderValue, ReceivedMessage } from './message.ts'
import { ABORT_SIGNAL, checkOptions, type OptionRules } from './option-check.ts'
import { Inspection, mark } from './verdict.ts'
import type { Verifier } from './verifier.ts'
import { splitHeaders } from './view.ts'

/** A delivery of a transport that this package does not ship. */
export interface PlainDelivery {
  readonly message: ReceivedMessage
  /** tells the transport that the message is done with */
  acknowledge(): void | Promise<void>
  /** leaves it to the transport's own dead-lettering, for `onRejected: 'reject'` */
  reject?(): void | Promise<void>
}

/** What the handler gets: the signed parts only. `senderOf(message)` says who signed it. */
export interface HandledMessage {
  readonly queue: string
  readonly destination: string | undefined
  readonly payload: Uint8Array | null
  readonly properties: CoveredProperties
  readonly headers: Readonly<Record<string, HeaderValue>>
}

/** What {@link guardHandler} can be told. */
export type HandlerOptions = ConsumerOptions<ReceivedMessage> & {
  /** when it aborts, held messages are released: they stay unsettled */
  readonly signal?: AbortSignal
}

const OPTIONS: OptionRules<HandlerOptions> = { ...CONSUMER_RULES, signal: ABORT_SIGNAL }

const NO_BROKER_HEADERS: ReadonlySet<string> = new Set()

/**
 * Verifies a delivery, runs the handler and settles: for transports that this package does not ship. Resolves when the
 * message is settled; rejects with the handler's own error, and then nothing is settled.
 *
 * `options.deadLetter` is where rejected messages go; without it `onRejected` must say otherwise.
 *
 * ```ts
 * await guardHandler({ message, acknowledge: () => job.done() }, verifier, handle, { deadLetter: (letter) => store(letter) })
 * ```
 *
 * @throws SetupError `option-invalid`, as a rejection
 */
export async function guardHandler(
  delivery: PlainDelivery,
  verifier: Verifier,
  handler: (message: HandledMessage) => void | Promise<void>,
  options: HandlerOptions,
): Promise<Outcome> {
  const guard = new Guard<ReceivedMessage>(verifier, checkOptions('guardHandler', options, OPTIONS))
  // What was checked is what the handler gets, or the dead letter, whatever becomes of the transport's objects and buffers.
  const message = snapshotOf(delivery.message)
  const guarded: Delivery<ReceivedMessage> = {
    received: message,
    native: message,
    async handle(admission) {
      try {
        await handler(handledMessage(message, admission))
      } catch (error) {
        await admission.release()
        throw error
      }
      if (await admission.commit()) await delivery.acknowledge()
    },
    acknowledge: () => delivery.acknowledge(),
    deadLetter: async () => {
      throw new Error('guardHandler was given no deadLetter option; pass one, or set onRejected')
    },
    ...(delivery.reject !== undefined && { reject: () => delivery.reject?.() }),
  }
  try {
    return await guard.receive(guarded)
  } finally {
    guard.close()
  }
}

function handledMessage(message: ReceivedMessage, admission: Admission): HandledMessage {
  const { queue, payload, properties = {}, headers, deliveredBy } = message
  const { verdict, verified } = admission
  const asIs = { visible: { ...headers }, unsigned: {} }
  const split = verified === undefined ? asIs : splitHeaders(headers, verified.coveredHeaders, NO_BROKER_HEADERS)
  const destination = verified?.sender.destination ?? deliveredBy[0]
  const view: HandledMessage = { queue, destination, payload, properties, headers: split.visible }
  mark(view, new Inspection(verdict, split.unsigned, admission.lease))
  return view
}
