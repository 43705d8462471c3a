import type { ConsumerOptions } from '../../src/consumer-options.ts'
import type { CoveredProperties, Headers } from '../../src/message.ts'
import type { Signer } from '../../src/signer.ts'
import type { Verifier } from '../../src/verifier.ts'

/** What a transport brings to the contract suite: its plain clients, and how to wrap them. */
export interface Harness {
  start(): Promise<void>
  stop(): Promise<void>
  /** Makes an empty queue under a name nobody else has; with `brokerDeadLetters`, one whose refused messages are kept. */
  createQueue(queue: string): Promise<void>
  /** the address of a message that is published to the queue */
  destinationOf(queue: string): string
  /** what policies and dead letters call the queue, where that is not its name */
  policyName?(queue: string): string
  /** what of a message is signed, where that is not body, headers and properties as they are */
  signedForm?(message: TestMessage): TestMessage
  /** A client that publishes, wrapped if there is a signer. */
  openProducer(signer?: Signer): Promise<TestProducer>
  /** Producers gather messages, and every token is one of a batch. Default: every message is signed alone. */
  readonly batch?: boolean
  /** A client that consumes, wrapped if there is a verifier. */
  openConsumer(setup: ConsumerSetup): Promise<TestConsumer>
  /** Takes out every message that waits in a queue, without checks; none where there is no such queue. */
  take(queue: string): Promise<TestMessage[]>
  /** where the adapter stores the dead letters of a queue by default */
  deadLetterQueueOf(queue: string): string
  /** where it stores those that came back too often */
  parkedQueueOf(queue: string): string
  /** where the broker itself puts what is refused; only with `brokerDeadLetters` */
  brokerDeadLetterQueueOf(queue: string): string
  /** From now on the dead-letter queue takes nothing. Called before anyone consumes. */
  breakDeadLetters(queue: string): Promise<void>
  repairDeadLetters(queue: string): Promise<void>
}

/** What the transport can do. Declared, never guessed; a test of what is missing is skipped with its name. */
export interface Features {
  /** a message can have no body, which is not an empty one */
  readonly nullPayload: boolean
  /** a message can have the token header twice (or a list of tokens) */
  readonly repeatedHeaders: boolean
  /** headers hold numbers, lists and tables, not only text and bytes */
  readonly structuredHeaders: boolean
  /** `onRejected: 'reject'` leaves a message to the broker's own dead-lettering */
  readonly brokerDeadLetters: boolean
  /** a consumer can give a message back */
  readonly requeue: boolean
  /** a message that is held, or in hand, holds up those behind it: the transport settles in order */
  readonly ordered?: boolean
  /** deliveries have positions, so a redelivery of what was not handled to the end needs no wait for a lease */
  readonly positions?: boolean
  /** the client waits for the handler's promise, so that a rejection is what a throw is */
  readonly awaitsHandler?: boolean
  /** headers are part of the body: whoever changes one changes the body, and none can be left unsigned */
  readonly headersInBody?: boolean
  /** storing a dead letter and settling its message is one step, between whose halves nothing can break */
  readonly atomicDeadLetters?: boolean
  /** a handler's promise settles its message, so that what a handler throws goes nowhere else */
  readonly handlersSettle?: boolean
  /** the client sends a body of any type, as text */
  readonly anyBody?: boolean
  /** the handler sees no token among the headers */
  readonly hidesToken?: boolean
  /** the properties a message can have */
  readonly properties: readonly (keyof CoveredProperties)[]
}

/** A message as the suite writes and reads it. Headers include the token. */
export interface TestMessage {
  readonly payload: Uint8Array | null
  readonly headers?: Headers
  readonly properties?: CoveredProperties
}

export interface TestProducer {
  /** The client's own way to publish to a queue. What it returns or throws is the client's. Inputs may be frozen. */
  publish(queue: string, message: TestMessage): unknown
  /** Resolves when the broker has everything. */
  flush(): Promise<void>
  close(): Promise<void>
}

export interface ConsumerSetup {
  readonly verifier?: Verifier
  /** the same client, and whatever it makes, is wrapped as a producer too */
  readonly signer?: Signer
  readonly options?: ConsumerOptions<unknown>
}

export interface TestConsumer {
  consume(queue: string, handler: (delivered: Delivered) => unknown): Promise<void>
  /** every settlement that reached the plain client below the wrapper: `ack`, `requeue` or `reject`, a space, the body */
  readonly settlements: readonly string[]
  /** resolves when the client has ended by itself, with the error if there was one */
  readonly ended: Promise<unknown>
  /** The connection breaks in place of the next settlement. */
  dieAtNextSettlement(): void
  /** The connection breaks. */
  kill(): void
  /** The client's own way to end. */
  close(): Promise<void>
}

/** A message in the hands of a handler. */
export interface Delivered {
  /** what the client gave to the callback */
  readonly message: object
  readonly payload: Uint8Array | null
  readonly headers: Headers
  readonly properties: CoveredProperties
  /** @param message default: the message itself */
  ack(message?: object): void
  nack(): void
}
