import { randomUUID } from 'node:crypto'
import { type DeadLetter, UnstorableError } from '../../src/dead-letter.ts'
import { SetupError } from '../../src/errors.ts'
import { quote } from '../../src/text.ts'
import { type AmqpMessage, type ChannelLike, invoke } from './client.ts'
import { FORMS, type Form, fits, LETTER_ID } from './dead-letter-form.ts'

/** The broker or the client turns this form of the letter down, however often it is tried. */
class TurnedDown extends Error {}

/** AMQP reply codes that are about the message: content too large, precondition failed (message too large), frame errors. */
const ABOUT_THE_MESSAGE: ReadonlySet<unknown> = new Set([311, 406, 501, 502])

/**
 * Writes dead letters to durable queues, over a confirm channel of its own on the consumer's connection: persistent, and
 * `mandatory`, since the broker confirms a message that no queue takes.
 */
export class DeadLetterSink {
  readonly #open: () => Promise<ChannelLike>
  #shared: Promise<ConfirmedChannel> | undefined
  readonly #preparing = new Map<string, Promise<void>>()

  /** @param open opens a channel in confirm mode that no wrapper covers */
  constructor(open: () => Promise<ChannelLike>) {
    this.#open = open
  }

  /**
   * Makes sure the dead-letter queue is there: looks first, and declares it only if it is absent, so that a queue someone
   * set up otherwise is left alone.
   *
   * @throws SetupError `dead-letters-unavailable`
   */
  async prepare(queue: string): Promise<void> {
    const preparing = this.#prepare(queue)
    this.#preparing.set(queue, preparing)
    try {
      await preparing
    } finally {
      if (this.#preparing.get(queue) === preparing) this.#preparing.delete(queue)
    }
  }

  async #prepare(queue: string): Promise<void> {
    const looking = await ConfirmedChannel.open(this.#open)
    try {
      await invoke(looking.channel.checkQueue.bind(looking.channel), queue)
      await looking.close()
    } catch (error) {
      if (codeOf(error) !== 404) throw unavailable(queue, error)
      await this.#declare(queue)
    }
  }

  /** Resolves when the broker has the letter on disk or with its replicas. */
  async store(queue: string, letter: DeadLetter<AmqpMessage>): Promise<void> {
    // The first deliveries come while the queue for dead letters is still being looked up.
    await this.#preparing.get(queue)
    const id = randomUUID()
    for (const make of FORMS) {
      const form = make(letter, id)
      if (!fits(form)) continue
      try {
        return await this.#publish(queue, form, id)
      } catch (error) {
        if (!(error instanceof TurnedDown)) throw error
      }
    }
    throw new UnstorableError(`the broker takes no form of it in queue ${quote(queue)}`)
  }

  /** A channel error hits every letter under way. Which one caused it shows when each is tried on a channel of its own. */
  async #publish(queue: string, form: Form, id: string): Promise<void> {
    this.#shared ??= ConfirmedChannel.open(this.#open)
    const opening = this.#shared
    try {
      const shared = await opening
      await shared.publish(queue, form, id)
    } catch (error) {
      if (error instanceof Unroutable) await this.#declare(queue)
      if (!(error instanceof ChannelGone)) throw error
      if (this.#shared === opening) this.#shared = undefined
      if (!ABOUT_THE_MESSAGE.has(error.replyCode)) throw error
      await this.#publishAlone(queue, form, id)
    }
  }

  async #publishAlone(queue: string, form: Form, id: string): Promise<void> {
    const alone = await ConfirmedChannel.open(this.#open)
    try {
      await alone.publish(queue, form, id)
    } catch (error) {
      if (error instanceof ChannelGone && ABOUT_THE_MESSAGE.has(error.replyCode)) throw new TurnedDown()
      throw error
    } finally {
      await alone.close()
    }
  }

  async #declare(queue: string): Promise<void> {
    const declaring = await ConfirmedChannel.open(this.#open)
    try {
      await invoke(declaring.channel.assertQueue.bind(declaring.channel), queue, { durable: true })
    } catch (error) {
      throw unavailable(queue, error)
    } finally {
      await declaring.close()
    }
  }
}

/** The queue is gone: the broker returned the letter. */
class Unroutable extends Error {}

/** The channel ended; the reply code says whether the broker minded something. */
class ChannelGone extends Error {
  readonly replyCode: unknown

  constructor(replyCode: unknown) {
    super('the channel for dead letters was closed')
    this.replyCode = replyCode
  }
}

/** A confirm channel whose end reaches every publish under way. */
class ConfirmedChannel {
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
      this.#underWay.get(String(message.properties.headers?.[LETTER_ID]))?.(
        new Unroutable('the dead-letter queue is gone'),
      )
    })
  }

  publish(queue: string, { content, options }: Form, id: string): Promise<void> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone)
    return new Promise<void>((resolve, reject) => {
      this.#underWay.set(id, reject)
      // A return comes before its confirm, so a letter that was returned is rejected by then.
      const confirmed = (error: unknown): void => {
        if (!error) resolve()
        // amqplib calls back with an error for a letter the broker refused, and when the channel ends.
        else
          reject(
            error instanceof Error && error.message === 'message nacked' ? error : new ChannelGone(this.#replyCode),
          )
      }
      try {
        this.#publish.call(this.channel, '', queue, content, options, confirmed)
      } catch (error) {
        reject(error instanceof RangeError || error instanceof TypeError ? new TurnedDown() : error)
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

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined
}

function unavailable(queue: string, cause: unknown): SetupError {
  return new SetupError(
    'dead-letters-unavailable',
    `dead-letter queue ${quote(queue)} cannot be used; declare it, allow this user to, or pass deadLetter or onRejected`,
    { cause },
  )
}
