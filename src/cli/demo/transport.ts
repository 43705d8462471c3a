import type { HeaderValue } from '../../message.ts'
import type { Signer } from '../../signer.ts'
import type { Verifier } from '../../verifier.ts'

/** What the scenarios need of a transport. One file beside this one maps one transport to it. */
export interface DemoTransport {
  /** for the title of the report, such as `RabbitMQ 4.1 at localhost:5672` */
  readonly title: string
  /** the real name of a queue of the demo, that nobody else uses */
  queueNamed(name: string): string
  /** publishes through a wrapped producer */
  send(signer: Signer, queue: string, body: Buffer): Promise<void>
  /** what anybody can do who may read the queue: copies of the messages that wait in it, oldest first; they stay */
  copyAll(queue: string): Promise<WireMessage[]>
  /** what anybody can do who may write to the queue: publishes as it is, without a wrapper */
  inject(queue: string, message: WireMessage): Promise<void>
  /** consumes through a wrapped consumer, and settles each message after the handler */
  consume(queue: string, verifier: Verifier, handler: (message: object) => void): Promise<void>
  /** the headers of the oldest dead letter that was not taken yet; undefined when none is there */
  takeDeadLetter(queue: string): Promise<Readonly<Record<string, unknown>> | undefined>
  /** takes away everything that the demo made */
  close(): Promise<void>
}

/** A message as it lies in a queue. */
export interface WireMessage {
  readonly body: Buffer
  readonly headers: Readonly<Record<string, HeaderValue>>
}
