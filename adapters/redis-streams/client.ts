/**
 * The little of ioredis that is used, as structural types that fit `Redis` and `Cluster` of ioredis 5 and 6. No client is
 * imported at run time.
 */

/** A text or bytes, as ioredis has every argument of a command when it is about to be sent. */
export type Argument = string | Buffer

/** One command on its way: what ioredis makes of `xadd(…)`, `call('XADD', …)` and every command of a pipeline. */
export interface CommandLike {
  /** as the caller wrote it: `xadd`, or `XADD` by way of `call` */
  name: string
  args: Argument[]
  /** null: the reply stays bytes */
  replyEncoding: unknown
  readonly promise: Promise<unknown>
  /** part of a MULTI that is sent as a pipeline */
  readonly inTransaction?: boolean
  resolve(reply: unknown): unknown
  reject(error: unknown): unknown
  /** makes of the bytes of a reply what the caller gets; looked up when the reply comes */
  transformReply(reply: unknown): unknown
  /** remembers the keys, for routing, before the arguments are changed */
  getKeys(): unknown
}

export type CommandConstructor = new (
  name: string,
  args: readonly unknown[],
  options: { readonly replyEncoding: string | null },
) => CommandLike

/** What `pipeline()` and `multi()` give. An argument that is undefined would be sent, so there is one or there is none. */
export interface PipelineLike {
  readonly _queue: readonly CommandLike[]
  exec(...callback: unknown[]): Promise<unknown>
}

/** Anything `wrapProducer`, `wrapConsumer` and `consumeStream` take: a `Redis` or a `Cluster`. */
export interface RedisClient {
  readonly status: string
  readonly options: object
  readonly isCluster: boolean
  // biome-ignore lint/suspicious/noExplicitAny: ioredis declares its own classes here, which differ between its versions
  sendCommand(command: any, ...rest: any[]): unknown
  call(command: string, ...args: (string | Buffer | number)[]): Promise<unknown>
  callBuffer(command: string, ...args: (string | Buffer | number)[]): Promise<unknown>
  duplicate(...args: never[]): unknown
  disconnect(reconnect?: boolean): void
  // biome-ignore lint/suspicious/noExplicitAny: the same
  on(event: string, listener: (...args: any[]) => void): unknown
}

interface PrefixOptions {
  readonly keyPrefix?: string | Buffer | null | undefined
}

/** What ioredis puts before every key. On a Cluster it may stand among the options of its nodes, which do not use it. */
export function keyPrefixOf({ options }: RedisClient): string {
  const { keyPrefix } = options as PrefixOptions
  return keyPrefix === undefined || keyPrefix === null ? '' : String(keyPrefix)
}
