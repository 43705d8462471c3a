import { generatePrivateKey } from '../../keys/generate.ts'
import type { ReasonCode } from '../../reasons.ts'
import { Signer } from '../../signer.ts'
import type { DemoTransport, WireMessage } from './transport.ts'

/** How a message ended. */
export interface Ending {
  readonly how: 'handled' | 'dead-lettered' | 'skipped' | 'rejected'
  /** why it was not handled, as read from the dead letter or the event */
  readonly code?: string
  /** the same in words, from the dead letter */
  readonly detail?: string
  /** who signed it, as the handler was told */
  readonly sender?: string
}

export interface Scenario {
  readonly what: string
  readonly expected: Ending & { readonly code?: ReasonCode }
  /** its message waits in the queue when the consumer starts; the others come one by one after that */
  readonly waits?: true
  /** puts one message into the queue `orders` */
  readonly play: (stage: Stage) => Promise<void>
}

/** How long the message that comes too late may wait. */
export const DEADLINE_SECONDS = 1

const ORDER = Buffer.from('{"order":1,"amount":10}')
const INFLATED_ORDER = Buffer.from('{"order":1,"amount":10000}')
const INVOICE = Buffer.from('{"invoice":7,"amount":10}')

/** Two services that are listed, and an attacker who may read and write every queue but has no listed key. */
export class Stage {
  readonly transport: DemoTransport
  readonly orders: string
  readonly checkout: Signer
  /** checkout's key as well, for messages with a deadline */
  readonly hasty: Signer
  readonly reporting: Signer = Signer.generate('reporting')
  readonly attacker: Signer = Signer.generate('checkout')
  /** the lines of authorized_keys */
  readonly lines: readonly string[]
  readonly #invoices: string
  #order: WireMessage | undefined

  constructor(transport: DemoTransport) {
    const key = generatePrivateKey()
    this.transport = transport
    this.orders = transport.queueNamed('orders')
    this.#invoices = transport.queueNamed('invoices')
    this.checkout = Signer.fromKey(key, { service: 'checkout' })
    this.hasty = Signer.fromKey(key, { service: 'checkout', expiresInSeconds: DEADLINE_SECONDS })
    this.lines = [
      this.checkout.authorizedKeysLine([this.orders, this.#invoices]),
      this.reporting.authorizedKeysLine(transport.queueNamed('reports')),
    ]
  }

  /** The attacker's copy of checkout's order. It is made while the order waits. */
  async order(): Promise<WireMessage> {
    this.#order ??= (await this.transport.copyAll(this.orders)).find(({ body }) => body.equals(ORDER))
    if (this.#order === undefined) throw new Error('the order of checkout does not wait in its queue')
    return this.#order
  }

  /** The attacker's copy of a message that checkout sent to another queue, where it is authorized, too. */
  async invoice(): Promise<WireMessage> {
    await this.transport.send(this.checkout, this.#invoices, INVOICE)
    const [invoice] = await this.transport.copyAll(this.#invoices)
    if (invoice === undefined) throw new Error('the invoice of checkout does not wait in its queue')
    return invoice
  }
}

export const SCENARIOS: readonly Scenario[] = [
  {
    what: 'checkout sends an order',
    expected: { how: 'handled', sender: 'checkout' },
    waits: true,
    async play(stage) {
      await stage.transport.send(stage.checkout, stage.orders, ORDER)
      await stage.order()
    },
  },
  {
    what: 'attacker sends one without a signature',
    expected: { how: 'dead-lettered', code: 'token-missing' },
    play: ({ transport, orders }) => transport.inject(orders, { body: INFLATED_ORDER, headers: {} }),
  },
  {
    what: 'attacker signs as checkout, with its own key',
    expected: { how: 'dead-lettered', code: 'key-unknown' },
    play: ({ transport, orders, attacker }) => transport.send(attacker, orders, INFLATED_ORDER),
  },
  {
    what: "attacker changes checkout's order",
    expected: { how: 'dead-lettered', code: 'body-mismatch' },
    async play(stage) {
      await stage.transport.inject(stage.orders, { ...(await stage.order()), body: INFLATED_ORDER })
    },
  },
  {
    what: "attacker sends checkout's order once more",
    expected: { how: 'skipped', code: 'duplicate' },
    async play(stage) {
      await stage.transport.inject(stage.orders, await stage.order())
    },
  },
  {
    what: 'attacker copies an invoice into orders',
    expected: { how: 'dead-lettered', code: 'destination-mismatch' },
    async play(stage) {
      await stage.transport.inject(stage.orders, await stage.invoice())
    },
  },
  {
    what: 'reporting, not listed for orders, sends one',
    expected: { how: 'dead-lettered', code: 'queue-not-authorized' },
    play: ({ transport, orders, reporting }) => transport.send(reporting, orders, ORDER),
  },
  {
    what: "checkout's order comes after its deadline",
    expected: { how: 'dead-lettered', code: 'message-expired' },
    waits: true,
    play: ({ transport, orders, hasty }) => transport.send(hasty, orders, Buffer.from('{"order":2,"amount":20}')),
  },
]
