/**
 * The few methods of the clients that are used, as structural types: amqplib 0.10 and later with promises and with
 * callbacks, its recovering connections, and amqp-connection-manager. No client is imported at run time.
 */

export interface AmqpProperties {
  readonly contentType?: unknown
  readonly contentEncoding?: unknown
  readonly headers?: Readonly<Record<string, unknown>> | undefined
  readonly deliveryMode?: unknown
  readonly priority?: unknown
  readonly correlationId?: unknown
  readonly replyTo?: unknown
  readonly expiration?: unknown
  readonly messageId?: unknown
  readonly timestamp?: unknown
  readonly type?: unknown
  readonly userId?: unknown
  readonly appId?: unknown
  readonly clusterId?: unknown
}

export interface AmqpFields {
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
  readonly consumerTag?: string
  readonly messageCount?: number
}

/** A message as amqplib delivers it. */
export interface AmqpMessage {
  readonly content: Buffer
  readonly fields: AmqpFields
  readonly properties: AmqpProperties
}

export interface PublishOptions {
  readonly headers?: Readonly<Record<string, unknown>> | null | undefined
  readonly [option: string]: unknown
}

export interface ConsumeOptions {
  readonly noAck?: boolean
  readonly consumerTag?: string
  readonly [option: string]: unknown
}

export type Callback = (error: unknown, result?: unknown) => void
export type OnMessage = (message: AmqpMessage | null) => unknown

/** A channel, whichever API made it: methods of the callback API take one more argument and return nothing of note. */
export interface ChannelLike {
  /** the low-level connection, one object for all channels on it */
  readonly connection: object
  readonly consumers?: ReadonlyMap<string, unknown>
  publish(exchange: unknown, routingKey: unknown, content: unknown, options?: unknown, ...rest: unknown[]): boolean
  consume(queue: unknown, onMessage: OnMessage, options?: ConsumeOptions, callback?: Callback): unknown
  cancel(consumerTag: string, callback?: Callback): unknown
  get(queue: unknown, options?: ConsumeOptions, callback?: Callback): unknown
  ack(message: AmqpMessage, allUpTo?: boolean): unknown
  ackAll(): unknown
  nack(message: AmqpMessage, allUpTo?: boolean, requeue?: boolean): unknown
  nackAll(requeue?: boolean): unknown
  reject(message: AmqpMessage, requeue?: boolean): unknown
  prefetch(count: number, global?: boolean, callback?: Callback): unknown
  recover(callback?: Callback): unknown
  assertQueue(queue: unknown, options?: unknown, callback?: Callback): unknown
  checkQueue(queue: string, callback?: Callback): unknown
  close(callback?: Callback): unknown
  on(event: string, listener: (...args: never[]) => void): unknown
  prependListener(event: string, listener: () => void): unknown
  emit(event: string, ...args: unknown[]): boolean
  listenerCount(event: string): number
  /** amqplib's own way to enter a consumer once the broker agreed to it */
  registerConsumer?(consumerTag: string, onMessage: OnMessage): void
  /** amqplib's own way to end a channel when a callback throws */
  closeWithError?(method: undefined, reason: string, code: number, error: Error): void
  /** the handshake; it takes a callback in the callback API only */
  open?(callback?: Callback): unknown
}

/** What makes channels: an amqplib connection. */
export interface ConnectionLike {
  /** the low-level connection; recovering ones have none */
  readonly connection?: object
  createChannel(...args: unknown[]): unknown
  createConfirmChannel(...args: unknown[]): unknown
  close(callback?: Callback): unknown
}

/** Anything `wrapProducer` and `wrapConsumer` take. */
export type RabbitmqClient =
  | { createChannel(...args: never[]): unknown; close(...args: never[]): unknown }
  | { publish(...args: never[]): unknown; ack(...args: never[]): unknown }

/**
 * Calls a method of either API and gives a promise: the promise API returns one, the other calls back. What the method
 * throws at once is thrown at once.
 */
export function invoke<Result>(method: (...args: never[]) => unknown, ...args: unknown[]): Promise<Result> {
  let callback: Callback = () => undefined
  const called = new Promise<Result>((resolve, reject) => {
    callback = (error, result) => (error ? reject(error) : resolve(result as Result))
  })
  const returned = (method as (...args: unknown[]) => unknown)(...args, callback)
  return isThenable(returned) ? Promise.resolve(returned as PromiseLike<Result>) : called
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** Whether a channel belongs to the callback API. */
export function takesCallbacks(channel: ChannelLike): boolean {
  return (channel.open?.length ?? 0) > 0
}
