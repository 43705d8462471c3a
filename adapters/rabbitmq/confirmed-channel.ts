import { type AmqpMessage, type ChannelLike, invoke } from './client.ts'
import { type Form, idOf } from './dead-letter-form.ts'

/** The client cannot encode a letter in this form. */
export class Unencodable extends Error {}

/** No queue took the letter: the broker returned it. */
export class Unroutable extends Error {}

/** The channel ended; the reply code says whether the broker minded something. */
export class ChannelGone extends Error {
  readonly replyCode: unknown

  constructor(replyCode: unknown) {
    super('the channel for dead letters was closed')
    this.replyCode = replyCode
  }
}

/** A confirm channel whose end reaches every publish under way. */
export class ConfirmedChannel {
  readonly channel: ChannelLike
  /** captured at once, before anyone can wrap it: a forged token must not come out signed */
  readonly #publish: ChannelLike['publish']
  readonly #underWay = new Map<string, (error: Error) => void>()
  #gone: ChannelGone | undefined
  #replyCode: unknown

  static async open(open: () => Promise<ChannelLike>): Promise<ConfirmedChannel> {
    return new ConfirmedChannel(await open())
  }

  private constructor(channel: ChannelLike) {
    this.channel = channel
    this.#publish = channel.publish
    channel.on('error', (error: unknown) => {
      this.#replyCode = codeOf(error)
    })
    channel.on('close', () => {
      this.#gone = new ChannelGone(this.#replyCode)
      for (const fail of this.#underWay.values()) fail(this.#gone)
    })
    channel.on('return', (message: AmqpMessage) => {
      this.#underWay.get(String(idOf(message.properties.headers)))?.(new Unroutable('the dead-letter queue is gone'))
    })
  }

  /** Resolves when the broker has taken the letter: on disk, or with its replicas. */
  publish(queue: string, { content, options }: Form, id: string): Promise<void> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone)
    return new Promise<void>((resolve, reject) => {
      this.#underWay.set(id, reject)
      // A return comes before its confirm, so a letter that was returned is rejected by then.
      const confirmed = (error: unknown): void => {
        if (!error) resolve()
        // amqplib calls back with an error for a letter the broker refused, and when the channel ends.
        else if (error instanceof Error && error.message === 'message nacked') reject(error)
        else reject(new ChannelGone(this.#replyCode))
      }
      try {
        this.#publish.call(this.channel, '', queue, content, options, confirmed)
      } catch (error) {
        // What the codec throws is of many kinds, and may quote the header that it could not encode.
        reject(isClosed(error) ? new ChannelGone(this.#replyCode) : new Unencodable())
      }
    }).finally(() => this.#underWay.delete(id))
  }

  async close(): Promise<void> {
    if (this.#gone !== undefined) return
    try {
      await invoke(this.channel.close.bind(this.channel))
    } catch (error) {
      // It was closed already, which is what was wanted.
      if (this.#gone === undefined) throw error
    }
  }
}

/** amqplib throws an error of this name once a channel or its connection is closing. */
function isClosed(error: unknown): boolean {
  return error instanceof Error && error.name === 'IllegalOperationError'
}

export function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined
}
